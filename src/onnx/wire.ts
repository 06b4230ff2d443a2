/**
 * Protobuf's wire format over bytes that are never in memory as a whole: walks the messages that may hold large data
 * and replaces the content of chosen fields, lengths around them included. Everything else is copied as it stands.
 * Knows field numbers only as far as its caller names them.
 */
import { memorySource, type ByteSource, type OpenSource, type Slice } from '../support/byte-source.ts';

/** Bytes that are no well-formed message. Offsets count from the start of the source. */
export class WireError extends Error {
  override readonly name = 'WireError';
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

/** Which fields of a message are entered, and which may be replaced. */
export interface Shape {
  readonly messages: ReadonlyMap<number, () => Shape>;
  readonly data: ReadonlySet<number>;
}

/** New content for the field whose content lies at these bytes of the cursor's source, or undefined to keep it. */
export type Replace = (cursor: Cursor, offset: number, length: number) => Slice | undefined;

const WINDOW = 64 << 10;
const MAX_DEPTH = 100;

/** Reads single bytes and varints anywhere in a source, through one window. */
export class Cursor {
  readonly source: ByteSource;
  readonly #opened: OpenSource;
  readonly #window: Uint8Array;
  #start = 0;
  #end = 0;
  pos = 0;

  constructor(source: ByteSource, opened: OpenSource) {
    this.source = source;
    this.#opened = opened;
    this.#window = new Uint8Array(Math.min(WINDOW, source.size));
  }

  #load(at: number): void {
    const size = Math.min(this.#window.length, this.source.size - at);
    this.#opened.fill(this.#window.subarray(0, size), at);
    this.#start = at;
    this.#end = at + size;
  }

  byte(): number {
    if (this.pos >= this.source.size) throw new WireError('ends in the middle of a field', this.pos);
    if (this.pos < this.#start || this.pos >= this.#end) this.#load(this.pos);
    return this.#window[this.pos++ - this.#start] as number;
  }

  /** A copy of bytes that lie in the source. */
  bytes(from: number, to: number): Uint8Array {
    if (to - from > this.#window.length) {
      const target = new Uint8Array(to - from);
      this.#opened.fill(target, from);
      return target;
    }
    if (from < this.#start || to > this.#end) this.#load(from);
    return this.#window.slice(from - this.#start, to - this.#start);
  }

  /** A varint as a number; exact up to 2^53, which covers tags and lengths. */
  varint(): number {
    const from = this.pos;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 10; i++) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      scale *= 128;
    }
    throw new WireError('holds a number of more than ten bytes', from);
  }
}

export const varintBytes = (value: number): number[] => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return [...bytes, rest];
};

/** One field: its number and wire type, and where its content lies. Leaves the cursor behind it. */
export interface Field {
  readonly number: number;
  readonly wireType: number;
  readonly start: number;
  readonly contentStart: number;
  readonly end: number;
}

/** The next field of a message that ends at `limit`. */
export const nextField = (cursor: Cursor, limit: number, depth = 0): Field => {
  const start = cursor.pos;
  const tag = cursor.varint();
  const number = Math.floor(tag / 8);
  const wireType = tag % 8;
  if (number === 0 || tag > 0xffffffff) throw new WireError('holds a field number that does not exist', start);
  let contentStart = cursor.pos;
  switch (wireType) {
    case 0:
      cursor.varint();
      break;
    case 1:
      cursor.pos += 8;
      break;
    case 2: {
      const length = cursor.varint();
      contentStart = cursor.pos;
      cursor.pos += length;
      break;
    }
    case 3:
      if (depth > MAX_DEPTH) throw new WireError('is nested too deep', start);
      for (;;) {
        const inner = nextField(cursor, limit, depth + 1);
        if (inner.wireType !== 4) continue;
        if (inner.number !== number) throw new WireError('closes a group that is not open', inner.start);
        break;
      }
      break;
    case 4:
      if (depth === 0) throw new WireError('closes a group that is not open', start);
      break;
    case 5:
      cursor.pos += 4;
      break;
    default:
      throw new WireError(`holds a field of unknown wire type ${wireType}`, start);
  }
  if (cursor.pos > limit) {
    const past = cursor.pos - limit;
    throw new WireError(`holds a field that reaches ${past} byte${past === 1 ? '' : 's'} past its end`, start);
  }
  return { number, wireType, start, contentStart, end: cursor.pos };
};

/** The message between two offsets with fields replaced, as slices; undefined where nothing was. */
const replaceWithin = (
  cursor: Cursor,
  from: number,
  to: number,
  shape: Shape,
  replace: Replace,
  depth: number,
): Slice[] | undefined => {
  if (depth > MAX_DEPTH) throw new WireError('is nested too deep', from);
  const { source } = cursor;
  let out: Slice[] | undefined;
  let kept = from;
  cursor.pos = from;
  while (cursor.pos < to) {
    const { number, wireType, start, contentStart, end } = nextField(cursor, to);
    if (wireType !== 2) continue;
    const inner = shape.messages.get(number);
    let content: readonly Slice[] | undefined;
    if (inner !== undefined) content = replaceWithin(cursor, contentStart, end, inner(), replace, depth + 1);
    else if (shape.data.has(number)) {
      const slice = replace(cursor, contentStart, end - contentStart);
      content = slice && [slice];
    }
    cursor.pos = end;
    if (content === undefined) continue;
    const head = Uint8Array.from([
      ...varintBytes(number * 8 + 2),
      ...varintBytes(content.reduce((n, s) => n + s.length, 0)),
    ]);
    out ??= [];
    if (start > kept) out.push({ source, offset: kept, length: start - kept });
    out.push({ source: memorySource('head', head), offset: 0, length: head.length });
    for (const slice of content) out.push(slice);
    kept = end;
  }
  if (out !== undefined && to > kept) out.push({ source, offset: kept, length: to - kept });
  return out;
};

/** The whole source, a message of the given shape, with fields replaced. */
export const replaceFields = (source: ByteSource, shape: Shape, replace: Replace): readonly Slice[] => {
  const opened = source.open();
  try {
    const whole = [{ source, offset: 0, length: source.size }];
    return replaceWithin(new Cursor(source, opened), 0, source.size, shape, replace, 0) ?? whole;
  } finally {
    opened.close();
  }
};
