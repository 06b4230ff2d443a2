/**
 * How far one model's output is from another's, gathered batch by batch: errors, cosine, values that are not finite,
 * and the samples where it is worst. Errors are over elements that are finite in both; equal infinities and NaN in the
 * same place count as equal, as in numpy.testing.assert_allclose.
 */
import type { TensorData } from '../runtime/tensor-data.ts';
import { cosine } from './built-in.ts';
import { valuesOf } from './values.ts';

/** An element is within it where |candidate - reference| <= absolute + relative * |reference|. */
export interface Tolerance {
  readonly absolute: number;
  readonly relative: number;
}

export interface WorstSample {
  readonly sample: number;
  /** Its largest absolute error; Infinity where one of both is not finite. */
  readonly error: number;
}

export interface ErrorSummary {
  readonly elements: number;
  readonly maxAbsolute: number;
  readonly meanAbsolute: number;
  /** Largest |candidate - reference| / |reference| where the reference is not 0. */
  readonly maxRelative: number;
  /** Norm of the difference by norm of the reference, over all elements. */
  readonly normRelative: number;
  /** Mean over samples. */
  readonly cosine: number;
  readonly notFinite: {
    readonly reference: { readonly nan: number; readonly infinite: number };
    readonly candidate: { readonly nan: number; readonly infinite: number };
    /** Elements where one of both is not finite and the other is not the same. */
    readonly different: number;
  };
  /** Elements outside the tolerance; null where none was given. */
  readonly outside: number | null;
  /** The worst first. */
  readonly worst: readonly WorstSample[];
}

export interface ErrorStats {
  /** Tensors of the same sizes, rows of axis 0 in the order of `samples`; a single sample may have any sizes. */
  readonly add: (candidate: TensorData, reference: TensorData, samples: readonly number[]) => void;
  readonly result: () => ErrorSummary;
}

interface Counts {
  nan: number;
  infinite: number;
}

const count = (counts: Counts, value: number): void => {
  if (Number.isNaN(value)) counts.nan++;
  else if (!Number.isFinite(value)) counts.infinite++;
};

/** Keeps the `kept` worst samples. */
export const errorStats = (tolerance?: Tolerance, kept = 5): ErrorStats => {
  let [elements, compared, max, sum, maxRelative, squares, norm] = [0, 0, 0, 0, 0, 0, 0];
  let [cosines, rows, different, outside] = [0, 0, 0, 0];
  const [reference, candidate]: [Counts, Counts] = [
    { nan: 0, infinite: 0 },
    { nan: 0, infinite: 0 },
  ];
  let worst: WorstSample[] = [];

  /** The largest error of elements `from` to `to`. */
  const addRow = (is: ArrayLike<number>, was: ArrayLike<number>, from: number, to: number): number => {
    let largest = 0;
    for (let i = from; i < to; i++) {
      const [x, y] = [is[i] as number, was[i] as number];
      if (!Number.isFinite(x) || !Number.isFinite(y)) {
        count(candidate, x);
        count(reference, y);
        if (Object.is(x, y)) continue;
        different++;
        outside++;
        largest = Infinity;
        continue;
      }
      const error = Math.abs(x - y);
      compared++;
      sum += error;
      squares += error * error;
      norm += y * y;
      if (error > largest) largest = error;
      if (error > max) max = error;
      if (y !== 0) maxRelative = Math.max(maxRelative, error / Math.abs(y));
      if (tolerance !== undefined && error > tolerance.absolute + tolerance.relative * Math.abs(y)) outside++;
    }
    cosines += cosine(is, was, from, to);
    rows++;
    return largest;
  };

  return {
    add: (one, other, samples) => {
      const [is, was] = [valuesOf(one), valuesOf(other)];
      elements += is.length;
      // What has no row for each sample belongs to all of them, and goes by the first.
      const count = one.dims[0] === samples.length ? samples.length : 1;
      const size = is.length / count;
      for (let row = 0; row < count; row++)
        worst.push({ sample: samples[row] ?? 0, error: addRow(is, was, row * size, (row + 1) * size) });
      worst = worst.sort((a, b) => b.error - a.error || a.sample - b.sample).slice(0, kept);
    },
    result: () => ({
      elements,
      maxAbsolute: max,
      meanAbsolute: compared === 0 ? 0 : sum / compared,
      maxRelative,
      normRelative: squares === 0 ? 0 : Math.sqrt(squares / norm),
      cosine: rows === 0 ? 1 : cosines / rows,
      notFinite: { reference, candidate, different },
      outside: tolerance === undefined ? null : outside,
      worst,
    }),
  };
};
