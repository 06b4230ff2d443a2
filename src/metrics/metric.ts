/**
 * What a metric is: a score for every sample from a model's outputs, beside those of the unreduced model. Users of the
 * library write their own.
 */
import type { TensorData } from '../runtime/tensor-data.ts';

/** Rows of one batch; every tensor has them along axis 0. A single row may be a feed with tensors of other sizes. */
export interface ScoredBatch {
  readonly outputs: ReadonlyMap<string, TensorData>;
  /** The unreduced model's outputs on the same rows. */
  readonly reference: ReadonlyMap<string, TensorData>;
  /** Class numbers [rows], or scores by class [rows, classes]. */
  readonly labels?: TensorData;
  readonly rows: number;
}

export interface Metric {
  readonly name: string;
  readonly better: 'higher' | 'lower';
  readonly needsLabels: boolean;
  /**
   * One score for each row. A mean over samples is what is reported; what a plan loses is the mean of the unreduced
   * model's own score (the batch with `outputs` = `reference`) minus that of the plan, signed so that more is worse.
   */
  readonly score: (batch: ScoredBatch) => readonly number[] | Float64Array;
}
