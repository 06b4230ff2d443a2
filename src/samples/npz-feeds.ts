/**
 * Feeds of an .npz file: one, or one for each index where every array has an axis more than its input.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-samples.ts';
import { inFile } from '../diagnostics/render.ts';
import { readNpz, tensorOf } from '../runtime/npz.ts';
import type { TensorData } from '../runtime/tensor-data.ts';
import { readSlice, type ByteSource } from '../support/byte-source.ts';
import { checkFeed, dimsOf, isStacked, LABELS, type Feed, type Signature } from './feed.ts';
import type { Arrays, FileCache } from './file-cache.ts';
import { labelsOf } from './labels.ts';
import type { Tensors } from './sample-set.ts';
import { entryOf } from './tensors.ts';

export interface SampleFile {
  /** As messages name it. */
  readonly name: string;
  readonly source: ByteSource;
}

const decode = ({ name, source }: SampleFile): Arrays => {
  try {
    const arrays = readNpz(readSlice({ source, offset: 0, length: source.size }), name);
    return new Map([...arrays].map(([key, array]) => [key, tensorOf(array)]));
  } catch (error) {
    throw error instanceof CompileError ? new CompileError(inFile(error.diagnostic, name), { cause: error }) : error;
  }
};

const feedOf = (name: string, arrays: () => Arrays, hasLabels: boolean, inOne: boolean): Feed => {
  const inputs = (): Tensors => new Map([...arrays()].filter(([key]) => !hasLabels || key !== LABELS));
  const read = (): TensorData => labelsOf(name, arrays().get(LABELS) as TensorData, inOne);
  const isLabelled = hasLabels && arrays().has(LABELS);
  return {
    name,
    dims: dimsOf(inputs()),
    inputs,
    ...(isLabelled && { labels: { dims: read().dims, read } }),
  };
};

/** Entries along the first axis, which all arrays must have in common. Throws a CompileError sample-rows. */
const entriesOf = (file: string, arrays: Arrays): number => {
  const [[first, { dims }] = ['', { dims: [] }] as const, ...others] = arrays;
  const count = dims[0] ?? 0;
  for (const [name, other] of others)
    if (other.dims[0] !== count) throw new CompileError(say.sampleRows(file, first, count, name, other.dims[0] ?? 0));
  if (count === 0) throw new CompileError(say.sampleRowsNone(file));
  return count;
};

/** Checks the file against the model. Throws a CompileError where it is none of its feeds. */
export const npzFeeds = (file: SampleFile, signature: Signature, cache: FileCache): readonly Feed[] => {
  const arrays = (): Arrays => cache.of(file.source.name, () => decode(file));
  const first = arrays();
  const { hasLabels } = signature;
  const stacked = isStacked(file.name, first, signature);
  checkFeed(file.name, first, signature, stacked ? 1 : 0);
  if (!stacked) return [feedOf(file.name, arrays, hasLabels, false)];
  const entry = (at: number) => (): Arrays =>
    new Map([...arrays()].map(([name, tensor]): [string, TensorData] => [name, entryOf(tensor, at)]));
  return Array.from({ length: entriesOf(file.name, first) }, (_, at) =>
    feedOf(`${file.name}[${at}]`, entry(at), hasLabels, true),
  );
};
