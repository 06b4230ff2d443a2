/**
 * A transformer's cost by its arithmetic, and a machine that takes time for it in its own way: tiles, worse efficiency
 * on few tokens, memory-bound operators, a price for every reducer. No model is run.
 */
import type { OpenSite, PlanCost, Stage } from '../../src/calibrate/candidate-model.ts';
import type { CostOf, LatencyTable, TimedPlan } from '../../src/calibrate/latency/model.ts';
import { imageCounts, siteIsIdle, textCounts } from '../../src/reduction/counts.ts';
import type { ReductionPlan } from '../../src/reduction/plan.ts';

/** Reproducible numbers in [0, 1): a linear congruential generator (Numerical Recipes). */
export const random = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
};

export const [layers, width] = [12, 768];
export const sizes = { image: 145, text: 40 } as const;
export const openSites: readonly OpenSite[] = Array.from({ length: layers }, (_, layer) => ({
  layer,
  image: true,
  text: true,
}));

/** A site acts within its layer, between attention and feed-forward: a third of the work runs before it. */
export const costOf: CostOf = (plan, { image, text }) => {
  let [i, t] = [image, text];
  const stages: Stage[] = [];
  const sites: PlanCost['sites'][number][] = [];
  const add = (share: number): void => {
    const n = i + t;
    stages.push({
      image: i,
      text: t,
      multiplyAdds: share * (12 * n * width ** 2 + 2 * n ** 2 * width),
      elements: share * (20 * n * width + 3 * 12 * n ** 2),
    });
  };
  for (let layer = 0; layer < layers; layer++) {
    add(1 / 3);
    const site = plan.sites.find((s) => s.layer === layer);
    if (site !== undefined) {
      const rule = { semantics: plan.semantics, protectedCount: 1 };
      const idle = siteIsIdle(i, site.prune, plan.semantics);
      const found = {
        layer,
        image: { before: i, after: imageCounts(i, site.prune, site.merge, rule).after },
        text: { before: t, after: textCounts(t, site.mergeText, rule, idle).after },
      };
      if (found.image.after < i || found.text.after < t) sites.push(found);
      [i, t] = [found.image.after, found.text.after];
    }
    add(2 / 3);
  }
  return { multiplyAdds: stages.reduce((sum, s) => sum + s.multiplyAdds, 0), stages, sites };
};

/** Milliseconds: products in tiles of 16 tokens and slower on few, everything else by the element, reducers on top. */
export const timeOf = (plan: ReductionPlan): number => {
  const { stages, sites } = costOf(plan, sizes);
  let time = 2;
  for (const { image, text, multiplyAdds, elements } of stages) {
    const n = image + text;
    const tiles = (Math.ceil(n / 16) * 16) / n;
    time += (multiplyAdds / 8e7) * tiles * (1 + 12 / n) + elements / 4e6;
  }
  for (const { image, text } of sites)
    for (const { before, after } of [image, text]) if (before !== after) time += 0.6 + 0.004 * before;
  return time;
};

/** The table of a machine whose medians are off by up to `noise`, as a share. */
export const tableOf = (plans: readonly ReductionPlan[], noise: number, seed = 3): LatencyTable => {
  const next = random(seed);
  const off = (): number => 1 + noise * (2 * next() - 1);
  const [semantics = 'safe'] = plans.map((p) => p.semantics);
  const original = timeOf({ schema_version: 1, semantics, sites: [] });
  const around = (median: number): TimedPlan['ratio'] => ({
    median,
    low: median * (1 - 2 * noise),
    high: median * (1 + 2 * noise),
  });
  return {
    schema_version: 1,
    machine: 'made up',
    threads: 2,
    batch: 1,
    ...sizes,
    timed: plans.map((plan) => {
      const ratio = (timeOf(plan) / original) * off();
      return { plan, original: around(original), compiled: around(ratio * original), ratio: around(ratio), turns: 10 };
    }),
  };
};

/** Up to four sites anywhere, with ratios of every kind. */
export const randomPlans = (count: number, seed: number): ReductionPlan[] => {
  const next = random(seed);
  const ratio = (most: number): number => Math.round(1000 * most * next()) / 1000;
  return Array.from({ length: count }, () => {
    const chosen = new Set(Array.from({ length: 1 + Math.floor(4 * next()) }, () => Math.floor(layers * next())));
    return {
      schema_version: 1,
      semantics: 'safe',
      sites: [...chosen]
        .sort((a, b) => a - b)
        .map((layer) => ({
          layer,
          prune: next() < 0.5 ? 0 : ratio(0.5),
          merge: ratio(0.4),
          mergeText: next() < 0.5 ? 0 : ratio(0.4),
        })),
    };
  });
};
