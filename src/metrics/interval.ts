/**
 * What a mean over samples is worth: 95 % intervals, of a share, of a mean, and of the mean of paired differences.
 *
 * Shares: E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927).
 * Differences of paired answers, right or wrong: D. G. Bonett and R. M. Price, Adjusted Wald confidence interval for a
 * difference of binomial proportions based on paired data, J. Educational and Behavioral Statistics 37 (2012). Both hold
 * for few samples and where nothing differs. Everything else: the normal approximation of a mean.
 */

export interface Interval {
  readonly mean: number;
  /** Null where fewer than two samples tell nothing of the spread. */
  readonly low: number | null;
  readonly high: number | null;
  readonly samples: number;
  readonly method: 'wilson' | 'bonett-price' | 'normal';
}

/** A mean and the ends of its interval. */
export type MeanFigure = Pick<Interval, 'mean' | 'low' | 'high'>;

/** Of the normal distribution, 97.5 %. */
const z = 1.959963984540054;

const meanOf = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] as number;
  return sum / values.length;
};

/** By the normal approximation; no ends where the standard error is not finite. */
export const aroundMean = (mean: number, standardError: number): MeanFigure =>
  Number.isFinite(standardError)
    ? { mean, low: mean - z * standardError, high: mean + z * standardError }
    : { mean, low: null, high: null };

const normal = (values: ArrayLike<number>): Interval => {
  const { length: samples } = values;
  const mean = meanOf(values);
  if (samples < 2) return { mean, low: null, high: null, samples, method: 'normal' };
  let squares = 0;
  for (let i = 0; i < samples; i++) squares += ((values[i] as number) - mean) ** 2;
  return { ...aroundMean(mean, Math.sqrt(squares / (samples - 1) / samples)), samples, method: 'normal' };
};

const every = (values: ArrayLike<number>, known: readonly number[]): boolean =>
  Array.prototype.every.call(values, (v: number) => known.includes(v));

/** Of scores: a share where all are 0 or 1. At least one score. */
export const meanInterval = (values: ArrayLike<number>): Interval => {
  if (!every(values, [0, 1])) return normal(values);
  const { length: n } = values;
  const share = meanOf(values);
  const centre = (share + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = ((z / (1 + (z * z) / n)) * Math.sqrt(share * (1 - share) + (z * z) / (4 * n))) / Math.sqrt(n);
  return {
    mean: share,
    low: Math.max(0, centre - half),
    high: Math.min(1, centre + half),
    samples: n,
    method: 'wilson',
  };
};

/** Of the differences between two scores of the same samples. At least one. */
export const pairedInterval = (differences: ArrayLike<number>): Interval => {
  if (!every(differences, [-1, 0, 1])) return normal(differences);
  const { length: n } = differences;
  let [up, down] = [1, 1];
  for (let i = 0; i < n; i++) {
    if (differences[i] === 1) up++;
    else if (differences[i] === -1) down++;
  }
  const centre = (up - down) / (n + 2);
  const half = z * Math.sqrt(((up + down) / (n + 2) - centre * centre) / (n + 2));
  return {
    mean: meanOf(differences),
    low: Math.max(-1, centre - half),
    high: Math.min(1, centre + half),
    samples: n,
    method: 'bonett-price',
  };
};
