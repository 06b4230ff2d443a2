/**
 * Golden cases of calibration: a problem, a seed and a recorded latency table, and what the search made of them.
 * `npx tsx test/golden/calibration-case.ts` writes golden/calibration-formula anew; do that only where a change of the
 * search was meant to change its choices.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Budget } from '../../src/calibrate/search/budget.ts';
import { latencyDesign } from '../../src/calibrate/latency/design.ts';
import { fitLatencyModel, type LatencyTable } from '../../src/calibrate/latency/model.ts';
import { search, type Effort, type SearchResult } from '../../src/calibrate/search/search.ts';
import type { ReductionPlan } from '../../src/reduction/plan.ts';
import { draw, problem, sizes } from '../calibrate/synthetic.ts';
import { spreadLayers } from '../../src/reduction/choose-plan.ts';

export interface CalibrationCase {
  readonly origin: string;
  /** Of `problem` in test/calibrate/synthetic.ts. */
  readonly problem: { readonly seed: number; readonly depth: number; readonly samples: number };
  readonly effort: Effort;
  readonly seed: number;
  readonly latency: LatencyTable;
  readonly runs: readonly {
    readonly budget: Budget;
    readonly chosen: ReductionPlan;
    readonly front: readonly ReductionPlan[];
    readonly plans: number;
    readonly planSamples: number;
  }[];
}

export const caseFile = fileURLToPath(new URL('../../golden/calibration-formula/calibration.json', import.meta.url));
export const readCase = (): CalibrationCase => JSON.parse(readFileSync(caseFile, 'utf8')) as CalibrationCase;

type Given = Omit<CalibrationCase, 'runs' | 'origin'>;

export const searched = ({ problem: made, effort, seed, latency }: Given, budget: Budget): Promise<SearchResult> => {
  const { sites, depth, cost, evaluator } = problem(made.seed, made.depth);
  return search({
    sites,
    semantics: 'safe',
    usualLayers: spreadLayers(depth, 0),
    evaluator: evaluator(made.samples, true),
    latency: fitLatencyModel(latency, cost),
    cost,
    choose: Array.from({ length: made.samples }, (_, i) => i),
    budget,
    effort,
    seed,
  });
};

const budgets: readonly Budget[] = [{ maxDrop: 0.02 }, { minSpeedup: 1.5 }, { minAgreement: 0.97, maxLatencyMs: 15 }];

/** Times of the formula, off by up to a hundredth, as a clock would have them. */
const recordedTable = (made: ReturnType<typeof problem>): LatencyTable => {
  const thousandth = (value: number): number => Math.round(value * 1000) / 1000;
  const around = (value: number) => ({
    median: thousandth(value),
    low: thousandth(0.99 * value),
    high: thousandth(1.01 * value),
  });
  const design = latencyDesign({ sites: made.sites, semantics: 'safe', costOf: made.cost }, sizes, 'default');
  return {
    schema_version: 1,
    machine: 'no machine: the formula of test/calibrate/synthetic.ts, a hundredth off',
    threads: 1,
    batch: 1,
    ...sizes,
    timed: design.map((plan, i) => {
      const ratio = made.latency.predict(plan).ratio * (1 + 0.02 * (draw(i, 77) - 0.5));
      return { plan, original: around(20), compiled: around(20 * ratio), ratio: around(ratio), turns: 10 };
    }),
  };
};

const write = async (): Promise<void> => {
  const made = { seed: 81, depth: 6, samples: 200 };
  const given: Given = { problem: made, effort: 'quick', seed: 7, latency: recordedTable(problem(81, 6)) };
  const runs: CalibrationCase['runs'][number][] = [];
  for (const budget of budgets) {
    const { chosen, front, tried } = await searched(given, budget);
    runs.push({
      budget,
      chosen: chosen.plan,
      front: front.map(({ plan }) => plan),
      plans: tried.plans,
      planSamples: tried.planSamples,
    });
  }
  const origin = 'test/golden/calibration-case.ts; losses and times are of a formula, no model was run';
  writeFileSync(caseFile, `${JSON.stringify({ origin, ...given, runs }, undefined, 1)}\n`);
};

if (process.argv[1] === fileURLToPath(import.meta.url)) void write();
