/**
 * Medians, quartiles and how far off a median may be: a figure alone says nothing of how far the next run would be.
 * Makes no assumption about the shape of what is measured; times have long tails.
 */

export interface Spread {
  readonly median: number;
  /** Quartiles: a quarter of the values lies below `low`, a quarter above `high`. */
  readonly low: number;
  readonly high: number;
  readonly least: number;
  readonly most: number;
}

/** The middle one, and between which values the half around it lies. */
export type Quartiles = Pick<Spread, 'median' | 'low' | 'high'>;

/** Between which values the median of what was sampled lies, with this probability. */
export interface MedianInterval {
  readonly low: number;
  readonly high: number;
  /** At least 0.95 where there are six values or more; of fewer, what their whole range covers. */
  readonly confidence: number;
}

const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

/** Of ascending values, at a share of the way from the first to the last, linear in between (Hyndman and Fan, type 7). */
const quantile = (sorted: readonly number[], share: number): number => {
  const at = share * (sorted.length - 1);
  const below = sorted[Math.floor(at)] ?? Number.NaN;
  const above = sorted[Math.ceil(at)] ?? Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
};

/** Of at least one number; NaN throughout for none. */
export const spreadOf = (values: readonly number[]): Spread => {
  const sorted = ascending(values);
  return {
    median: quantile(sorted, 0.5),
    low: quantile(sorted, 0.25),
    high: quantile(sorted, 0.75),
    least: quantile(sorted, 0),
    most: quantile(sorted, 1),
  };
};

export const median = (values: readonly number[]): number => spreadOf(values).median;

/**
 * How many of n values may be left out at either end so that the rest still spans the median with 95 %: the largest k
 * with P(Binomial(n, 1/2) <= k - 1) <= 2.5 % (David and Nagaraja, Order Statistics, 7.1). The coverage goes with it.
 */
const outsideMedian = (n: number): { readonly k: number; readonly confidence: number } => {
  let probability = 2 ** -n;
  let tail = 0;
  for (let k = 0; k <= n; k++) {
    if (tail + probability > 0.025) return { k, confidence: 1 - 2 * tail };
    tail += probability;
    probability *= (n - k) / (k + 1);
  }
  return { k: 0, confidence: 0 };
};

/** Values must be independent for the confidence to hold; runs on a machine with changing load are only nearly so. */
export const medianInterval = (values: readonly number[]): MedianInterval => {
  const sorted = ascending(values);
  const n = sorted.length;
  const { k, confidence } = outsideMedian(n);
  if (k === 0)
    return {
      low: sorted[0] ?? Number.NaN,
      high: sorted[n - 1] ?? Number.NaN,
      confidence: Math.max(0, 1 - 2 ** (1 - n)),
    };
  return { low: sorted[k - 1] ?? Number.NaN, high: sorted[n - k] ?? Number.NaN, confidence };
};

/** Half the interval's width as a share of the median: how far off the median may be. */
export const noiseOf = (values: readonly number[]): number => {
  const { low, high } = medianInterval(values);
  return (high - low) / 2 / median(values);
};

/** "312 (298-340)": median and quartiles, each rounded to `digits` decimals. */
export const quartilesText = ({ median: m, low, high }: Spread, digits = 0): string =>
  `${m.toFixed(digits)} (${low.toFixed(digits)}-${high.toFixed(digits)})`;

/** "312 (281-420)": median, least and most. */
export const spreadText = ({ median: m, least, most }: Spread, digits = 0): string =>
  `${m.toFixed(digits)} (${least.toFixed(digits)}-${most.toFixed(digits)})`;
