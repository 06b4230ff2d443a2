/**
 * The search against brute force on problems made up by a formula, and against every kind of budget. No model is run.
 */
import { describe, expect, test } from 'vitest';
import { splitHalves } from '../../src/calibrate/halves.ts';
import type { Budget } from '../../src/calibrate/search/budget.ts';
import { search, type SearchOptions, type SearchResult } from '../../src/calibrate/search/search.ts';
import type { PlannedSite, ReductionPlan } from '../../src/reduction/plan.ts';
import { all, COUNT, options, problem, type Problem } from './synthetic.ts';

const planOf = (sites: readonly PlannedSite[]): ReductionPlan => ({ schema_version: 1, semantics: 'safe', sites });

/** Standard errors that another half of the same size stays within nine times in ten. */
const MARGIN = 1.2816 * Math.SQRT2;

/** What the formula says of a plan, without the search's sums: mean loss of the metric over the samples. */
const meanLoss = async (made: Problem, plan: ReductionPlan): Promise<number> => {
  const { metric } = await made.evaluator(COUNT, false).losses(plan, all);
  return metric.reduce((sum, value) => sum + value, 0) / COUNT;
};

const standardErrorOf = (values: Float64Array): number => {
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  return Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (values.length - 1) / values.length);
};

/** Every plan with ratios on a grid of 0.1 at two layers. */
const everyPlan = (): ReductionPlan[] => {
  const prunes = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
  const merges = [0, 0.1, 0.2, 0.3, 0.4];
  const at = (layer: number): PlannedSite[] =>
    prunes.flatMap((prune) => merges.map((merge) => ({ layer, prune, merge, mergeText: 0 })));
  return at(0).flatMap((a) => at(1).map((b) => planOf([a, b].filter((s) => s.prune + s.merge > 0))));
};

/** Plain non-dominance, pair by pair. */
const isDominated = (plan: SearchResult['front'][number], others: SearchResult['front']): boolean =>
  others.some(
    (o) =>
      o !== plan &&
      o.ratio <= plan.ratio &&
      o.expectedDrop <= plan.expectedDrop &&
      (o.ratio < plan.ratio || o.expectedDrop < plan.expectedDrop || o.distance < plan.distance),
  );

describe('against brute force, two layers', () => {
  test.each([1, 2, 3, 4])('the fastest plan within a drop, problem %i', async (seed) => {
    const made = problem(seed, 2, false);
    const maxDrop = 0.02;
    let best = Infinity;
    for (const plan of everyPlan()) {
      const { metric } = await made.evaluator(COUNT, false).losses(plan, all);
      const mean = metric.reduce((sum, v) => sum + v, 0) / COUNT;
      if (mean + MARGIN * standardErrorOf(metric) <= maxDrop) best = Math.min(best, made.latency.predict(plan).ratio);
    }
    const { chosen, reached } = await search(
      options(made, { maxDrop }, made.evaluator(COUNT, false), { effort: 'default' }),
    );
    expect(reached).toBe(true);
    expect(await meanLoss(made, chosen.plan)).toBeLessThanOrEqual(maxDrop);
    expect(chosen.ratio).toBe(made.latency.predict(chosen.plan).ratio);
    expect(chosen.ratio).toBeLessThan(best + 0.01);
  });

  test.each([5, 6, 7, 8])('the best plan at a speed, problem %i', async (seed) => {
    const made = problem(seed, 2, false);
    const minSpeedup = 1.25;
    let best = Infinity;
    for (const plan of everyPlan())
      if (made.latency.predict(plan).ratio <= 1 / minSpeedup) best = Math.min(best, await meanLoss(made, plan));
    const { chosen, reached } = await search(
      options(made, { minSpeedup }, made.evaluator(COUNT, false), { effort: 'default' }),
    );
    expect(reached).toBe(true);
    expect(made.latency.predict(chosen.plan).ratio).toBeLessThanOrEqual(1 / minSpeedup);
    expect(await meanLoss(made, chosen.plan)).toBeLessThan(1.1 * best);
  });
});

test('the half that took no part confirms nine plans of ten', async () => {
  let [confirmed, searches, saved] = [0, 0, 0];
  for (const [count, maxDrop] of [
    [400, 0.03],
    [1000, 0.02],
    [200, 0.05],
  ] as const)
    for (let seed = 0; seed < 40; seed++) {
      const made = problem(100 + seed, 3, false);
      const { choosing, judging } = splitHalves(count, seed);
      const evaluator = made.evaluator(count, true);
      const { chosen } = await search(options(made, { maxDrop }, evaluator, { choose: choosing, seed }));
      const { metric } = await evaluator.losses(chosen.plan, judging);
      confirmed += Number(metric.reduce((sum, v) => sum + v, 0) / judging.length <= maxDrop);
      searches++;
      saved += 1 - chosen.ratio;
    }
  expect(confirmed / searches).toBeGreaterThanOrEqual(0.9);
  // And not because nothing is dared.
  expect(saved / searches).toBeGreaterThan(0.1);
});

describe('six layers', () => {
  const made = problem(21);

  test('beats the same ratio at every site, and removes something at several', async () => {
    const maxDrop = 0.01;
    let family = 1;
    for (let merge = 0.01; merge < 0.5; merge += 0.01)
      for (const layers of [
        [1, 2, 4],
        [0, 1, 2, 3, 4, 5],
      ]) {
        const ratio = Math.round(merge * 100) / 100;
        const plan = planOf(layers.map((layer) => ({ layer, prune: 0, merge: ratio, mergeText: 0 })));
        if ((await meanLoss(made, plan)) <= maxDrop) family = Math.min(family, made.latency.predict(plan).ratio);
      }
    const { chosen } = await search(options(made, { maxDrop }, made.evaluator(COUNT, false), { effort: 'default' }));
    expect(chosen.ratio).toBeLessThan(family);
    expect(chosen.plan.sites.length).toBeGreaterThan(1);
  });

  test('one front, none of it dominated, every plan on all samples; no plan under two names', async () => {
    const result = await search(options(made, { maxDrop: 0.02 }, made.evaluator(COUNT, true)));
    expect(result.front.length).toBeGreaterThan(3);
    expect(result.front.filter((plan) => isDominated(plan, result.front))).toEqual([]);
    expect(result.front.map((p) => p.ratio)).toEqual([...result.front.map((p) => p.ratio)].sort((a, b) => b - a));
    expect(new Set(result.front.map((p) => p.samples))).toEqual(new Set([COUNT]));
    const tried = result.state.trials.filter((t) => t.rung === 0).map((t) => planOf(t.sites));
    const counts = tried.map((plan) =>
      JSON.stringify([made.cost(plan).sites, plan.sites.map((s) => [s.layer, Math.round(s.prune * 145)])]),
    );
    expect(new Set(counts).size).toBe(tried.length);
    for (const plan of tried) expect(made.cost(plan).sites.map((s) => s.layer)).toEqual(plan.sites.map((s) => s.layer));
  });

  test('effort is plan-samples, counted, and grows', async () => {
    const spent: number[] = [];
    for (const effort of ['quick', 'default'] as const) {
      const evaluator = made.evaluator(COUNT, true);
      const result = await search(options(made, { maxDrop: 0.02 }, evaluator, { effort }));
      expect(result.tried.planSamples).toBe(evaluator.planSamples);
      spent.push(evaluator.planSamples);
    }
    // 12 and 40 passes over 160 samples, of which there are 60; the last evaluation may go beyond.
    expect(spent.map((samples) => Math.floor(samples / 160))).toEqual([12, 40]);
  });

  test('the sensitivity of every ratio is told', async () => {
    const { sensitivity } = await search(options(made, { maxDrop: 0.02 }, made.evaluator(COUNT, false)));
    expect(sensitivity.map((s) => `${s.layer} ${s.kind}`).length).toBe(18);
    const [first] = sensitivity;
    const [level] = first?.levels ?? [];
    const alone = planOf([{ layer: 0, prune: level?.ratio ?? 0, merge: 0, mergeText: 0 }]);
    // On a part of the samples, so about as much as on all.
    expect((level?.metric ?? 0) / (await meanLoss(made, alone))).toBeCloseTo(1, 0);
  });

  test('the seed decides, the order of the samples does not', async () => {
    const run = (more: Partial<SearchOptions>): Promise<SearchResult> =>
      search(options(made, { maxDrop: 0.02 }, made.evaluator(COUNT, true), more));
    const result = await run({});
    expect(await run({})).toEqual(result);
    expect(await run({ choose: [...all].reverse() })).toEqual(result);
    expect((await run({ seed: 4 })).state.trials).not.toEqual(result.state.trials);
  });
});

describe('budgets', () => {
  const made = problem(31, 4);
  const run = (budget: Budget): Promise<SearchResult> => search(options(made, budget, made.evaluator(COUNT, false)));

  test('agreement', async () => {
    const { chosen, reached } = await run({ minAgreement: 0.98 });
    expect(reached).toBe(true);
    // In the formula without noise as many answers change as the metric loses.
    expect(1 - chosen.agreement.mean).toBeCloseTo(await meanLoss(made, chosen.plan), 12);
    expect(chosen.agreement.mean - chosen.agreement.standardError).toBeGreaterThanOrEqual(0.98);
    expect(chosen.ratio).toBeLessThan(0.97);
  });

  test('drop and agreement: both hold', async () => {
    const tight = await run({ maxDrop: 0.004, minAgreement: 0.9 });
    expect(tight.chosen.drop.mean).toBeLessThanOrEqual(0.004);
    const loose = await run({ maxDrop: 0.04, minAgreement: 0.9 });
    expect(loose.chosen.ratio).toBeLessThan(tight.chosen.ratio);
  });

  test('latency in milliseconds', async () => {
    const { chosen, reached } = await run({ maxLatencyMs: 16 });
    expect(reached).toBe(true);
    expect(chosen.milliseconds).toBeLessThanOrEqual(16);
    expect(chosen.milliseconds).toBe(made.latency.predict(chosen.plan).milliseconds);
  });

  test('a margin for predictions that are off', async () => {
    const latency = { ...made.latency, leftOut: { median: 0.04, largest: 0.1 } };
    const { chosen } = await search(options(made, { minSpeedup: 1.25 }, made.evaluator(COUNT, false), { latency }));
    expect(chosen.ratio * 1.04).toBeLessThanOrEqual(1 / 1.25);
  });

  test('drop and speed that go together', async () => {
    const { reached, chosen } = await run({ maxDrop: 0.03, minSpeedup: 1.1 });
    expect(reached).toBe(true);
    expect(chosen.ratio).toBeLessThanOrEqual(1 / 1.1);
    expect(chosen.drop.mean).toBeLessThanOrEqual(0.03);
  });

  test('drop and speed that do not: quality holds, and what is missed is told', async () => {
    const { reached, missed, chosen } = await run({ maxDrop: 0.003, minSpeedup: 3 });
    expect(reached).toBe(false);
    expect(missed).toEqual([{ limit: 'min-speedup', wanted: 3, found: 1 / chosen.ratio }]);
    expect(chosen.drop.mean).toBeLessThanOrEqual(0.003);
    expect(chosen.ratio).toBeLessThan(1);
  });

  test('a speed no plan has: the fastest', async () => {
    const { reached, missed, chosen, front } = await run({ maxLatencyMs: 1 });
    expect(reached).toBe(false);
    expect(missed).toEqual([{ limit: 'max-latency-ms', wanted: 1, found: chosen.milliseconds }]);
    expect(chosen).toEqual(front.at(-1));
  });

  test('no loss at all allowed: the plan that removes nothing', async () => {
    const { reached, chosen } = await run({ maxDrop: 0 });
    expect(reached).toBe(true);
    expect(chosen.plan.sites).toEqual([]);
    expect(chosen.drop).toEqual({ mean: 0, standardError: 0 });
  });

  test.each([{}, { maxDrop: NaN }])('none, or no number: refused', async (budget) => {
    await expect(run(budget)).rejects.toThrow(/budget/);
  });
});

test('pumer: no site is asked to merge without pruning', async () => {
  const made = problem(61, 3);
  const { state, chosen } = await search(
    options(made, { maxDrop: 0.05 }, made.evaluator(COUNT, false), { semantics: 'pumer' }),
  );
  expect(state.trials.length).toBeGreaterThan(10);
  const merging = state.trials.flatMap((t) => t.sites).filter((site) => site.merge + site.mergeText > 0);
  expect(merging.length).toBeGreaterThan(10);
  for (const site of merging) expect(site.prune).toBeGreaterThanOrEqual(0.05);
  expect(chosen.plan.semantics).toBe('pumer');
});

test('progress: done, of how many, best so far, time left by the clock that was given', async () => {
  const made = problem(71, 3);
  const evaluator = made.evaluator(COUNT, true);
  const seen: Parameters<NonNullable<SearchOptions['onProgress']>>[0][] = [];
  // A clock of one millisecond for each plan-sample run.
  const result = await search(
    options(made, { maxDrop: 0.02 }, evaluator, {
      now: () => evaluator.planSamples,
      onProgress: (progress) => void seen.push(progress),
    }),
  );
  expect(seen.at(-1)?.done).toBe(result.tried.planSamples);
  for (const { done, total, secondsLeft } of seen) {
    expect(done).toBeLessThanOrEqual(total);
    expect(secondsLeft).toBeCloseTo((total - done) / 1000, 9);
  }
  expect(seen.at(-1)?.best).toEqual(result.chosen);
});
