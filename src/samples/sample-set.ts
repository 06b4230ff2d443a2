/**
 * Samples as every command sees them, whatever files they came from: inputs a row at a time, labels where there are
 * any, recorded outputs where there are any.
 */
import type { TensorData } from '../runtime/tensor-data.ts';

export type Tensors = ReadonlyMap<string, TensorData>;

/**
 * Rows that run together. Row i of every tensor belongs to samples[i]. A feed that cannot be cut into rows (its inputs
 * share no first axis, or the model fixes more than one row) is one sample in a batch of its own, with tensors of
 * whatever sizes it has.
 */
export interface SampleBatch {
  /** Samples by number, from 0 in the order of the files. */
  readonly samples: readonly number[];
  /** Tensors are read when they are asked for: keep what is needed twice. */
  readonly feeds: Tensors;
  /** Class numbers [rows], or a score for each class [rows, classes] (VQA's soft scores). */
  readonly labels?: TensorData;
  /** Recorded outputs, as in test_data_set_N/output_N.pb. */
  readonly recorded?: Tensors;
}

export interface SampleSet {
  readonly count: number;
  readonly labelled: boolean;
  readonly recorded: boolean;
  /** Where a sample comes from, as messages name it: "held-out-0500.npz[17]". */
  readonly nameOf: (sample: number) => string;
  /**
   * The given samples in batches of at most `rows`, in an order that wastes least: rows are only put together where
   * their other sizes agree, and stay as recorded where the model fixes its batch.
   */
  readonly batches: (samples: readonly number[], rows: number) => readonly SampleBatch[];
}
