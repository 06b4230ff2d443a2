/**
 * Outputs as numbers, row by row and position by position: what the metrics are computed on. A row may hold several
 * positions (one answer for each token): its score is then the mean over them.
 */
import { DataType } from '../graph/model.ts';
import { elementCount } from '../graph/tensors.ts';
import { numbersOf, type TensorData } from '../runtime/tensor-data.ts';

const halves: ReadonlySet<DataType> = new Set([DataType.FLOAT16, DataType.BFLOAT16]);

/** The elements as they are where they are numbers already, converted where not. */
export const valuesOf = (tensor: TensorData): ArrayLike<number> => {
  const { data, dataType } = tensor;
  if (halves.has(dataType) || data instanceof BigInt64Array || data instanceof BigUint64Array) return numbersOf(tensor);
  return data;
};

/** Positions along the last axis. */
export interface Positions {
  readonly values: ArrayLike<number>;
  /** Size of the last axis. */
  readonly classes: number;
  /** Positions in one row, at least 1. */
  readonly perRow: number;
}

/** `rows` divides the positions: axis 0 has the rows, or the whole tensor is one row. */
export const positionsOf = (tensor: TensorData, rows: number): Positions => {
  const classes = tensor.dims.at(-1) ?? 1;
  return {
    values: valuesOf(tensor),
    classes,
    perRow: Math.max(1, Math.floor(elementCount(tensor.dims) / Math.max(1, classes * rows))),
  };
};

/** The largest value's place, the lower one of equals; undefined where any value is no number. */
export const answerAt = ({ values, classes }: Positions, position: number): number | undefined => {
  const start = position * classes;
  let best = 0;
  for (let i = 0; i < classes; i++) {
    const value = values[start + i] as number;
    if (Number.isNaN(value)) return undefined;
    if (value > (values[start + best] as number)) best = i;
  }
  return best;
};

/** The mean of a score over each row's positions. */
export const meanByRow = (rows: number, perRow: number, scoreAt: (position: number) => number): Float64Array =>
  Float64Array.from({ length: rows }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < perRow; i++) sum += scoreAt(row * perRow + i);
    return sum / perRow;
  });
