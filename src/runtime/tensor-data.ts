/**
 * Tensors with their elements in memory: what goes into a run and comes out of one, and what sample files hold.
 * Does no arithmetic beyond reading elements as numbers. Weights of a model never take this form.
 */
import { DataType } from '../graph/model.ts';
import { readNumbers } from '../graph/tensors.ts';

/** Elements by type; float16 and bfloat16 travel as bit patterns in a Uint16Array, bool as 0 and 1. */
export type Elements =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** A tensor in memory, row-major. */
export interface TensorData {
  readonly dataType: DataType;
  readonly dims: readonly number[];
  readonly data: Elements;
}

type ElementsConstructor = {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBufferLike, offset?: number, length?: number): Elements;
};

const constructors: Readonly<Record<DataType, ElementsConstructor>> = {
  [DataType.FLOAT]: Float32Array,
  [DataType.DOUBLE]: Float64Array,
  [DataType.FLOAT16]: Uint16Array,
  [DataType.BFLOAT16]: Uint16Array,
  [DataType.INT8]: Int8Array,
  [DataType.INT16]: Int16Array,
  [DataType.INT32]: Int32Array,
  [DataType.INT64]: BigInt64Array,
  [DataType.UINT8]: Uint8Array,
  [DataType.UINT16]: Uint16Array,
  [DataType.UINT32]: Uint32Array,
  [DataType.UINT64]: BigUint64Array,
  [DataType.BOOL]: Uint8Array,
};

/** Bytes of one element, or undefined for types that have no elements here (strings, sub-byte types). */
export const elementSize = (dataType: DataType): number | undefined => constructors[dataType]?.BYTES_PER_ELEMENT;

/** Little-endian bytes as elements; copies only where the bytes are not aligned. Undefined for types without elements. */
export const elementsOf = (dataType: DataType, bytes: Uint8Array): Elements | undefined => {
  const make = constructors[dataType];
  if (make === undefined) return undefined;
  // A copy by constructor: a Buffer's own slice() would be a view.
  const aligned = bytes.byteOffset % make.BYTES_PER_ELEMENT === 0 ? bytes : new Uint8Array(bytes);
  return new make(aligned.buffer, aligned.byteOffset, Math.floor(aligned.byteLength / make.BYTES_PER_ELEMENT));
};

/** Every element as a number; int64 beyond 2^53 loses its last digits. */
export const numbersOf = (tensor: TensorData): number[] => {
  const { data, dataType, dims } = tensor;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  // Every type with elements has numbers.
  return readNumbers({ dataType, dims, payload: { length: bytes.length, read: () => bytes } }, Infinity) as number[];
};
