/**
 * Calibration problems without a model: token counts by semantics.md, time of a transformer with tiles of tokens, losses
 * from a formula with draws of its own. Everything follows from a seed.
 */
import type { LaneSizes, OpenSite, PlanCost } from '../../src/calibrate/candidate-model.ts';
import type { Budget } from '../../src/calibrate/search/budget.ts';
import type { Evaluator, Losses } from '../../src/calibrate/evaluator.ts';
import type { LatencyModel, LatencyTable } from '../../src/calibrate/latency/model.ts';
import type { SearchOptions } from '../../src/calibrate/search/search.ts';
import { spreadLayers } from '../../src/reduction/choose-plan.ts';
import { imageCounts, textCounts } from '../../src/reduction/counts.ts';
import type { PlannedSite, ReductionPlan } from '../../src/reduction/plan.ts';

/** A number in [0, 1) that follows from whole numbers alone. */
export const draw = (...from: readonly number[]): number => {
  let t = 0x9e3779b9;
  for (const value of from) {
    t = Math.imul(t ^ value, 0x85ebca6b);
    t ^= t >>> 13;
    t = Math.imul(t, 0xc2b2ae35);
    t ^= t >>> 16;
  }
  return (t >>> 0) / 2 ** 32;
};

export const sizes: LaneSizes = { image: 145, text: 24 };
const WIDTH = 128;
const rule = { semantics: 'safe', protectedCount: 1 } as const;

/** Layers 0 to depth - 1, each with its attention before and its MLP behind the site. */
export const costAt =
  (depth: number, { image: images, text: texts }: LaneSizes = sizes) =>
  (plan: ReductionPlan): PlanCost => {
    let [image, text] = [images, texts];
    const stages: PlanCost['stages'][number][] = [];
    const sites: PlanCost['sites'][number][] = [];
    const stage = (ratio: number, pairs: boolean): void => {
      const n = image + text;
      const multiplyAdds = ratio * n * WIDTH * WIDTH + (pairs ? 2 * n * n * WIDTH : 0);
      stages.push({ image, text, multiplyAdds, elements: n * WIDTH * 4 });
    };
    for (let layer = 0; layer < depth; layer++) {
      stage(4, true);
      const site = plan.sites.find((s) => s.layer === layer);
      if (site !== undefined) {
        const after = {
          image: imageCounts(image, site.prune, site.merge, rule).after,
          text: textCounts(text, site.mergeText, rule).after,
        };
        if (after.image < image || after.text < text)
          sites.push({
            layer,
            image: { before: image, after: after.image },
            text: { before: text, after: after.text },
          });
        [image, text] = [after.image, after.text];
      }
      stage(8, false);
    }
    return { multiplyAdds: stages.reduce((sum, s) => sum + s.multiplyAdds, 0), stages, sites };
  };

/** Time by multiply-adds of whole tiles of 8 tokens, something for every operator, and the reducers' own. */
export const latencyOf = (cost: (plan: ReductionPlan) => PlanCost, table?: LatencyTable): LatencyModel => {
  const work = (plan: ReductionPlan): number => {
    const { stages, sites } = cost(plan);
    const tiled = stages.reduce((sum, s) => {
      const n = s.image + s.text;
      return sum + (s.multiplyAdds * (Math.ceil(n / 8) * 8)) / n;
    }, 0);
    const [first] = stages;
    return tiled + 0.4 * (first?.multiplyAdds ?? 0) + 0.15 * sites.length * (first?.multiplyAdds ?? 0);
  };
  const original = work({ schema_version: 1, semantics: 'safe', sites: [] });
  const milliseconds = table?.timed[0]?.original.median ?? 20;
  return {
    table: table ?? { schema_version: 1, machine: 'formula', threads: 1, batch: 1, ...sizes, timed: [] },
    predict: (plan) => {
      const ratio = work(plan) / original;
      return { ratio, milliseconds: ratio * milliseconds };
    },
    leftOut: { median: 0, largest: 0 },
  };
};

export interface Problem {
  readonly depth: number;
  readonly sites: readonly OpenSite[];
  readonly cost: (plan: ReductionPlan) => PlanCost;
  readonly latency: LatencyModel;
  /** What a plan does to a sample of usual difficulty; what is to be found out. */
  readonly damage: (sites: readonly PlannedSite[]) => number;
  /** `noisy`: answers of single samples flip by chance; else every loss is the damage times the sample's difficulty. */
  readonly evaluator: (count: number, noisy: boolean) => Evaluator & { calls: number; planSamples: number };
}

const planHash = (sites: readonly PlannedSite[]): number =>
  sites.reduce((h, s) => {
    const at = Math.round(s.prune * 1e4) * 31 + Math.round(s.merge * 1e4) * 37 + Math.round(s.mergeText * 1e4) * 41;
    return Math.imul(h ^ (s.layer * 1000003 + at), 0x01000193);
  }, 0x811c9dc5);

/** Early layers mind more; merging is cheaper than pruning at most layers and not at all of them; sites add up and more. */
export const problem = (seed: number, depth = 6, text = true): Problem => {
  const sites = Array.from({ length: depth }, (_, layer) => ({ layer, image: true, text }));
  const cost = costAt(depth);
  const weights = sites.map(({ layer }) => {
    const early = (1.5 * (depth - layer)) / depth;
    return {
      prune: (0.2 + early) * (0.3 + draw(seed, layer, 1)),
      merge: (0.1 + 0.6 * early) * (0.3 + draw(seed, layer, 2)),
      mergeText: (0.5 + early) * (0.3 + draw(seed, layer, 3)),
    };
  });
  const damage = (planned: readonly PlannedSite[]): number => {
    let sum = 0;
    let gone = 0;
    for (const { layer, prune, merge, mergeText } of [...planned].sort((a, b) => a.layer - b.layer)) {
      const w = weights[layer] as (typeof weights)[number];
      const own =
        w.prune * prune * prune +
        w.merge * merge * merge * (0.5 + merge) +
        w.mergeText * mergeText * mergeText +
        0.02 * w.merge * (prune + merge);
      sum += own * (1 + 1.5 * gone);
      gone += prune + merge;
    }
    return sum;
  };
  const difficulty = (sample: number): number => 0.2 + 1.6 * draw(seed, sample, 7);
  const evaluator = (count: number, noisy: boolean): ReturnType<Problem['evaluator']> => {
    const counted = {
      count,
      calls: 0,
      planSamples: 0,
      losses: (plan: ReductionPlan, samples: readonly number[], signal?: AbortSignal): Promise<Losses> => {
        if (signal?.aborted === true) return Promise.reject(signal.reason as Error);
        counted.calls++;
        counted.planSamples += samples.length;
        const whole = damage(plan.sites);
        const hash = planHash(plan.sites);
        const metric = new Float64Array(samples.length);
        const disagreement = new Float64Array(samples.length);
        const distance = new Float64Array(samples.length);
        for (const [i, sample] of samples.entries()) {
          const hurt = whole * difficulty(sample);
          distance[i] = hurt * (noisy ? 0.6 + 0.8 * draw(hash, sample, 8) : 1);
          const flips = draw(hash, sample, 9) < 0.4 * hurt;
          const wasRight = draw(seed, sample, 10) < 0.9;
          disagreement[i] = noisy ? Number(flips) : 0.4 * hurt;
          metric[i] = noisy ? (flips ? (wasRight ? 1 : draw(hash, sample, 11) < 0.3 ? -1 : 0) : 0) : 0.4 * hurt;
        }
        return Promise.resolve({ metric, disagreement, distance });
      },
    };
    return counted;
  };
  return { depth, sites, cost, latency: latencyOf(cost), damage, evaluator };
};

/** Samples of the problems that are searched. */
export const COUNT = 60;
export const all = Array.from({ length: COUNT }, (_, i) => i);

export const options = (
  made: Problem,
  budget: Budget,
  evaluator: Evaluator,
  more: Partial<SearchOptions> = {},
): SearchOptions => ({
  sites: made.sites,
  semantics: 'safe',
  usualLayers: spreadLayers(made.depth, 0),
  evaluator,
  latency: made.latency,
  cost: made.cost,
  choose: all,
  budget,
  effort: 'quick',
  seed: 3,
  ...more,
});
