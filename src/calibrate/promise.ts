/**
 * How good a plan will turn out, from what few samples said of it. The metric is what counts, but on few samples it is
 * coarse; the distance is fine, and loses of the metric follow it. So the metric expected of a plan is a mean of both,
 * weighted by how sure each is. And how much a plan promises near a target is one number, time and loss exchanged at
 * the rate of the front there.
 */
import { hasQualityLimit, type Budget } from './budget.ts';
import type { Predicted } from './latency-model.ts';
import type { Moments, Summary } from './moments.ts';
import { paretoFront } from './pareto-front.ts';

export interface Judged {
  readonly summary: Summary;
  readonly predicted: Predicted;
}

/** Either a loss that may be spent (of `lossOf`), or a share of the original's time that must be reached. */
export type Target = { readonly loss: number } | { readonly ratio: number };

export interface Outlook {
  /** With quality limits: the share of the tightest that is expected to be used up, margin included. Else the loss. */
  readonly lossOf: (summary: Summary) => number;
  /** Of a plan not tried yet whose distance is guessed. */
  readonly lossAtDistance: (distance: number) => number;
}

/** How far a loss told from the distance may be off, as a share. */
const TOLD_WITHIN = 0.5;
/** Samples' worth of trust in the usual spread of losses. */
const PRIOR_SAMPLES = 25;

type Measure = 'metric' | 'disagreement';

interface Told {
  readonly mean: number;
  /** Variance of the loss of one sample. */
  readonly variance: number;
}

const teller = (
  summaries: readonly Summary[],
  measure: Measure,
): { of: (summary: Summary) => Told; at: (distance: number) => Told } => {
  let along = 0;
  let square = 0;
  let spread = 0;
  let distances = 0;
  for (const summary of summaries) {
    const { count, mean, spread: own } = summary[measure];
    const distance = summary.distance.mean;
    along += count * mean * distance;
    square += count * distance * distance;
    spread += own;
    distances += count * distance;
  }
  const rate = square > 0 ? Math.max(along / square, 0) : 0;
  // Losses of an answer are 0 or 1: their variance grows with their number, so with the distance.
  const perDistance = distances > 0 ? spread / distances : 0;
  const at = (distance: number): Told => ({ mean: rate * distance, variance: perDistance * distance });
  const of = (summary: Summary): Told => {
    const own: Moments = summary[measure];
    const told = at(summary.distance.mean);
    const variance = (own.spread + PRIOR_SAMPLES * told.variance) / (own.count + PRIOR_SAMPLES);
    const ownError = variance / Math.max(own.count, 1);
    const toldError = (TOLD_WITHIN * told.mean) ** 2;
    if (ownError + toldError === 0) return { mean: own.mean, variance };
    const trust = toldError / (ownError + toldError);
    return { mean: trust * own.mean + (1 - trust) * told.mean, variance };
  };
  return { of, at };
};

/** `count`: samples of the choosing half, on all of which a plan is judged in the end. */
export const outlook = (summaries: readonly Summary[], budget: Budget, count: number): Outlook => {
  const metric = teller(summaries, 'metric');
  if (!hasQualityLimit(budget)) return { lossOf: (s) => metric.of(s).mean, lossAtDistance: (d) => metric.at(d).mean };
  const disagreement = teller(summaries, 'disagreement');
  const limits = [
    ...(budget.maxDrop === undefined ? [] : [{ told: metric, limit: budget.maxDrop }]),
    ...(budget.minAgreement === undefined ? [] : [{ told: disagreement, limit: 1 - budget.minAgreement }]),
  ];
  const used = ({ mean, variance }: Told, limit: number): number =>
    // A limit of 0 counts as one of half a sample, so that plans can be told apart.
    (mean + Math.sqrt(variance / count)) / Math.max(limit, 0.5 / count);
  return {
    lossOf: (s) => Math.max(...limits.map(({ told, limit }) => used(told.of(s), limit))),
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
