/**
 * What a plan must keep to, whether one does, and which of the plans that were tried is the one: a decision on the
 * choosing half alone.
 */
import { invariant } from '../../support/assert.ts';
import type { Predicted } from '../latency/model.ts';
import { standardError, type Summary } from './moments.ts';

/** At least one limit. */
export interface Budget {
  /** Of the mean of `Losses.metric`. */
  readonly maxDrop?: number;
  /** Share of samples that must get the unreduced model's answer. */
  readonly minAgreement?: number;
  /** Time of the original / time of the compiled model. */
  readonly minSpeedup?: number;
  readonly maxLatencyMs?: number;
}

/** A plan tried on samples, with its predicted time. */
export interface Tried {
  readonly summary: Summary;
  readonly predicted: Predicted;
}

export interface MissedLimit {
  readonly limit: 'max-drop' | 'min-agreement' | 'min-speedup' | 'max-latency-ms';
  readonly wanted: number;
  readonly found: number;
}

export interface Choice<T> {
  readonly chosen: T;
  /** Limits that no plan tried keeps to together with those before them; empty where the budget is kept. */
  readonly missed: readonly MissedLimit[];
}

export const hasQualityLimit = (budget: Budget): boolean =>
  budget.maxDrop !== undefined || budget.minAgreement !== undefined;

export const checkBudget = (budget: Budget): void => {
  const limits = [budget.maxDrop, budget.minAgreement, budget.minSpeedup, budget.maxLatencyMs];
  const given = limits.filter((limit) => limit !== undefined);
  invariant(given.length > 0, 'a budget needs a limit');
  invariant(given.every(Number.isFinite), 'limits of a budget are finite numbers');
};

/** Decimals as written (1 - 0.99) and what sums of doubles make of them. */
const ROUNDING = 1e-12;

/**
 * Standard errors of the paired difference that are added to what is lost before it is held against a limit. The half
 * that judges is another sample of the same size: its mean is off by sqrt(2) standard errors of this one, and 1.28 of
 * those hold nine times in ten. Without a margin about every second choice would fail there.
 */
export const MARGIN = 1.2816 * Math.SQRT2;

export const keepsQuality = (budget: Budget, { metric, disagreement }: Summary): boolean =>
  (budget.maxDrop === undefined || metric.mean + MARGIN * standardError(metric) <= budget.maxDrop + ROUNDING) &&
  (budget.minAgreement === undefined ||
    disagreement.mean + MARGIN * standardError(disagreement) <= 1 - budget.minAgreement + ROUNDING);

/** `margin`: a share by which predicted times may be too low. */
export const keepsSpeed = (budget: Budget, { ratio, milliseconds }: Predicted, margin = 0): boolean =>
  (budget.minSpeedup === undefined || ratio * (1 + margin) * budget.minSpeedup <= 1 + ROUNDING) &&
  (budget.maxLatencyMs === undefined || milliseconds * (1 + margin) <= budget.maxLatencyMs * (1 + ROUNDING));

/** Less of the metric lost first; where that is the same, less distance. */
export const byLoss = (a: Tried, b: Tried): number =>
  a.summary.metric.mean - b.summary.metric.mean || a.summary.distance.mean - b.summary.distance.mean;

const byTime = (a: Tried, b: Tried): number => a.predicted.ratio - b.predicted.ratio || byLoss(a, b);

const least = <T>(items: readonly T[], compare: (a: T, b: T) => number): T | undefined =>
  items.reduce<T | undefined>((best, item) => (best === undefined || compare(item, best) < 0 ? item : best), undefined);

/**
 * The plan that loses least, as far as these samples can tell: all within one standard error of the smallest loss are
 * equal in the metric (the one-standard-error rule of Breiman et al.), and the finer distance decides among them.
 */
const bestQuality = <T extends Tried>(items: readonly T[]): T | undefined => {
  const best = least(items, byLoss);
  if (best === undefined) return undefined;
  const error = standardError(best.summary.metric);
  const equal = items.filter((i) => i.summary.metric.mean - best.summary.metric.mean <= (error < Infinity ? error : 0));
  return least(equal, (a, b) => a.summary.distance.mean - b.summary.distance.mean || byTime(a, b));
};

const missedSpeed = (budget: Budget, { ratio, milliseconds }: Predicted): MissedLimit[] => [
  ...(budget.minSpeedup !== undefined && !keepsSpeed({ minSpeedup: budget.minSpeedup }, { ratio, milliseconds })
    ? [{ limit: 'min-speedup', wanted: budget.minSpeedup, found: 1 / ratio } as const]
    : []),
  ...(budget.maxLatencyMs !== undefined && !keepsSpeed({ maxLatencyMs: budget.maxLatencyMs }, { ratio, milliseconds })
    ? [{ limit: 'max-latency-ms', wanted: budget.maxLatencyMs, found: milliseconds } as const]
    : []),
];

/**
 * With a quality limit: the fastest plan that keeps all of them. Without: the best quality among those fast enough.
 * Where no plan is fast enough, the nearest is the fastest that keeps the quality limits: those are promises about
 * answers, and speed is given up first. `items` holds the plan that removes nothing, so that one always does.
 * `isExpectedToKeep`: a second opinion on quality, where the first may be luck.
 */
export const chooseWithin = <T extends Tried>(
  items: readonly T[],
  budget: Budget,
  margin = 0,
  isExpectedToKeep: (item: T) => boolean = () => true,
): Choice<T> => {
  const fine = items.filter((i) => keepsQuality(budget, i.summary) && isExpectedToKeep(i));
  const fastest = least(fine, byTime);
  invariant(fastest !== undefined, 'the plan that removes nothing keeps every quality limit');
  if (hasQualityLimit(budget)) return { chosen: fastest, missed: missedSpeed(budget, fastest.predicted) };
  // Predictions are as often too low as too high: first those that keep the limit if theirs is too low.
  const sure = fine.filter((i) => keepsSpeed(budget, i.predicted, margin));
  const told = sure.length > 0 ? sure : fine.filter((i) => keepsSpeed(budget, i.predicted));
  const chosen = bestQuality(told);
  return chosen === undefined
    ? { chosen: fastest, missed: missedSpeed(budget, fastest.predicted) }
    : { chosen, missed: [] };
};
