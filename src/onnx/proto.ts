/**
 * Decoded ONNX messages as plain data, and the bytes they come from and go to, through protobufjs. Nothing is lost:
 * unknown fields ride along in `$unknowns`, bytes that are not UTF-8 survive in strings as lone surrogates.
 * Large data is none of its business: see located.ts.
 */
import { isUtf8 } from 'node:buffer';
import protobuf from 'protobufjs/light.js';
import type { Slice } from '../support/byte-source.ts';
import { messages } from './schema.ts';

/** A 64-bit integer as two halves. */
export interface Long {
  readonly low: number;
  readonly high: number;
  readonly unsigned?: boolean;
}

/** Data of a tensor: in memory, or where it lies. */
export type Chunk = Uint8Array | Slice;

interface Message {
  readonly $unknowns?: readonly Uint8Array[];
}

export interface EntryProto extends Message {
  readonly key?: string;
  readonly value?: string;
}

export interface TensorProto extends Message {
  readonly dims?: readonly (Long | number)[];
  readonly dataType?: number;
  readonly name?: string;
  readonly rawData?: Chunk;
  readonly floatData?: readonly Chunk[];
  readonly int32Data?: readonly Chunk[];
  readonly int64Data?: readonly Chunk[];
  readonly doubleData?: readonly Chunk[];
  readonly uint64Data?: readonly Chunk[];
  readonly stringData?: readonly Chunk[];
  readonly externalData?: readonly EntryProto[];
  readonly dataLocation?: number;
  /** No field of the format: where external data lies, once found. */
  readonly external?: Slice;
}

export interface SparseTensorProto extends Message {
  readonly values?: TensorProto;
  readonly indices?: TensorProto;
}

export interface DimensionProto extends Message {
  readonly dimValue?: Long | number;
  readonly dimParam?: string;
}

export interface TypeProto extends Message {
  readonly tensorType?: { readonly elemType?: number; readonly shape?: { readonly dim?: readonly DimensionProto[] } };
}

export interface ValueInfoProto extends Message {
  readonly name?: string;
  readonly type?: TypeProto;
}

export interface AttributeProto extends Message {
  readonly name?: string;
  readonly refAttrName?: string;
  readonly type?: number;
  readonly f?: number;
  readonly i?: Long | number;
  readonly s?: Uint8Array;
  readonly t?: TensorProto;
  readonly g?: GraphProto;
  readonly floats?: readonly number[];
  readonly ints?: readonly (Long | number)[];
  readonly strings?: readonly Uint8Array[];
  readonly tensors?: readonly TensorProto[];
  readonly graphs?: readonly GraphProto[];
  readonly sparseTensor?: SparseTensorProto;
  readonly sparseTensors?: readonly SparseTensorProto[];
  readonly tp?: TypeProto;
}

export interface NodeProto extends Message {
  readonly input?: readonly string[];
  readonly output?: readonly string[];
  readonly name?: string;
  readonly opType?: string;
  readonly domain?: string;
  readonly attribute?: readonly AttributeProto[];
}

export interface GraphProto extends Message {
  readonly node?: readonly NodeProto[];
  readonly name?: string;
  readonly initializer?: readonly TensorProto[];
  readonly sparseInitializer?: readonly SparseTensorProto[];
  readonly input?: readonly ValueInfoProto[];
  readonly output?: readonly ValueInfoProto[];
  readonly valueInfo?: readonly ValueInfoProto[];
}

export interface OpsetProto extends Message {
  readonly domain?: string;
  readonly version?: Long | number;
}

export interface FunctionProto extends Message {
  readonly name?: string;
  readonly domain?: string;
  readonly input?: readonly string[];
  readonly output?: readonly string[];
  readonly attribute?: readonly string[];
  readonly attributeProto?: readonly AttributeProto[];
  readonly node?: readonly NodeProto[];
  readonly opsetImport?: readonly OpsetProto[];
  readonly docString?: string;
  readonly overload?: string;
}

export interface ModelProto extends Message {
  readonly irVersion?: Long | number;
  readonly opsetImport?: readonly OpsetProto[];
  readonly graph?: GraphProto;
  readonly functions?: readonly FunctionProto[];
  readonly metadataProps?: readonly EntryProto[];
  readonly trainingInfo?: readonly { readonly initialization?: GraphProto; readonly algorithm?: GraphProto }[];
}

let root: protobuf.Root | undefined;

const messageType = (name: 'ModelProto' | 'TensorProto'): protobuf.Type => {
  root ??= protobuf.Root.fromJSON({
    nested: Object.fromEntries(
      Object.entries(messages).map(([name, { fields, oneofs }]) => [
        name,
        {
          edition: 'proto2',
          fields: Object.fromEntries(
            Object.entries(fields).map(([field, { id, type, repeated }]) => [
              field,
              repeated ? { id, type, rule: 'repeated' } : { id, type },
            ]),
          ),
          oneofs: Object.fromEntries(Object.entries(oneofs).map(([oneof, names]) => [oneof, { oneof: [...names] }])),
        },
      ]),
    ),
  });
  return root.lookupType(name);
};

// Bytes 0x80 to 0xFF that are no UTF-8 stand as U+DC80 to U+DCFF, which no UTF-8 text holds.
const escaped = /[\uDC80-\uDCFF]/;
const loneSurrogate = /\p{Surrogate}/u;

const sequenceLength = (bytes: Uint8Array, at: number): number => {
  const lead = bytes[at] ?? 0;
  const length = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 0;
  return length > 0 && at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)) ? length : 0;
};

const utf8 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');

/** Text from UTF-8; stray bytes are escaped so that they can be written back. */
export const textFromBytes = (bytes: Uint8Array): string => {
  if (isUtf8(bytes)) return utf8(bytes);
  const out: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at);
    out.push(length === 0 ? String.fromCharCode(0xdc00 | (bytes[at] ?? 0)) : utf8(bytes.subarray(at, at + length)));
    at += length || 1;
  }
  return out.join('');
};

/** The inverse of textFromBytes. */
export const bytesFromText = (text: string): Uint8Array => {
  if (!escaped.test(text) || !loneSurrogate.test(text)) return Buffer.from(text, 'utf8');
  return Buffer.concat(
    [...text].map((c) => {
      const code = c.codePointAt(0) ?? 0;
      return code >= 0xdc80 && code <= 0xdcff ? Buffer.of(code & 0xff) : Buffer.from(c, 'utf8');
    }),
  );
};

class LosslessReader extends protobuf.Reader {
  override string(): string {
    return textFromBytes(this.bytes());
  }
}

class LosslessWriter extends protobuf.Writer {
  override string(value: string): this {
    if (escaped.test(value)) this.bytes(bytesFromText(value));
    else super.string(value);
    return this;
  }
}

const decode = (name: 'ModelProto' | 'TensorProto', bytes: Uint8Array): unknown => {
  const reader = new LosslessReader(bytes);
  reader.discardUnknown = false;
  return messageType(name).decode(reader);
};

/** Throws plain Errors where the bytes are no well-formed ModelProto. */
export const decodeModelProto = (bytes: Uint8Array): ModelProto => decode('ModelProto', bytes) as ModelProto;

/** The same for one tensor by itself, as test data holds them. */
export const decodeTensorProto = (bytes: Uint8Array): TensorProto => decode('TensorProto', bytes) as TensorProto;

/** Every chunk must be bytes by now. */
export const encodeModelProto = (model: ModelProto): Uint8Array =>
  messageType('ModelProto').encode(model, new LosslessWriter()).finish();

/** A message with some fields replaced (undefined drops one) and everything else kept, unknown fields included. */
export const withFields = <T extends Message>(
  message: T,
  changes: { readonly [K in keyof T]?: T[K] | undefined },
): T => {
  const copy: Record<string, unknown> = { ...(message as object) };
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) delete copy[key];
    else copy[key] = value;
  }
  if (message.$unknowns !== undefined && !Object.hasOwn(changes, '$unknowns')) copy['$unknowns'] = message.$unknowns;
  return copy as T;
};

export const numberOf = (value: Long | number | undefined): number => {
  if (value === undefined) return 0;
  return typeof value === 'number' ? value : value.high * 4294967296 + (value.low >>> 0);
};

const LIMIT = 2 ** 63;

/** The nearest int64. */
export const longOf = (value: number): Long | number => {
  if (Number.isSafeInteger(value)) return value;
  if (value >= LIMIT) return { low: -1, high: 0x7fffffff };
  const big = BigInt.asIntN(64, BigInt(Math.max(value, -LIMIT)));
  return { low: Number(BigInt.asIntN(32, big)), high: Number(BigInt.asIntN(32, big >> 32n)) };
};

export const isSlice = (chunk: Chunk): chunk is Slice => !(chunk instanceof Uint8Array);
