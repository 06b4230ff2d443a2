/**
 * Reductions over axes, and positions of extremes. Contents follow through the reductions that shape arithmetic uses.
 */
import { DataType } from '../../graph/model.ts';
import { intOf } from '../../graph/tensors.ts';
import { addDims, constDim, mulDims, type Dim } from '../dim.ts';
import {
  axesOf,
  constants,
  contentsOf,
  dimsOf,
  normalAxis,
  one,
  smallCount,
  typeOf,
  withInts,
  type ShapeContext,
  type ShapeRule,
} from './context.ts';
import { eachPosition, stridesOf } from './elements.ts';

const reducedDims = (input: readonly Dim[], axes: ReadonlySet<number>, keep: boolean): readonly Dim[] =>
  keep ? input.map((d, i) => (axes.has(i) ? one : d)) : input.filter((_, i) => !axes.has(i));

const folds: ReadonlyMap<string, (c: ShapeContext) => (a: Dim, b: Dim) => Dim> = new Map([
  ['ReduceProd', () => mulDims],
  ['ReduceSum', () => addDims],
  ['ReduceMax', (c: ShapeContext) => c.symbols.max],
  ['ReduceMin', (c: ShapeContext) => c.symbols.min],
]);

const folded = (c: ShapeContext, axes: ReadonlySet<number>, dims: readonly Dim[]): readonly Dim[] | undefined => {
  const known = contentsOf(c, 0);
  const fold = folds.get(c.node.op)?.(c);
  const kept = known?.dims.map((d, i) => (axes.has(i) ? 1 : d));
  if (
    known === undefined ||
    fold === undefined ||
    kept === undefined ||
    constants(dims) === undefined ||
    smallCount(dims) === undefined
  )
    return undefined;
  const strides = stridesOf(kept);
  const results: (Dim | undefined)[] = [];
  eachPosition(known.dims, (at, index) => {
    const to = at.reduce((n, x, axis) => n + (axes.has(axis) ? 0 : x * (strides[axis] as number)), 0);
    const value = known.values[index] as Dim;
    const before = results[to];
    results[to] = before === undefined ? value : fold(before, value);
  });
  return results.every((r) => r !== undefined) ? results : undefined;
};

/** Axes as an attribute or as input 1 (ReduceSum from opset 13, the others from 18); none means all. */
export const reduce: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const given = axesOf(c, 1);
  const none = given === undefined || given.length === 0;
  const all = none && intOf(c.node, 'noop_with_empty_axes', 0) === 0;
  const axes = new Set(all ? input.map((_, i) => i) : (given ?? []).map((a) => normalAxis(a, input.length)));
  const dims = reducedDims(input, axes, intOf(c.node, 'keepdims', 1) === 1);
  return [withInts(typeOf(c, 0), dims, folded(c, axes, dims))];
};

export const argExtreme: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const axes = new Set([normalAxis(intOf(c.node, 'axis', 0), input.length)]);
  return [{ dataType: DataType.INT64, dims: reducedDims(input, axes, intOf(c.node, 'keepdims', 1) === 1) }];
};

/** Running sums of contents along the last or only axis; elsewhere the shape alone. */
export const cumSum: ShapeRule = (c) => {
  const dims = dimsOf(c, 0);
  const known = contentsOf(c, 0);
  const plain = intOf(c.node, 'exclusive', 0) === 0 && intOf(c.node, 'reverse', 0) === 0;
  if (known?.dims.length !== 1 || !plain) return [{ dataType: typeOf(c, 0), dims }];
  let sum = constDim(0);
  return [
    withInts(
      typeOf(c, 0),
      dims,
      known.values.map((v) => (sum = addDims(sum, v))),
    ),
  ];
};
