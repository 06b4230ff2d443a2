/**
 * Models side by side: read, given inputs, measured in processes of their own for memory and in turns for time. Prints
 * nothing and leaves nothing behind.
 */
import { basename, resolve, sep } from 'node:path';
import type { AssumedSize, UsualSizes } from '../analysis/open-sizes.ts';
import { memoryInProcess, writeFeeds, type PeakMemory, type Self } from './bench-memory.ts';
import type { Watch } from './watch.ts';
import { CompileError, type Diagnostic } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-bench.ts';
import { reducersLine } from '../diagnostics/messages-runtime.ts';
import type { BenchRequest } from '../flags/bench.ts';
import type { Model } from '../graph/model.ts';
import { readModel } from '../onnx/read.ts';
import { callsReducer } from '../reduction/token-reduce/calls.ts';
import type { BenchBatch, BenchedModel, BenchReport, BenchRow } from '../report/bench-table.ts';
import { reducersHere } from '../runtime/kernels.ts';
import { loadRuntime, type Runtime, type Session } from '../runtime/session.ts';
import type { TensorData } from '../runtime/tensor-data.ts';
import { readSamples } from '../samples/read-samples.ts';
import type { SampleSet } from '../samples/sample-set.ts';
import { isBusy, machineHere } from '../timing/machine.ts';
import { medianInterval, spreadOf, type Spread } from '../timing/spread.ts';
import { speedUps, timeInTurns, type Turns } from '../timing/turns.ts';
import { syntheticInputs } from '../validate/synthetic-inputs.ts';

export interface BenchWatch extends Watch {
  /** How this program is started again, for processes that measure their own memory. */
  readonly self: Self;
  /** Of Node. */
  readonly node: string;
}

export interface BenchResult {
  readonly report: BenchReport;
  readonly diagnostics: readonly Diagnostic[];
}

type Feeds = ReadonlyMap<string, TensorData>;

/** One batch size, and what each model is given. */
interface Prepared {
  readonly batch: number;
  readonly feeds: readonly Feeds[];
}

interface Inputs {
  readonly prepared: readonly Prepared[];
  readonly told: BenchReport['inputs'];
}

const memoryRuns = 3;
const warmUps = 2;
/** Where nobody says how long: until no median is further off than this, or for so many seconds. */
const enough = { least: 4, most: 1000, noise: 0.01, seconds: 20 } as const;
/** Of half of the times around their median, before figures are called rough. */
const wide = 0.25;

/** Sizes tried where nobody says them, and what stricter models take. */
const guesses: readonly Omit<UsualSizes, 'batch'>[] = [
  { text: 40, pixels: 384, regions: 36 },
  { text: 40, pixels: 224, regions: 36 },
  { text: 12, pixels: 384, regions: 36 },
  { text: 12, pixels: 224, regions: 49 },
];

/** Shortest ends of the paths that tell them apart; the same file twice is numbered. */
export const labelsOf = (files: readonly string[]): string[] => {
  const paths = files.map((file) => resolve(file));
  const end = (path: string, parts: number): string => path.split(sep).slice(-parts).join('/');
  const labels = paths.map((path, i) => {
    const others = new Set(paths.filter((other) => other !== path));
    for (let parts = 1; parts < path.split(sep).length; parts++)
      if (![...others].some((other) => end(other, parts) === end(path, parts))) return end(path, parts);
    return files[i] ?? path;
  });
  return labels.map((label, i) => {
    const before = labels.slice(0, i).filter((other) => other === label).length;
    return before === 0 ? label : `${label} (${before + 1})`;
  });
};

/** One runtime for all models, so that nothing but the models differs. */
const runtimeFor = async (ops: BenchRequest['ops']): Promise<Runtime> => {
  const refused = (reason: Diagnostic): CompileError => new CompileError({ ...reason, severity: 'error' });
  const fused = ops === 'portable' ? undefined : await loadRuntime('fused');
  if (fused?.runtime !== undefined) return fused.runtime;
  if (ops === 'fused' && fused !== undefined) throw refused(fused.reason);
  const { runtime, reason } = await loadRuntime();
  if (runtime === undefined) throw refused(reason);
  return runtime;
};

const rowsOf = (feeds: Feeds): number | undefined => [...feeds.values()].find((t) => t.dims.length > 0)?.dims[0];

/** Batches of the samples, as many rows as asked for. */
const fromData = async (
  data: string,
  models: readonly Model[],
  request: BenchRequest,
  diagnostics: Diagnostic[],
  { signal, progress }: Watch,
): Promise<Inputs> => {
  const limit = Math.max(...request.batches);
  const sets: SampleSet[] = [];
  // Four times as many: rows run together only where their other sizes agree.
  for (const model of models) sets.push(await readSamples(data, model, { limit: 4 * limit, signal, progress }));
  const prepared = request.batches.flatMap((batch): Prepared[] => {
    const whole = sets.map((set) => set.batches([...Array(set.count).keys()], batch));
    const feeds = whole.map((list) => list.find((b) => b.samples.length === batch)?.feeds);
    if (feeds.every((f) => f !== undefined)) return [{ batch, feeds }];
    diagnostics.push(
      say.batchNotFilled(data, batch, Math.max(...whole.flatMap((list) => list.map((b) => b.samples.length)))),
    );
    return [];
  });
  return { prepared, told: { kind: 'data', data } };
};

const openAll = async <T>(
  runtime: Runtime,
  request: BenchRequest,
  use: (sessions: readonly Session[]) => Promise<T>,
): Promise<T> => {
  const sessions: Session[] = [];
  const { threads } = request;
  try {
    for (const file of request.models)
      sessions.push(await runtime.open(file, threads === undefined ? {} : { threads }));
    return await use(sessions);
  } finally {
    for (const session of sessions) await session.release();
  }
};

/** Made-up inputs at sizes that all models run with. */
const madeUp = async (
  models: readonly Model[],
  sessions: readonly Session[],
  request: BenchRequest,
  diagnostics: Diagnostic[],
): Promise<Inputs> => {
  const sized = ({ text, pixels, regions }: (typeof guesses)[number], batch: number): UsualSizes => ({
    batch,
    text: request.text ?? text,
    pixels: request.pixels ?? pixels,
    regions,
  });
  const make = (sizes: UsualSizes): { feeds: Feeds; sizes: readonly AssumedSize[] }[] =>
    models.map((model, i) => {
      const made = syntheticInputs(model, sizes);
      if ('cannot' in made) throw new CompileError(say.inputNotMadeUp(request.models[i] ?? '', made.cannot));
      return made;
    });
  let failure: Diagnostic | undefined;
  const runs = async (guess: (typeof guesses)[number]): Promise<boolean> => {
    for (const [i, { feeds }] of make(sized(guess, request.batches[0] ?? 1)).entries())
      try {
        await sessions[i]?.run(feeds);
      } catch (error) {
        if (!(error instanceof CompileError)) throw error;
        failure ??= say.syntheticNotRun(request.models[i] ?? '', error.message);
        return false;
      }
    return true;
  };
  for (const guess of guesses) {
    if (!(await runs(guess))) continue;
    const prepared = new Map<number, Prepared>();
    for (const batch of request.batches) {
      const feeds = make(sized(guess, batch)).map((made) => made.feeds);
      const fixed = feeds.findIndex((f) => rowsOf(f) !== batch);
      const rows = fixed < 0 ? batch : (rowsOf(feeds[fixed] as Feeds) ?? batch);
      if (rows !== batch) diagnostics.push(say.batchFixed(request.models[fixed] ?? '', batch, rows));
      // What all of them fix is run instead.
      if (feeds.every((f) => rowsOf(f) === rows)) prepared.set(rows, { batch: rows, feeds });
    }
    const rows = request.batches[0] ?? 1;
    const sizes = make(sized(guess, rows))
      .flatMap((made) => made.sizes)
      .filter(({ symbol }, i, all) => all.findIndex((s) => s.symbol === symbol) === i);
    const batchNames = new Set(
      make(sized(guess, rows + 1))
        .flatMap((made) => made.sizes)
        .filter(({ symbol, size }) => sizes.some((s) => s.symbol === symbol && s.size !== size))
        .map((s) => s.symbol),
    );
    return {
      prepared: [...prepared.values()],
      told: { kind: 'synthetic', sizes: sizes.filter((s) => !batchNames.has(s.symbol)) },
    };
  }
  throw new CompileError(failure as Diagnostic);
};

type Peaks = ReadonlyMap<string, readonly PeakMemory[]>;
const peakKey = (batch: number, model: number): string => `${batch} ${model}`;

const measurePeaks = async (
  { prepared }: Inputs,
  request: BenchRequest,
  runtime: Runtime,
  diagnostics: Diagnostic[],
  { self, signal, progress }: BenchWatch,
): Promise<Peaks> => {
  const peaks = new Map<string, PeakMemory[]>();
  const failed = new Set<number>();
  for (const { batch, feeds } of prepared)
    for (const [i, model] of request.models.entries()) {
      progress(`memory of ${basename(model)} at batch ${batch}`);
      const written = writeFeeds(feeds[i] as Feeds);
      signal.addEventListener('abort', written.remove);
      try {
        const { threads } = request;
        const job = { model, feeds: written.file, ops: runtime.ops, ...(threads !== undefined && { threads }) };
        const own: PeakMemory[] = [];
        for (let run = 0; run < memoryRuns; run++) own.push(await memoryInProcess(self, job, signal));
        peaks.set(peakKey(batch, i), own);
      } catch (error) {
        signal.throwIfAborted();
        if (!failed.has(i)) diagnostics.push(say.memoryNotMeasured(model, (error as Error).message));
        failed.add(i);
      } finally {
        signal.removeEventListener('abort', written.remove);
        written.remove();
      }
    }
  return peaks;
};

/** Rows a second from milliseconds: the slow quartile becomes the low one. */
const throughput = (batch: number, times: readonly number[]): Spread =>
  spreadOf(times.map((time) => (1000 * batch) / time));

const rowOf = (label: string, i: number, batch: number, turns: Turns, peaks: Peaks): BenchRow => {
  const times = turns.times[i] ?? [];
  const own = peaks.get(peakKey(batch, i));
  const peak = own && spreadOf(own.map((p) => p.peak));
  return {
    label,
    milliseconds: spreadOf(times),
    rowsPerSecond: throughput(batch, times),
    speedUp: i === 0 ? null : { median: spreadOf(speedUps(turns, i)).median, ...medianInterval(speedUps(turns, i)) },
    peakBytes:
      own === undefined || peak === undefined
        ? null
        : {
            median: peak.median,
            least: peak.least,
            most: peak.most,
            runs: own.length,
            before: spreadOf(own.map((p) => p.before)).median,
          },
  };
};

/** What makes figures doubtful. */
const doubts = ({ batch, rows }: BenchBatch): Diagnostic[] =>
  rows.flatMap(({ label, milliseconds: { median, low, high }, speedUp }) => [
    ...((high - low) / median > wide ? [say.timesSpread(label, batch, (high - low) / median)] : []),
    ...(speedUp !== null && speedUp.low <= 1 && speedUp.high >= 1
      ? [say.orderUndecided(label, rows[0]?.label ?? '', batch)]
      : []),
  ]);

/** Throws a CompileError where a model or the samples cannot be used. */
export const benchFiles = async (request: BenchRequest, watch: BenchWatch): Promise<BenchResult> => {
  const { progress, signal } = watch;
  const diagnostics: Diagnostic[] = [];
  const runtime = await runtimeFor(request.ops);
  const machine = machineHere(watch.node, runtime.version);
  if (isBusy(machine, request.threads)) diagnostics.push(say.machineBusy(machine.load, machine.cores));
  const models = request.models.map((file) => {
    progress(`reading ${file}`);
    return readModel(file);
  });
  const labels = labelsOf(request.models);
  const inputs =
    request.data === undefined
      ? await openAll(runtime, request, (sessions) => madeUp(models, sessions, request, diagnostics))
      : await fromData(request.data, models, request, diagnostics, watch);
  if (inputs.prepared.length === 0) throw new CompileError(say.noBatchLeft());
  // Before the models are opened here, so that memory is not short.
  const peaks: Peaks = request.memory ? await measurePeaks(inputs, request, runtime, diagnostics, watch) : new Map();
  const batches = await openAll(runtime, request, async (sessions) => {
    const list: BenchBatch[] = [];
    for (const { batch, feeds } of inputs.prepared) {
      const start = performance.now();
      const { turns, seconds } = request;
      const limits =
        turns !== undefined
          ? { least: turns, most: turns }
          : seconds !== undefined
            ? { least: 1, most: 1e6, seconds }
            : enough;
      const found = await timeInTurns(
        sessions.map((session, i) => () => session.run(feeds[i] as Feeds)),
        {
          warmUps,
          ...limits,
          rest: 60,
          block: 40,
          signal,
          progress: (done) => progress(`batch ${batch}, turn ${done}`),
        },
      );
      list.push({
        batch,
        turns: found.turns,
        stopped: found.stopped,
        seconds: (performance.now() - start) / 1000,
        rows: labels.map((label, i) => rowOf(label, i, batch, found, peaks)),
      });
    }
    return list;
  });
  const benched = models.map((model, i): BenchedModel => ({
    label: labels[i] ?? '',
    file: request.models[i] ?? '',
    reducers: callsReducer(model),
  }));
  const reducers = reducersHere();
  return {
    diagnostics: [...diagnostics, ...batches.flatMap(doubts)],
    report: {
      machine,
      threads: request.threads ?? null,
      ops: runtime.ops,
      reducers: !benched.some((m) => m.reducers)
        ? null
        : runtime.ops === 'fused' || request.ops !== 'portable'
          ? reducersLine(reducers).replace(/^reducers: /, '')
          : 'function body',
      inputs: inputs.told,
      models: benched,
      batches,
    },
  };
};
