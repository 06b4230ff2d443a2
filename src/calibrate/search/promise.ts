/**
 * How good a plan will turn out, from what few samples said of it. The metric is what counts, but on few samples it is
 * coarse; the distance is fine, and loses of the metric follow it. So the metric expected of a plan is a mean of both,
 * weighted by how sure each is. And how much a plan promises near a target is one number, time and loss exchanged at
 * the rate of the front there.
 */
import { hasQualityLimit, MARGIN, type Budget } from './budget.ts';
import type { Summary } from './moments.ts';
import { paretoFront } from './pareto-front.ts';

/** Either a loss that may be spent (of `lossOf`), or a share of the original's time that must be reached. */
export type Target = { readonly loss: number } | { readonly ratio: number };

export interface Outlook {
  /** With quality limits: the share of the tightest that is expected to be used up, margin included. Else the loss. */
  readonly lossOf: (summary: Summary) => number;
  /** The mean of the metric's loss that is to be expected on other samples of the kind. */
  readonly expectedDrop: (summary: Summary) => number;
  /** Whether the quality limits are expected to be kept, with the margin. */
  readonly keeps: (summary: Summary) => boolean;
  /** Of a plan not tried yet whose distance is guessed. */
  readonly lossAtDistance: (distance: number) => number;
}

/** How far a loss told from the distance is thought to be off, as a share: what the plans tried say, within bounds. */
const TOLD_WITHIN = { least: 0.15, usual: 0.5, most: 1 } as const;
/** Samples' worth of trust in the usual spread of losses. */
const PRIOR_SAMPLES = 25;

type Measure = 'metric' | 'disagreement';

interface Told {
  readonly mean: number;
  /** Variance of the loss of one sample. */
  readonly variance: number;
}

interface Teller {
  readonly of: (summary: Summary) => Told;
  readonly at: (distance: number) => Told;
}

const teller = (summaries: readonly Summary[], measure: Measure): Teller => {
  let lost = 0;
  let spread = 0;
  let distances = 0;
  for (const summary of summaries) {
    const { count, mean, spread: own } = summary[measure];
    lost += count * mean;
    spread += own;
    distances += count * summary.distance.mean;
  }
  const own = (summary: Summary): Told => {
    const { count, mean, spread: squares } = summary[measure];
    return { mean, variance: squares / Math.max(count - 1, 1) };
  };
  if (!(lost > 0 && distances > 0)) return { of: own, at: (distance) => ({ mean: distance, variance: 0 }) };

  // Losses of an answer are 0 or 1: their variance grows with their number, so with the distance.
  const perDistance = spread / distances;
  const varianceOf = ({ [measure]: { count, spread: squares }, distance }: Summary): number =>
    (squares + PRIOR_SAMPLES * perDistance * distance.mean) / (count + PRIOR_SAMPLES);

  // Loss by distance: the mean of the plans' own, each weighted by how sure it is.
  const usual = lost / distances;
  let rates = 0;
  let weights = 0;
  const shares = summaries
    .filter(({ distance }) => distance.mean > 0)
    .map((summary) => {
      const { mean, count } = summary[measure];
      const told = usual * summary.distance.mean;
      const error = varianceOf(summary) / Math.max(count, 1) / (told * told);
      const weight = 1 / (error + TOLD_WITHIN.usual ** 2);
      rates += (weight * mean) / summary.distance.mean;
      weights += weight;
      return { measured: mean / told, error, weight };
    });
  const rate = rates / weights;
  if (!(rate > 0)) return { of: own, at: (distance) => ({ mean: usual * distance, variance: perDistance * distance }) };
  let beyondError = 0;
  let sure = 0;
  for (const { measured, error, weight } of shares) {
    beyondError += weight * weight * (((measured * usual) / rate - 1) ** 2 - error);
    sure += weight * weight;
  }
  const scatter = Math.sqrt(Math.max(beyondError / sure, 0));
  const within = Math.min(Math.max(scatter, TOLD_WITHIN.least), TOLD_WITHIN.most);

  return {
    at: (distance) => ({ mean: rate * distance, variance: perDistance * distance }),
    of: (summary) => {
      const { mean, count } = summary[measure];
      const told = rate * summary.distance.mean;
      const variance = varianceOf(summary);
      const ownError = variance / Math.max(count, 1);
      const toldError = (within * told) ** 2;
      if (ownError + toldError === 0) return { mean, variance };
      const trust = toldError / (ownError + toldError);
      return { mean: trust * mean + (1 - trust) * told, variance };
    },
  };
};

/** `count`: samples of the choosing half, on all of which a plan is judged in the end. */
export const outlook = (summaries: readonly Summary[], budget: Budget, count: number): Outlook => {
  const metric = teller(summaries, 'metric');
  const expectedDrop = (s: Summary): number => metric.of(s).mean;
  if (!hasQualityLimit(budget))
    return {
      expectedDrop,
      lossOf: expectedDrop,
      keeps: () => true,
      lossAtDistance: (d) => metric.at(d).mean,
    };
  const disagreement = teller(summaries, 'disagreement');
  const limits = [
    ...(budget.maxDrop === undefined ? [] : [{ told: metric, limit: budget.maxDrop }]),
    ...(budget.minAgreement === undefined ? [] : [{ told: disagreement, limit: 1 - budget.minAgreement }]),
  ];
  const used = ({ mean, variance }: Told, limit: number): number =>
    // A limit of 0 counts as one of half a sample, so that plans can be told apart.
    (mean + MARGIN * Math.sqrt(variance / count)) / Math.max(limit, 0.5 / count);
  const lossOf = (s: Summary): number => Math.max(...limits.map(({ told, limit }) => used(told.of(s), limit)));
  return {
    expectedDrop,
    lossOf,
    keeps: (s) => lossOf(s) <= 1,
    lossAtDistance: (d) => Math.max(...limits.map(({ told, limit }) => used(told.at(d), limit))),
  };
};

/** A plan as a point: share of the original's time, loss. */
export interface Point {
  readonly ratio: number;
  readonly loss: number;
}

/** Time given for one unit of loss along the front near the target. */
const exchangeRate = (front: readonly Point[], target: Target): number => {
  const isBeyond = (p: Point): boolean => ('loss' in target ? p.loss > target.loss : p.ratio < target.ratio);
  const found = front.findIndex(isBeyond);
  const at = found < 0 ? front.length - 1 : found;
  // One member more on either side: neighbours alone may be level by luck.
  const slow = front[Math.max(at - 2, 0)];
  const fast = front[Math.min(at + 1, front.length - 1)];
  if (slow === undefined || fast === undefined) return 1;
  const [time, loss] = [slow.ratio - fast.ratio, fast.loss - slow.loss];
  return time > 0 && loss > 0 ? time / loss : 1;
};

/**
 * A rank for every plan near a target, lowest first. The rate alone would draw plans to the ends of a front that is
 * not convex; half of it again on what lies off the target keeps them.
 */
export const promiseAt = (points: readonly Point[], target: Target): ((point: Point) => number) => {
  const front = paretoFront(
    points,
    (p) => p.ratio,
    (a, b) => a.loss - b.loss,
  );
  const rate = exchangeRate(front, target);
  return ({ ratio, loss }) => {
    const off = 'loss' in target ? rate * Math.abs(loss - target.loss) : Math.abs(ratio - target.ratio);
    return ratio + rate * loss + off / 2;
  };
};
