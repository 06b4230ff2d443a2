/**
 * Small tensors made or read by the compiler: shapes, indices, scalars. Weights never pass through here.
 */
import { DataType, type Attr, type Node, type Payload, type Tensor } from './model.ts';

const payloadOf = (bytes: Uint8Array): Payload => ({ length: bytes.byteLength, read: () => bytes });

const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** An int64 tensor. Values must be safe integers. */
export const int64Tensor = (dims: readonly number[], values: readonly (number | bigint)[]): Tensor => ({
  dataType: DataType.INT64,
  dims,
  payload: payloadOf(bytesOf(BigInt64Array.from(values, (v) => BigInt(v)))),
});

/** A float32 tensor. */
export const floatTensor = (dims: readonly number[], values: readonly number[]): Tensor => ({
  dataType: DataType.FLOAT,
  dims,
  payload: payloadOf(bytesOf(Float32Array.from(values))),
});

/** Elements of a tensor of these dims. */
export const elementCount = (dims: readonly number[]): number => dims.reduce((n, d) => n * d, 1);

const halfToNumber = (half: number): number => {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
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

/** A scalar of a floating-point type; undefined for types we do not write. */
export const scalarTensor = (dataType: DataType, value: number): Tensor | undefined => {
  if (dataType === DataType.FLOAT) return floatTensor([], [value]);
  if (dataType === DataType.FLOAT16)
    return { dataType, dims: [], payload: payloadOf(bytesOf(Uint16Array.of(numberToHalf(value)))) };
  if (dataType === DataType.DOUBLE) return { dataType, dims: [], payload: payloadOf(bytesOf(Float64Array.of(value))) };
  return undefined;
};

const readers: Readonly<Record<number, { size: number; at: (v: DataView, o: number) => number | bigint }>> = {
  [DataType.FLOAT]: { size: 4, at: (v, o) => v.getFloat32(o, true) },
  [DataType.DOUBLE]: { size: 8, at: (v, o) => v.getFloat64(o, true) },
  [DataType.FLOAT16]: { size: 2, at: (v, o) => halfToNumber(v.getUint16(o, true)) },
  [DataType.BFLOAT16]: {
    size: 2,
    at: (v, o) => new Float32Array(Uint32Array.of(v.getUint16(o, true) << 16).buffer)[0] ?? NaN,
  },
  [DataType.INT8]: { size: 1, at: (v, o) => v.getInt8(o) },
  [DataType.UINT8]: { size: 1, at: (v, o) => v.getUint8(o) },
  [DataType.BOOL]: { size: 1, at: (v, o) => v.getUint8(o) },
  [DataType.INT16]: { size: 2, at: (v, o) => v.getInt16(o, true) },
  [DataType.UINT16]: { size: 2, at: (v, o) => v.getUint16(o, true) },
  [DataType.INT32]: { size: 4, at: (v, o) => v.getInt32(o, true) },
  [DataType.UINT32]: { size: 4, at: (v, o) => v.getUint32(o, true) },
  [DataType.INT64]: { size: 8, at: (v, o) => v.getBigInt64(o, true) },
  [DataType.UINT64]: { size: 8, at: (v, o) => v.getBigUint64(o, true) },
};

/**
 * A tensor's elements as numbers, or undefined where it has more than `limit` of them or a type we do not read.
 * int64 values beyond 2^53 come out rounded (they are "to the end" markers of Slice).
 */
export const readNumbers = (tensor: Tensor, limit = 65_536): number[] | undefined => {
  const count = elementCount(tensor.dims);
  const reader = readers[tensor.dataType];
  if (reader === undefined || count > limit) return undefined;
  if (tensor.payload.length < count * reader.size) return undefined;
  const bytes = tensor.payload.read();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: count }, (_, i) => Number(reader.at(view, i * reader.size)));
};

/** The smallest and the largest element; undefined as for `readNumbers`, and where there is none or one is no number. */
export const extremesOf = (tensor: Tensor, limit: number): { low: number; high: number } | undefined => {
  const count = elementCount(tensor.dims);
  const reader = readers[tensor.dataType];
  if (reader === undefined || count === 0 || count > limit || tensor.payload.length < count * reader.size)
    return undefined;
  const bytes = tensor.payload.read();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < count; i++) {
    const value = Number(reader.at(view, i * reader.size));
    if (Number.isNaN(value)) return undefined;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return { low, high };
};

const attrTensor = (node: Node): Tensor | undefined => {
  const one = Object.values(node.attrs)[0];
  switch (one?.kind) {
    case 'tensor':
      return one.value;
    case 'int':
      return int64Tensor([], [one.value]);
    case 'ints':
      return int64Tensor([one.value.length], one.value);
    case 'float':
      return floatTensor([], [one.value]);
    case 'floats':
      return floatTensor([one.value.length], one.value);
    default:
      return undefined;
  }
};

/** What a Constant node holds; undefined for any other node and for string or sparse constants. */
export const constantOf = (node: Node): Tensor | undefined =>
  node.op === 'Constant' && node.domain === '' ? attrTensor(node) : undefined;

export const intAttr = (value: number): Attr => ({ kind: 'int', value });
export const intsAttr = (value: readonly number[]): Attr => ({ kind: 'ints', value });
export const floatAttr = (value: number): Attr => ({ kind: 'float', value });
export const stringAttr = (value: string): Attr => ({ kind: 'string', value });
export const tensorAttr = (value: Tensor): Attr => ({ kind: 'tensor', value });

/** An attribute's number, or `otherwise` where it is absent. */
export const intOf = (node: Node, name: string, otherwise: number): number => {
  const attr = node.attrs[name];
  return attr?.kind === 'int' ? attr.value : otherwise;
};

/** An attribute's number, or `otherwise` where it is absent. */
export const floatOf = (node: Node, name: string, otherwise: number): number => {
  const attr = node.attrs[name];
  return attr?.kind === 'float' ? attr.value : otherwise;
};

/** An attribute's text, or undefined where it is absent. */
export const stringOf = (node: Node, name: string): string | undefined => {
  const attr = node.attrs[name];
  return attr?.kind === 'string' ? attr.value : undefined;
};

export const intsOf = (node: Node, name: string): readonly number[] | undefined => {
  const attr = node.attrs[name];
  return attr?.kind === 'ints' ? attr.value : undefined;
};
