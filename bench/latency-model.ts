/**
 * `latency-model`: how well a plan's time is told from other plans' times. A design of plans is timed and a model made
 * from it; then random plans are timed, which the model has not seen. Both are real compiled models, in turns with the
 * original.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { latencyDesign, latencyTurns, type LatencyEffort } from '../src/calibrate/latency/design.ts';
import { measureLatencies, type LatencyRequest } from '../src/calibrate/latency/measure.ts';
import { fitLatencyModel, type CostOf, type LatencyTable } from '../src/calibrate/latency/model.ts';
import { printLatencyTable } from '../src/calibrate/latency/table.ts';
import type { LaneSizes, OpenSite } from '../src/calibrate/candidate-model.ts';
import { calibrationModel } from '../src/calibration-model.ts';
import { compile } from '../src/index.ts';
import { readModel } from '../src/onnx/read.ts';
import type { ReductionPlan } from '../src/reduction/plan.ts';
import { columns } from '../src/report/columns.ts';
import { loadRuntime } from '../src/runtime/session.ts';
import { machineHere, machineText } from '../src/timing/machine.ts';
import { spreadOf } from '../src/timing/spread.ts';
import { syntheticInputs } from '../src/validate/synthetic-inputs.ts';

export interface LatencyModelRequest {
  readonly model: string;
  readonly threads: number;
  /** Random plans, and where their randomness starts. */
  readonly plans: number;
  readonly seed: number;
  readonly effort: LatencyEffort;
  /** For compiled models, which are removed again, and the table, which stays. */
  readonly folder: string;
}

/** Reproducible numbers in [0, 1): a linear congruential generator (Numerical Recipes). */
const random = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
};

/** One to four sites anywhere, each with ratios of its own. */
const randomPlans = (sites: readonly OpenSite[], { plans, seed }: LatencyModelRequest): ReductionPlan[] => {
  const next = random(seed);
  const ratio = (most: number): number => Math.round(1000 * most * next()) / 1000;
  return Array.from({ length: plans }, () => {
    const wanted = 1 + Math.floor(4 * next());
    const chosen = new Set(Array.from({ length: wanted }, () => sites[Math.floor(sites.length * next())] as OpenSite));
    const planned = [...chosen].map(({ layer, image, text }) => ({
      layer,
      prune: image && next() < 0.5 ? ratio(0.4) : 0,
      merge: image ? ratio(0.45) : 0,
      mergeText: text && next() < 0.5 ? ratio(0.4) : 0,
    }));
    return { schema_version: 1, semantics: 'safe', sites: planned.sort((a, b) => a.layer - b.layer) };
  });
};

/** From 1 on; equal values share the mean of their ranks. */
const ranks = (values: readonly number[]): number[] =>
  values.map((v) => values.filter((o) => o < v).length + (values.filter((o) => o === v).length + 1) / 2);

/** Spearman's: Pearson's correlation of the ranks. */
export const rankCorrelation = (a: readonly number[], b: readonly number[]): number => {
  const middle = (a.length + 1) / 2;
  const [x, y] = [a, b].map((values) => ranks(values).map((rank) => rank - middle)) as [number[], number[]];
  const dot = (p: readonly number[], q: readonly number[]): number => p.reduce((sum, v, i) => sum + v * (q[i] ?? 0), 0);
  return dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y));
};

const planText = ({ sites }: ReductionPlan): string =>
  sites.map((s) => `${s.layer}:${s.prune}/${s.merge}/${s.mergeText}`).join(' ');

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

const errorText = (told: readonly number[], measured: readonly number[]): string => {
  const { median, most } = spreadOf(told.map((ratio, i) => Math.abs(ratio / (measured[i] ?? Number.NaN) - 1)));
  const rank = rankCorrelation(told, measured).toFixed(3);
  return `error of the ratio ${percent(median)} in the median, ${percent(most)} at most; rank correlation ${rank}`;
};

/** Prints as it goes. `costOf`, where given, stands in for the calibration model's. */
export const latencyModel = async (
  request: LatencyModelRequest,
  print: (line: string) => void,
  costOf?: CostOf,
): Promise<void> => {
  const { model: path, threads, effort, folder } = request;
  const start = performance.now();
  mkdirSync(folder, { recursive: true });
  const original = readModel(path);
  const hints = {};
  const candidate = calibrationModel(original, { semantics: 'safe', hints, saliency: 'probs', outputs: 'restore' });
  const { tokens } = (await compile(path)).report;
  const sizes: LaneSizes = { image: tokens.image.before ?? 0, text: tokens.text.before ?? 0 };
  const cost = costOf ?? candidate.costOf;
  const made = syntheticInputs(original, { batch: 1, text: sizes.text, pixels: 384, regions: 36 });
  if ('cannot' in made) throw new Error(`input "${made.cannot}" has a type that cannot be made up`);
  const { runtime, reason } = await loadRuntime();
  if (runtime === undefined) throw new Error(reason.message);

  let written = 0;
  const timing = (plans: readonly ReductionPlan[], seconds: number): LatencyRequest => ({
    plans,
    original: path,
    compilePlan: async (plan) => {
      const file = join(folder, `latency-model.${written++}.onnx`);
      (await compile(path, { plan })).write(file);
      return file;
    },
    discard: (file) => {
      if (typeof file === 'string') rmSync(file, { force: true });
    },
    open: (model) => runtime.open(model, { threads }),
    feeds: made.feeds,
    turns: { ...latencyTurns(effort), seconds },
  });

  const machine = machineHere(process.version, runtime.version);
  const design = latencyDesign({ sites: candidate.sites, semantics: 'safe', costOf: cost }, sizes, effort);
  const timed = await measureLatencies(timing(design, latencyTurns(effort).seconds));
  const table: LatencyTable = {
    schema_version: 1,
    machine: `${machineText(machine)}, reducers: ${runtime.ops}`,
    threads,
    batch: 1,
    ...sizes,
    timed,
  };
  const fitted = fitLatencyModel(table, cost);
  const name = basename(path, '.onnx');
  writeFileSync(join(folder, `${name}.latency.json`), printLatencyTable(table));
  const tableSeconds = (performance.now() - start) / 1000;

  const plans = randomPlans(candidate.sites, request);
  const found = await measureLatencies(timing(plans, 90));
  const measured = found.map((t) => t.ratio.median);
  const told = plans.map((plan) => fitted.predict(plan).ratio);
  const whole = cost({ schema_version: 1, semantics: 'safe', sites: [] }, sizes).multiplyAdds;
  const work = plans.map((plan) => cost(plan, sizes).multiplyAdds / whole);

  print('');
  print(
    `${name}, ${threads} threads, batch 1, ${sizes.image} image and ${sizes.text} text tokens, reducers: ${runtime.ops}`,
  );
  const { median, low, high } = found[0]?.original ?? { median: NaN, low: NaN, high: NaN };
  print(`original ${median.toFixed(1)} ms (${low.toFixed(1)}-${high.toFixed(1)})`);
  const rows = found.map(({ plan, ratio, turns }, i) => [
    String(turns),
    `${ratio.median.toFixed(3)} (${ratio.low.toFixed(3)}-${ratio.high.toFixed(3)})`,
    (told[i] ?? NaN).toFixed(3),
    percent((told[i] ?? NaN) / ratio.median - 1),
    (work[i] ?? NaN).toFixed(3),
    planText(plan),
  ]);
  const heads = ['turns', 'measured', 'predicted', 'error', 'work', 'plan (layer:prune/merge/mergeText)'];
  for (const line of columns([heads, ...rows], ['right', 'right', 'right', 'right', 'right'])) print(`  ${line}`);
  print("  measured: time over the original's, median of the ratios within turns (quartiles); work: multiply-adds");
  print('');
  print(
    `${design.length} plans timed for the model (${effort}), ${tableSeconds.toFixed(0)} s with compiling; ${plans.length} random ones, seed ${request.seed}`,
  );
  print(`predicted:          ${errorText(told, measured)}`);
  print(`multiply-adds only: ${errorText(work, measured)}`);
  const { leftOut } = fitted;
  print(
    `told by the model:  ${percent(leftOut.median)} in the median, ${percent(leftOut.largest)} at most, each measured plan from the others`,
  );
  print(`${((performance.now() - start) / 1000).toFixed(0)} s in all`);
};
