/**
 * Means and their standard errors, kept so that figures of some samples can be joined with those of others (Chan,
 * Golub, LeVeque 1979). Plain numbers: they are stored in the state of a search.
 */
import type { Losses } from '../evaluator.ts';

export interface Moments {
  readonly count: number;
  readonly mean: number;
  /** Sum of squared deviations from the mean. */
  readonly spread: number;
  /** Known without trying samples: there is no error. */
  readonly exact?: true;
}

/** What a plan loses on some samples. */
export interface Summary {
  readonly metric: Moments;
  readonly disagreement: Moments;
  readonly distance: Moments;
}

const none: Moments = { count: 0, mean: 0, spread: 0 };

export const momentsOf = (values: Float64Array): Moments => {
  if (values.length === 0) return none;
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let spread = 0;
  for (const value of values) spread += (value - mean) ** 2;
  return { count: values.length, mean, spread };
};

const joinedMoments = (a: Moments, b: Moments): Moments => {
  if (a.count === 0) return b;
  const count = a.count + b.count;
  const apart = b.mean - a.mean;
  return {
    count,
    mean: a.mean + (apart * b.count) / count,
    spread: a.spread + b.spread + (apart * apart * a.count * b.count) / count,
  };
};

export const noSamples: Summary = { metric: none, disagreement: none, distance: none };

export const summaryOf = (losses: Losses): Summary => ({
  metric: momentsOf(losses.metric),
  disagreement: momentsOf(losses.disagreement),
  distance: momentsOf(losses.distance),
});

export const joined = (a: Summary, b: Summary): Summary => ({
  metric: joinedMoments(a.metric, b.metric),
  disagreement: joinedMoments(a.disagreement, b.disagreement),
  distance: joinedMoments(a.distance, b.distance),
});

/** The plan that removes nothing loses nothing, by definition. */
export const lossless = (count: number): Summary => {
  const zero = { count, mean: 0, spread: 0, exact: true } as const;
  return { metric: zero, disagreement: zero, distance: zero };
};

/**
 * Of a mean. Losses are differences to the unreduced model on the same samples, so that this is the error of a paired
 * comparison. One sample says nothing about it.
 */
export const standardError = ({ count, spread, exact }: Moments): number =>
  exact === true ? 0 : count < 2 ? Infinity : Math.sqrt(spread / (count - 1) / count);

/** Whether every figure is a number: one NaN among the losses shows here. */
export const isFinite = ({ metric, disagreement, distance }: Summary): boolean =>
  [metric, disagreement, distance].every((m) => Number.isFinite(m.mean) && Number.isFinite(m.spread));
