/**
 * Rows of tensors: taken out, put together, counted. Axis 0 has the rows.
 */
import { elementCount } from '../graph/tensors.ts';
import { elementsOf, type TensorData } from '../runtime/tensor-data.ts';

export const rowsOf = ({ dims }: TensorData): number => dims[0] ?? 1;

/** Rows from `from` up to, not including, `to`: a view of the same memory. */
export const sliceRows = (tensor: TensorData, from: number, to: number): TensorData => {
  const { dataType, dims, data } = tensor;
  if (from === 0 && to === dims[0]) return tensor;
  const size = elementCount(dims.slice(1));
  return { dataType, dims: [to - from, ...dims.slice(1)], data: data.subarray(from * size, to * size) };
};

/** Index `at` of axis 0, without that axis. */
export const entryOf = (tensor: TensorData, at: number): TensorData => {
  const { dataType, dims, data } = sliceRows(tensor, at, at + 1);
  return { dataType, dims: dims.slice(1), data };
};

/** One behind the other; all of one type, and of one size but for axis 0. */
export const joinRows = (parts: readonly TensorData[]): TensorData => {
  const [first] = parts as readonly [TensorData];
  if (parts.length === 1) return first;
  const bytes = new Uint8Array(parts.reduce((sum, { data }) => sum + data.byteLength, 0));
  let at = 0;
  for (const { data } of parts) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return {
    dataType: first.dataType,
    dims: [parts.reduce((sum, part) => sum + rowsOf(part), 0), ...first.dims.slice(1)],
    // Whatever came from a file or from elements has elements.
    data: elementsOf(first.dataType, bytes) as TensorData['data'],
  };
};
