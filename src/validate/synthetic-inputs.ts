/**
 * Inputs made up for a model, the same ones every time: small ids that every table they are looked up in has, masks
 * of ones, pictures and features of normal noise. They show that a model runs, not how well it answers.
 */
import { isMaskInput } from '../analysis/contents.ts';
import { DataType, type GraphValue, type Model, type ValueName } from '../graph/model.ts';
import { elementCount, numberToHalf } from '../graph/tensors.ts';
import { constantTensor, usesOf } from '../graph/uses.ts';
import { assumedSizes, givenInputs, symbolOf, type AssumedSize, type UsualSizes } from '../analysis/open-sizes.ts';
import type { Elements, TensorData } from '../runtime/tensor-data.ts';

export interface SyntheticInputs {
  readonly feeds: ReadonlyMap<string, TensorData>;
  /** What was chosen for sizes the model leaves open. */
  readonly sizes: readonly AssumedSize[];
}

/** Reproducible numbers in [0, 1). */
const uniform = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
};

const normal = (next: () => number): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());

const moves = new Set([
  'Cast',
  'Identity',
  'Reshape',
  'Flatten',
  'Unsqueeze',
  'Squeeze',
  'Slice',
  'Split',
  'Expand',
  'Transpose',
  'Gather',
]);
const mostIds = 10;

/** Rows of the smallest table that an input's elements are looked up in, and at most ten. */
const idLimit = (model: Model, input: ValueName): number => {
  const uses = usesOf(model.graph);
  const seen = new Set([input]);
  let limit = mostIds;
  for (const value of seen)
    for (const { node, input: at } of uses.consumers(value)) {
      if (node.op === 'Gather' && at === 1)
        limit = Math.min(limit, constantTensor(model, node.inputs[0] ?? '')?.dims[0] ?? mostIds);
      else if (moves.has(node.op) && at === 0) for (const output of node.outputs) seen.add(output);
    }
  return Math.max(limit, 1);
};

const integers: Readonly<Record<number, (values: readonly number[]) => Elements>> = {
  [DataType.INT64]: (v) => BigInt64Array.from(v, BigInt),
  [DataType.UINT64]: (v) => BigUint64Array.from(v, BigInt),
  [DataType.INT32]: (v) => Int32Array.from(v),
  [DataType.UINT32]: (v) => Uint32Array.from(v),
  [DataType.INT16]: (v) => Int16Array.from(v),
  [DataType.UINT16]: (v) => Uint16Array.from(v),
  [DataType.INT8]: (v) => Int8Array.from(v),
  [DataType.UINT8]: (v) => Uint8Array.from(v),
  [DataType.BOOL]: (v) => Uint8Array.from(v),
};
const floats: Readonly<Record<number, (values: readonly number[]) => Elements>> = {
  [DataType.FLOAT]: (v) => Float32Array.from(v),
  [DataType.DOUBLE]: (v) => Float64Array.from(v),
  [DataType.FLOAT16]: (v) => Uint16Array.from(v, numberToHalf),
};

const dataFor = (model: Model, input: GraphValue, dims: readonly number[], seed: number): TensorData | undefined => {
  const { dataType } = input.type ?? { dataType: 0 };
  const next = uniform(seed);
  const fill = (make: () => number): number[] => Array.from({ length: elementCount(dims) }, make);
  const isMask = dims.length <= 2 && isMaskInput(model, input.name);
  const float = floats[dataType];
  if (float !== undefined) return { dataType, dims, data: float(fill(() => (isMask ? 1 : normal(next)))) };
  const integer = integers[dataType];
  if (integer === undefined) return undefined;
  const limit = dims.length >= 4 ? 128 : idLimit(model, input.name);
  return {
    dataType,
    dims,
    data: integer(fill(() => (isMask || dataType === DataType.BOOL ? 1 : Math.floor(next() * limit)))),
  };
};

/** Inputs with open sizes as given; undefined, by the input's name, where one has a type that cannot be made up. */
export const syntheticInputs = (model: Model, sizes: UsualSizes): SyntheticInputs | { readonly cannot: string } => {
  const chosen = assumedSizes(model, sizes);
  const known = new Map(chosen.map(({ symbol, size }) => [symbol, size]));
  const feeds = new Map<string, TensorData>();
  for (const [i, input] of givenInputs(model).entries()) {
    const dims = input.type?.dims?.map((d, axis) => known.get(symbolOf(input, axis) ?? '') ?? Number(d));
    const data = dims && dataFor(model, input, dims, i + 1);
    if (data === undefined) return { cannot: input.name };
    feeds.set(input.name, data);
  }
  return { feeds, sizes: chosen };
};
