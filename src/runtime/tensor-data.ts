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

/** The float16 bit pattern nearest to a number, ties to even. */
export const numberToHalf = (value: number): number => {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size >= 65520) return sign | 0x7c00;
  // One step of the grid: 2^-24 for subnormals, a 2^-10 part of the power of two below otherwise.
  const exponent = Math.max(Math.floor(Math.log2(size || 2 ** -30)), -14);
  const steps = size / 2 ** (exponent - 10);
  const below = Math.floor(steps);
  const rest = steps - below;
  const rounded = rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
  // A carry out of the fraction moves into the exponent by itself.
  return sign | (exponent === -14 && rounded < 1024 ? rounded : ((exponent + 14) << 10) + rounded);
};

/** Every element as a number; int64 beyond 2^53 loses its last digits. */
export const numbersOf = (tensor: TensorData): number[] => {
  const { data, dataType, dims } = tensor;
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  // Every type with elements has numbers.
  return readNumbers({ dataType, dims, payload: { length: bytes.length, read: () => bytes } }, Infinity) as number[];
};
