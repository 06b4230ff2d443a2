/**
 * Medians and spreads: what every benchmark here prints. A figure alone says nothing of how far the next run would be.
 */

export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** Of at least one number; the middle pair's mean where their count is even. */
export const spreadOf = (values: readonly number[]): Spread => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (at: number): number => sorted[Math.min(Math.max(at, 0), sorted.length - 1)] ?? Number.NaN;
  const half = (sorted.length - 1) / 2;
  return {
    median: (middle(Math.floor(half)) + middle(Math.ceil(half))) / 2,
    least: middle(0),
    most: middle(sorted.length - 1),
  };
};

export const median = (values: readonly number[]): number => spreadOf(values).median;

/** "312 (298-340)", each rounded to `digits` decimals. */
export const spreadText = ({ median: m, least, most }: Spread, digits = 0): string =>
  `${m.toFixed(digits)} (${least.toFixed(digits)}-${most.toFixed(digits)})`;
