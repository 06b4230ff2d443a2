/**
 * Distances between tensors, in the two measures that the conformance checks use.
 */
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';

export interface Distance {
  readonly max: number;
  readonly l2: number;
}

/** Largest and Euclidean difference. Not a number anywhere gives Infinity. */
export const distance = (a: TensorData, b: TensorData): Distance => {
  if (a.dims.join() !== b.dims.join()) return { max: Infinity, l2: Infinity };
  const [x, y] = [numbersOf(a), numbersOf(b)];
  let max = 0;
  let sum = 0;
  for (let i = 0; i < x.length; i++) {
    const difference = x[i] === y[i] ? 0 : Math.abs((x[i] as number) - (y[i] as number));
    if (Number.isNaN(difference)) return { max: Infinity, l2: Infinity };
    max = Math.max(max, difference);
    sum += difference * difference;
  }
  return { max, l2: Math.sqrt(sum) };
};

/** The largest absolute value. */
export const scaleOf = (tensor: TensorData): number => numbersOf(tensor).reduce((m, v) => Math.max(m, Math.abs(v)), 0);

export const isFinite = (tensor: TensorData): boolean => numbersOf(tensor).every((v) => Number.isFinite(v));

/** Whether two tensors hold the same bits. */
export const sameBits = (a: TensorData, b: TensorData): boolean => {
  if (a.dataType !== b.dataType || a.dims.join() !== b.dims.join()) return false;
  const bytes = ({ data }: TensorData): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return bytes(a).equals(bytes(b));
};
