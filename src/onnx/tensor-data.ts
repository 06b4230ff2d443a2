/**
 * A TensorProto's data as raw bytes (little-endian, packed), whichever of ONNX's fields holds it, and the other way.
 * Reads on demand and keeps nothing; strings have no raw form.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import { tensorUnreadable } from '../diagnostics/messages-onnx.ts';
import { elementCount } from '../graph/tensors.ts';
import type { Payload, Tensor } from '../graph/model.ts';
import { lazySource, memorySource, readSlice, type Slice } from '../support/byte-source.ts';
import { LARGE } from './located.ts';
import { isSlice, longOf, numberOf, withFields, type Chunk, type TensorProto } from './proto.ts';
import { Cursor, nextField } from './wire.ts';

/** Bits of one element of raw data, by TensorProto.DataType. */
const BITS: Readonly<Record<number, number>> = Object.fromEntries(
  (
    [
      [2, [25, 26]],
      [4, [21, 22, 23]],
      [6, [27, 28]],
      [8, [2, 3, 9, 17, 18, 19, 20, 24]],
      [16, [4, 5, 10, 16]],
      [32, [1, 6, 12]],
      [64, [7, 11, 13, 14]],
      [128, [15]],
    ] as const
  ).flatMap(([bits, types]) => types.map((type) => [type, bits])),
);

const STRING = 8;
export const EXTERNAL = 1;

/** Bytes of a tensor's raw data, or undefined where its type has none. */
export const rawLength = (proto: TensorProto): number | undefined => {
  const bits = BITS[proto.dataType ?? 0];
  return bits === undefined ? undefined : Math.ceil((elementCount((proto.dims ?? []).map(numberOf)) * bits) / 8);
};

type Typed = 'floatData' | 'int32Data' | 'int64Data' | 'doubleData' | 'uint64Data';

// Field number, and bytes of one item: as it lies in the file (0: a varint) and in raw data (0: by element type).
const typedFields: Readonly<Record<Typed, { id: number; wire: number; raw: number }>> = {
  floatData: { id: 4, wire: 4, raw: 4 },
  int32Data: { id: 5, wire: 0, raw: 0 },
  int64Data: { id: 7, wire: 0, raw: 8 },
  doubleData: { id: 10, wire: 8, raw: 8 },
  uint64Data: { id: 11, wire: 0, raw: 0 },
};

const bytesOf = (chunk: Chunk): Uint8Array => (isSlice(chunk) ? readSlice(chunk) : chunk);

const concat = ([first, ...more]: readonly Uint8Array[]): Uint8Array =>
  first !== undefined && more.length === 0 ? first : Buffer.concat([first ?? new Uint8Array(), ...more]);

/** Items written one by one, the form used before packing: protobufjs hands them over as unknown fields. */
const unpackedItems = (proto: TensorProto, id: number): Uint8Array[] => {
  const items: Uint8Array[] = [];
  for (const raw of proto.$unknowns ?? []) {
    const source = memorySource('field', raw);
    const field = nextField(new Cursor(source, source.open()), raw.length);
    if (field.number === id && field.wireType !== 2) items.push(raw.subarray(field.contentStart, field.end));
  }
  return items;
};

/** Varints to little-endian integers of `size` bytes each. */
const widen = (bytes: Uint8Array, size: number): Uint8Array => {
  let count = 0;
  for (const byte of bytes) if (byte < 0x80) count++;
  const out = new Uint8Array(count * size);
  let at = 0;
  for (let i = 0; i < count; i++) {
    let low = 0;
    let high = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] as number;
      if (shift < 28) low |= (byte & 0x7f) << shift;
      else if (shift === 28) {
        low |= (byte & 0x0f) << 28;
        high |= (byte & 0x7f) >> 4;
      } else if (shift < 64) high |= (byte & 0x7f) << (shift - 32);
      if (byte < 0x80) break;
    }
    for (let b = 0; b < size; b++) out[i * size + b] = b < 4 ? low >>> (8 * b) : high >>> (8 * (b - 4));
  }
  return out;
};

const rawFromTyped = (proto: TensorProto, name: string): Uint8Array => {
  const refuse = (reason: string): CompileError => new CompileError(tensorUnreadable(name, reason));
  const wanted = rawLength(proto) ?? 0;
  for (const [key, { id, wire, raw }] of Object.entries(typedFields)) {
    const chunks = proto[key as Typed] ?? [];
    const items = unpackedItems(proto, id);
    if (chunks.length === 0 && items.length === 0) continue;
    if (chunks.length > 0 && items.length > 0) throw refuse('its values are written in two ways at once');
    const bytes = concat(chunks.length > 0 ? chunks.map(bytesOf) : items);
    const bits = BITS[proto.dataType ?? 0] ?? 0;
    if (bits === 6) throw refuse('six-bit values outside raw_data are not supported');
    const got = wire > 0 ? bytes : widen(bytes, raw || Math.max(bits / 8, 1));
    if (got.length !== wanted) throw refuse(`it holds ${got.length} bytes where its shape needs ${wanted}`);
    return got;
  }
  if (wanted === 0) return new Uint8Array(0);
  throw refuse('it has none');
};

/** The raw bytes, read now. Throws a CompileError where they cannot be had. */
const readRaw = (proto: TensorProto, name: string): Uint8Array => {
  try {
    if (proto.external !== undefined) return readSlice(proto.external);
    if (proto.dataType === STRING) throw new CompileError(tensorUnreadable(name, 'strings have no raw form'));
    if (proto.rawData !== undefined && Object.hasOwn(proto, 'rawData')) return bytesOf(proto.rawData);
    return rawFromTyped(proto, name);
  } catch (error) {
    if (error instanceof CompileError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new CompileError(tensorUnreadable(name, reason), { cause: error });
  }
};

const lengthOf = (proto: TensorProto): number => {
  if (proto.external !== undefined) return proto.external.length;
  if (proto.rawData !== undefined && Object.hasOwn(proto, 'rawData')) return proto.rawData.length;
  return rawLength(proto) ?? 0;
};

/** What an imported tensor remembers of its file. */
export interface TensorOrigin {
  readonly proto: TensorProto;
  readonly was: Omit<Tensor, 'origin'>;
}

export const importTensor = (proto: TensorProto): Tensor => {
  const payload: Payload = { length: lengthOf(proto), read: () => readRaw(proto, proto.name ?? '') };
  const was = { dataType: proto.dataType ?? 0, dims: (proto.dims ?? []).map(numberOf), payload };
  return { ...was, origin: { proto, was } satisfies TensorOrigin };
};

/** A payload's bytes as a slice that is read when it is copied. */
export const sliceOfPayload = (payload: Payload, name: string): Slice => ({
  source: lazySource(`tensor '${name}'`, payload.length, payload.read),
  offset: 0,
  length: payload.length,
});

/** The raw data of a tensor, wherever it lies now. */
export const rawSlice = (proto: TensorProto): Slice => {
  if (proto.external !== undefined) return proto.external;
  const raw = Object.hasOwn(proto, 'rawData') ? proto.rawData : undefined;
  if (raw !== undefined && isSlice(raw)) return raw;
  return sliceOfPayload(importTensor(proto).payload, proto.name ?? '');
};

const noData = {
  floatData: undefined,
  int32Data: undefined,
  int64Data: undefined,
  doubleData: undefined,
  uint64Data: undefined,
  stringData: undefined,
  rawData: undefined,
  externalData: undefined,
  dataLocation: undefined,
  external: undefined,
} as const;

/** The same tensor with its data inside the message. */
export const withRawData = (proto: TensorProto, rawData: Chunk): TensorProto =>
  withFields(withoutUnpacked(proto), { ...noData, rawData });

/** The same tensor with its data in another file. */
export const withExternalData = (proto: TensorProto, location: string, offset: number, length: number): TensorProto =>
  withFields(withoutUnpacked(proto), {
    ...noData,
    dataLocation: EXTERNAL,
    externalData: [
      { key: 'location', value: location },
      { key: 'offset', value: String(offset) },
      { key: 'length', value: String(length) },
    ],
  });

/** Unknown fields stay, but not those that are data in the old unpacked form. */
const withoutUnpacked = (proto: TensorProto): TensorProto => {
  const ids = new Set(Object.values(typedFields).map(({ id }) => id));
  const kept = proto.$unknowns?.filter((raw) => {
    const source = memorySource('field', raw);
    return !ids.has(nextField(new Cursor(source, source.open()), raw.length).number);
  });
  return kept === undefined || kept.length === proto.$unknowns?.length ? proto : withFields(proto, { $unknowns: kept });
};

/** A tensor as a message named `name` (left alone where that is undefined); unchanged parts are its origin's. */
export const exportTensor = (tensor: Tensor, name?: string): TensorProto => {
  const origin = tensor.origin as TensorOrigin | undefined;
  const chunk = (): Chunk =>
    tensor.payload.length < LARGE ? tensor.payload.read() : sliceOfPayload(tensor.payload, name ?? '');
  if (origin === undefined)
    return {
      dims: tensor.dims,
      dataType: tensor.dataType,
      rawData: chunk(),
      ...(name === undefined || name === '' ? {} : { name }),
    };
  const { was } = origin;
  let { proto } = origin;
  if (tensor.payload !== was.payload) proto = withRawData(proto, chunk());
  if (tensor.dims !== was.dims) proto = withFields(proto, { dims: tensor.dims.map(longOf) });
  if (tensor.dataType !== was.dataType) proto = withFields(proto, { dataType: tensor.dataType });
  if (name !== undefined && name !== (proto.name ?? '')) proto = withFields(proto, { name });
  return proto;
};
