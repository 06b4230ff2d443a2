/**
 * What every real export must show: identity, reduction, parity with the published code, clean refusal.
 * Each check compiles afresh, runs both recorded batches through ONNX Runtime and returns one verdict.
 * onnx.checker is Python's: see check.py.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { DataType, type Model } from '../../src/graph/model.ts';
import { compile, type CompileOptions } from '../../src/index.ts';
import { readModel } from '../../src/onnx/read.ts';
import { multiplyAdds } from '../../src/runtime/profile.ts';
import type { OpenOptions, Runtime } from '../../src/runtime/session.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import type { Batch, Case, ParityConfig } from './cases.ts';
import { distance, isFinite, sameBits, scaleOf } from './compare.ts';

export type Verdict =
  /** `figure`: share of the scale (identity), of the multiply-adds (reduction), of the effect (parity). */
  | { readonly outcome: 'pass' | 'fail'; readonly text: string; readonly code?: string; readonly figure?: number }
  /** The compiler refused: whether that is fine is the runner's decision. */
  | { readonly outcome: 'refused'; readonly text: string; readonly code: string };

export interface Bench {
  readonly runtime: Runtime;
  /** Applied to every compilation. */
  readonly options: CompileOptions;
  /** Where compiled models go; `keep` copies live on after the run. */
  readonly place: (test: Case, check: string) => string;
}

type Outputs = ReadonlyMap<string, TensorData>;

const runAll = async (
  { runtime }: Bench,
  model: string,
  batches: readonly Batch[],
  options: OpenOptions = {},
): Promise<{ outputs: Outputs[]; multiplyAdds: number }> => {
  const session = await runtime.open(model, { threads: 2, ...options });
  try {
    const outputs: Outputs[] = [];
    for (const batch of batches) outputs.push(await session.run(batch.feeds));
    const total = options.profile === true ? session.profile().reduce((n, run) => n + multiplyAdds(run), 0) : 0;
    return { outputs, multiplyAdds: total };
  } finally {
    await session.release();
  }
};

const holdsFloat16 = (model: Model): boolean =>
  [...model.graph.constants.values()].some(({ dataType }) => dataType === DataType.FLOAT16);

/** A quantiser turns a rounding of the optimiser's into a whole step: bits without it tell, not the outputs with it. */
const quantises = (model: Model): boolean =>
  model.graph.nodes.some(({ op }) => op === 'DynamicQuantizeLinear' || op === 'QuantizeLinear');

/**
 * Without graph optimisation where the original loads that way and that means its nodes as they are. It does not with
 * float16 on the CPU: at every level the runtime puts casts around most nodes and takes out pairs of them, as
 * neighbours allow.
 */
const plainLevel = async ({ runtime }: Bench, test: Case): Promise<'disabled' | 'all'> => {
  try {
    if (holdsFloat16(readModel(test.model))) return 'all';
    await (await runtime.open(test.model, { optimize: 'disabled' })).release();
    return 'disabled';
  } catch {
    return 'all';
  }
};

const compiled = async (bench: Bench, test: Case, check: string, options: CompileOptions): Promise<string> => {
  const result = await compile(test.model, { ...test.options, ...options, ...bench.options });
  const path = bench.place(test, check);
  result.write(path);
  return path;
};

const notRun: Verdict = { outcome: 'pass', text: 'compiled; no runtime at hand runs the original' };

const figure = (n: number): string => (n === 0 ? '0' : n.toExponential(1));

/** Runs a check; a refusal and a crash become verdicts. */
const guarded = async (check: () => Promise<Verdict>): Promise<Verdict> => {
  try {
    return await check();
  } catch (error) {
    if (error instanceof CompileError && !error.diagnostic.code.startsWith('model-not-')) {
      const { code } = error.diagnostic;
      return { outcome: 'refused', text: `${code}: ${error.message}`, code };
    }
    return { outcome: 'fail', text: error instanceof Error ? `${error.name}: ${error.message}` : String(error) };
  }
};

/**
 * `--keep 1 --merge-text 0`: equal bits without graph optimisation, equal to 1e-6 with it, near the recorded outputs.
 * Other shape arithmetic lets the optimiser fuse otherwise. Where that changes the original itself by more than 1e-6
 * (deep models, sharp attention), four times as much is granted; where bits cannot be compared, or a rounding tips
 * quantised steps, the tolerance.
 */
export const identity = (bench: Bench, test: Case): Promise<Verdict> =>
  guarded(async () => {
    const path = await compiled(bench, test, 'identity', { keep: 1, mergeText: 0 });
    if (!test.runs) return notRun;
    const [ours, theirs] = [await runAll(bench, path, test.batches), await runAll(bench, test.model, test.batches)];
    const level = await plainLevel(bench, test);
    const tips = level !== 'disabled' || quantises(readModel(test.model));
    const plain = { optimize: level, threads: 1 } as const;
    const [oursPlain, theirsPlain] = [
      await runAll(bench, path, test.batches, plain),
      await runAll(bench, test.model, test.batches, plain),
    ];
    const problems: string[] = [];
    let worst = 0;
    let worstOriginal = 0;
    for (const [k, batch] of test.batches.entries()) {
      for (const [name, recorded] of batch.outputs) {
        const [own, original] = [ours.outputs[k]?.get(name), theirs.outputs[k]?.get(name)];
        const [ownBits, originalBits] = [oursPlain.outputs[k]?.get(name), theirsPlain.outputs[k]?.get(name)];
        if (!own || !original || !ownBits || !originalBits) return { outcome: 'fail', text: `no output '${name}'` };
        const scale = scaleOf(recorded) || 1;
        worst = Math.max(worst, distance(own, recorded).max / scale);
        worstOriginal = Math.max(worstOriginal, distance(original, recorded).max / scale);
        if (level === 'disabled' && !sameBits(ownBits, originalBits))
          problems.push(`in${k}.${name}: bits differ without optimisation`);
        const off = distance(own, original).max / scale;
        const rounding = distance(original, originalBits).max / scale;
        const granted = tips ? test.identityTolerance : Math.max(1e-6, 4 * rounding);
        if (off > granted) problems.push(`in${k}.${name}: ${figure(off)} of the scale from the original`);
      }
    }
    // Integer kernels differ between processors: where the original itself is elsewhere here, it is what counts.
    const elsewhere = worstOriginal > test.identityTolerance;
    const found = `${figure(worst)} of the scale from the recorded outputs`;
    if (worst > test.identityTolerance && !elsewhere) problems.push(found);
    if (problems.length > 0) return { outcome: 'fail', text: problems.join('; ') };
    const text = elsewhere ? `${found}, as the original on this machine (${figure(worstOriginal)})` : found;
    return { outcome: 'pass', text, figure: worst };
  });

/** `--keep 0.7`: finite outputs of the original shapes on every batch, and really less work. */
export const reduction = (bench: Bench, test: Case): Promise<Verdict> =>
  guarded(async () => {
    const path = await compiled(bench, test, 'reduction', { keep: 0.7 });
    if (!test.runs) return notRun;
    const counted = { profile: true, optimize: await plainLevel(bench, test) } as const;
    const ours = await runAll(bench, path, test.batches, counted);
    const theirs = await runAll(bench, test.model, test.batches, counted);
    // What users get: the default optimisation level must take the file too.
    await runAll(bench, path, test.batches);
    for (const [k, original] of theirs.outputs.entries()) {
      for (const [name, tensor] of original) {
        const own = ours.outputs[k]?.get(name);
        if (own === undefined) return { outcome: 'fail', text: `in${k}: no output '${name}'` };
        if (own.dims.join() !== tensor.dims.join()) {
          return { outcome: 'fail', text: `in${k}.${name} is [${own.dims.join()}], was [${tensor.dims.join()}]` };
        }
        if (isFinite(tensor) && !isFinite(own)) return { outcome: 'fail', text: `in${k}.${name} is not finite` };
      }
    }
    const ratio = ours.multiplyAdds / theirs.multiplyAdds;
    const text = `multiply-adds ${ratio.toFixed(3)} of the original (limit ${test.maxMultiplyAdds})`;
    return { outcome: ratio < test.maxMultiplyAdds ? 'pass' : 'fail', text, figure: ratio };
  });

/** The decisions of the published code (or of `safe`): within 2 % of the reduction's own effect, by the largest and the Euclidean difference. */
export const parity = (bench: Bench, test: Case, config: ParityConfig): Promise<Verdict> =>
  guarded(async () => {
    const { semantics, layers, prune, merge, mergeText } = config;
    const options = { semantics, layers, prune, merge, mergeText };
    const path = await compiled(bench, test, `parity.${config.key}`, options);
    const ours = await runAll(bench, path, test.batches);
    const problems: string[] = [];
    let worst = 0;
    for (const [k, expected] of config.expected.entries()) {
      const name = test.parityOutput as string;
      const plain = test.batches[k]?.outputs.get(name);
      const own = ours.outputs[k]?.get(name);
      if (plain === undefined || own === undefined) return { outcome: 'fail', text: `in${k}: no output '${name}'` };
      const [error, effect] = [distance(own, expected), distance(expected, plain)];
      // Where a site changes nothing that is read (the last layer of a CLS pooler), rounding is all that is left.
      const floor = 2e-6 * (scaleOf(plain) || 1);
      const share = Math.max(
        error.max / Math.max(effect.max, floor / 0.02),
        error.l2 / Math.max(effect.l2, (floor / 0.02) * Math.sqrt(numbers(plain))),
      );
      worst = Math.max(worst, share);
      if (!(share <= 0.02)) {
        problems.push(
          `in${k}: error ${figure(error.max)}, effect ${figure(effect.max)} (${(100 * share).toFixed(1)} %)`,
        );
      }
    }
    if (problems.length > 0) return { outcome: 'fail', text: problems.join('; ') };
    return { outcome: 'pass', text: `error ${(100 * worst).toFixed(3)} % of the effect`, figure: worst };
  });

const numbers = (tensor: TensorData): number => tensor.dims.reduce((n, d) => n * d, 1);

const CLI = fileURLToPath(new URL('../../src/cli.ts', import.meta.url));
const TSX = import.meta.resolve('tsx');

/** Through the command line: exit code 1, a message on stderr, nothing left in the folder. */
export const refusal = (test: Case): Verdict => {
  const folder = mkdtempSync(join(tmpdir(), 'pumer-refusal-'));
  try {
    const args = [
      '--import',
      TSX,
      CLI,
      test.model,
      '-o',
      join(folder, 'out.onnx'),
      '--no-color',
      '--keep',
      '0.7',
      ...test.flags,
    ];
    const run = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const message = run.stderr.trim();
    const left = existsSync(folder) ? readdirSync(folder) : [];
    const text = message.split('\n')[0] ?? '';
    if (run.status !== 1) return { outcome: 'fail', text: `exit code ${run.status}: ${text}` };
    if (message === '') return { outcome: 'fail', text: 'no message on stderr' };
    if (left.length > 0) return { outcome: 'fail', text: `left ${left.join(', ')} behind` };
    const code = /^error ([a-z0-9-]+):/.exec(text)?.[1];
    return { outcome: 'pass', text, ...(code !== undefined && { code }) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};
