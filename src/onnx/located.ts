/**
 * Keeps large tensor data out of the codec: before decoding it is swapped for a short mark, after encoding the marks
 * are swapped for the data again, as slices. A mark is 24 random bytes below 0x80, different in every process, so no
 * file can hold one.
 */
import { randomBytes } from 'node:crypto';
import { joinSlices } from '../support/files.ts';
import { memorySource, type ByteSource, type Slice } from '../support/byte-source.ts';
import { invariant } from '../support/assert.ts';
import { isSlice, type Chunk } from './proto.ts';
import { replaceFields, type Shape } from './wire.ts';

/** Data of this many bytes and more stays where it lies. */
export const LARGE = 1024;

const NONCE = randomBytes(16).map((b) => b & 0x7f);
const MARK_LENGTH = 24;

const markOf = (index: number): Uint8Array => {
  const mark = new Uint8Array(MARK_LENGTH);
  mark.set(NONCE);
  for (let i = 0, rest = index; i < 8; i++, rest = Math.floor(rest / 128)) mark[16 + i] = rest % 128;
  return mark;
};

const indexOf = (bytes: Uint8Array): number | undefined => {
  if (bytes.length !== MARK_LENGTH || NONCE.some((b, i) => bytes[i] !== b)) return undefined;
  return bytes.subarray(16).reduceRight((n, b) => n * 128 + b, 0);
};

const shape = (messages: Readonly<Record<number, () => Shape>>, data: readonly number[] = []): Shape => ({
  messages: new Map(Object.entries(messages).map(([number, inner]) => [Number(number), inner])),
  data: new Set(data),
});

// The way from a ModelProto down to every TensorProto, by field number (schema.ts).
const tensor = shape({}, [4, 5, 6, 7, 9, 10, 11]);
const sparse = shape({ 1: () => tensor, 2: () => tensor });
const attribute: Shape = shape({
  5: () => tensor,
  6: () => graph,
  10: () => tensor,
  11: () => graph,
  22: () => sparse,
  23: () => sparse,
});
const node = shape({ 5: () => attribute });
const graph: Shape = shape({ 1: () => node, 5: () => tensor, 15: () => sparse });
const training = shape({ 1: () => graph, 2: () => graph });
const functionBody = shape({ 7: () => node, 11: () => attribute });
const model = shape({ 7: () => graph, 20: () => training, 25: () => functionBody });

/** A model's bytes with marks for its large data, and how to tell what a chunk stands for. */
export const markLarge = (source: ByteSource): { bytes: Uint8Array; chunkOf: (bytes: Uint8Array) => Chunk } => {
  const table: Slice[] = [];
  const slices = replaceFields(source, model, (_, offset, length) =>
    length < LARGE ? undefined : sliceOfMark(table.push({ source, offset, length }) - 1),
  );
  return {
    bytes: joinSlices(slices),
    chunkOf: (bytes) => {
      const index = indexOf(bytes);
      return index === undefined ? bytes : (table[index] ?? bytes);
    },
  };
};

const sliceOfMark = (index: number): Slice => ({
  source: memorySource('mark', markOf(index)),
  offset: 0,
  length: MARK_LENGTH,
});

/** Marks for slices, and the way back from an encoded model with marks to its full bytes. */
export const marker = (): { mark: (chunk: Chunk) => Uint8Array; expand: (bytes: Uint8Array) => readonly Slice[] } => {
  const table: Slice[] = [];
  return {
    mark: (chunk) => (isSlice(chunk) ? markOf(table.push(chunk) - 1) : chunk),
    expand: (bytes) =>
      replaceFields(memorySource('model', bytes), model, (cursor, offset, length) => {
        if (length !== MARK_LENGTH) return undefined;
        const index = indexOf(cursor.bytes(offset, offset + length));
        if (index === undefined) return undefined;
        const slice = table[index];
        invariant(slice !== undefined, `data mark ${index} stands for nothing`);
        return slice;
      }),
  };
};
