/**
 * What a shape rule sees of its node, and how it answers: the facts of each output. A rule that cannot tell raises a
 * ShapeGap through `gap`, which the inference records as a reason; rules raise nothing else.
 */
import { DataType, type Node, type ValueName } from '../../graph/model.ts';
import { intsOf } from '../../graph/tensors.ts';
import { constDim, dimValue, sameDim, type Dim } from '../dim.ts';
import type { KnownInts, ValueFacts } from '../shape-facts.ts';
import type { Symbols } from './symbols.ts';

/** Contents of more elements are not followed. */
export const contentsLimit = 8192;

export interface ShapeContext {
  readonly node: Node;
  /** The version of the node's own operator set. */
  readonly opset: number;
  readonly symbols: Symbols;
  readonly facts: (input: number) => ValueFacts | undefined;
  /** The elements of a small constant input, floats included. */
  readonly numbers: (input: number) => readonly number[] | undefined;
  /** A size that depends on the data, named after output `output` and its axis. */
  readonly unknown: (output: number, axis: number) => Dim;
  /** Records that sizes could not be told although the rank could. */
  readonly note: (reason: string) => void;
}

/** Facts of the outputs in order; undefined where nothing can be said of one. */
export type ShapeRule = (c: ShapeContext) => readonly (ValueFacts | undefined)[];

/** A rule's way out: caught by the inference, never seen outside of it. */
export class ShapeGap extends Error {
  override readonly name = 'ShapeGap';
}

export const gap = (reason: string): never => {
  throw new ShapeGap(reason);
};

export const hasInput = (c: ShapeContext, input: number): boolean => (c.node.inputs[input] ?? '') !== '';

const inputName = (c: ShapeContext, input: number): ValueName => c.node.inputs[input] ?? '';

export const factsOf = (c: ShapeContext, input: number): ValueFacts => {
  if (!hasInput(c, input)) return gap(`input ${input} is missing`);
  return c.facts(input) ?? gap(`nothing is known of its input "${inputName(c, input)}"`);
};

export const typeOf = (c: ShapeContext, input: number): DataType => factsOf(c, input).dataType;

export const dimsOf = (c: ShapeContext, input: number): readonly Dim[] =>
  factsOf(c, input).dims ?? gap(`the rank of its input "${inputName(c, input)}" is unknown`);

/** Contents of an input, where they are known. */
export const contentsOf = (c: ShapeContext, input: number): KnownInts | undefined => c.facts(input)?.ints;

/** Contents that must be known and must be numbers: axes, steps and the like. */
export const plainContents = (c: ShapeContext, input: number, what: string): readonly number[] => {
  const values = contentsOf(c, input)?.values.map(dimValue) ?? c.numbers(input);
  if (values === undefined || values.some((v) => v === undefined)) return gap(`its ${what} are not known before a run`);
  return values as readonly number[];
};

export const normalAxis = (axis: number, rank: number): number => {
  const normal = axis < 0 ? axis + rank : axis;
  return normal >= 0 && normal < rank ? normal : gap(`axis ${axis} is outside its ${rank} axes`);
};

/** Axes as an attribute (older operator sets) or as input `input`; undefined where neither is given. */
export const axesOf = (c: ShapeContext, input: number): readonly number[] | undefined =>
  intsOf(c.node, 'axes') ?? (hasInput(c, input) ? plainContents(c, input, 'axes') : undefined);

export const one: Dim = constDim(1);

export const isOne = (dim: Dim): boolean => dimValue(dim) === 1;

/** Facts with contents only where they fit the dims. */
export const withInts = (dataType: DataType, dims: readonly Dim[], values: readonly Dim[] | undefined): ValueFacts => {
  const sizes = constants(dims);
  if (values === undefined || sizes === undefined || sizes.reduce((n, d) => n * d, 1) !== values.length)
    return { dataType, dims };
  return { dataType, dims, ints: { dims: sizes, values } };
};

/** Dims that are all numbers. */
export const constants = (dims: readonly Dim[]): readonly number[] | undefined => {
  const sizes = dims.map(dimValue);
  return sizes.every((d) => d !== undefined) ? sizes : undefined;
};

/** How many elements there are, where that is a number small enough to follow contents. */
export const smallCount = (dims: readonly Dim[]): number | undefined => {
  const count = constants(dims)?.reduce((n, d) => n * d, 1);
  return count !== undefined && count <= contentsLimit ? count : undefined;
};

/** Types whose elements are followed. Narrow integers are weights; theirs are not. */
export const followsContents = (dataType: DataType): boolean =>
  dataType === DataType.INT64 ||
  dataType === DataType.INT32 ||
  dataType === DataType.BOOL ||
  dataType === DataType.FLOAT ||
  dataType === DataType.DOUBLE ||
  dataType === DataType.FLOAT16;

/**
 * One axis of an elementwise result. Two different sizes other than 1 must be equal in any run that succeeds, unless
 * one happens to be 1; the one that says more is kept: a number before declared sizes before expressions before
 * sizes that depend on data, else the first.
 */
const broadcastDim = (symbols: Symbols, a: Dim, b: Dim): Dim => {
  if (sameDim(a, b) || isOne(b)) return a;
  if (isOne(a)) return b;
  return symbols.vagueness(b) < symbols.vagueness(a) ? b : a;
};

/** NumPy broadcasting. */
export const broadcast = (symbols: Symbols, operands: readonly (readonly Dim[])[]): readonly Dim[] =>
  operands.reduce((a, b) => {
    const rank = Math.max(a.length, b.length);
    return Array.from({ length: rank }, (_, i) => {
      const x = a[i - (rank - a.length)];
      const y = b[i - (rank - b.length)];
      return x === undefined || y === undefined ? ((x ?? y) as Dim) : broadcastDim(symbols, x, y);
    });
  }, []);
