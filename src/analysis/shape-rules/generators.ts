/**
 * Operators that make tensors from sizes and attributes: shapes as contents, ranges, constants, random numbers.
 */
import { DataType } from '../../graph/model.ts';
import { intOf, intsOf, readNumbers } from '../../graph/tensors.ts';
import { addDims, constDim, dimValue, mulDims, productOf, subDims, type Dim } from '../dim.ts';
import type { ValueFacts } from '../shape-facts.ts';
import {
  contentsLimit,
  contentsOf,
  dimsOf,
  followsContents,
  gap,
  hasInput,
  smallCount,
  typeOf,
  withInts,
  type ShapeContext,
  type ShapeRule,
} from './context.ts';

export const shape: ShapeRule = (c) => {
  const dims = dimsOf(c, 0);
  const rank = dims.length;
  const clamp = (v: number): number => Math.min(Math.max(v < 0 ? v + rank : v, 0), rank);
  const part = dims.slice(clamp(intOf(c.node, 'start', 0)), clamp(intOf(c.node, 'end', rank)));
  return [withInts(DataType.INT64, [constDim(part.length)], part)];
};

export const size: ShapeRule = (c) => [withInts(DataType.INT64, [], [productOf(dimsOf(c, 0))])];

/**
 * The dims that the contents of input `input` spell. Where they are not known but their number is, sizes that depend
 * on data, and a note.
 */
export const spelledDims = (c: ShapeContext, input: number): readonly Dim[] => {
  const known = contentsOf(c, input)?.values;
  if (known !== undefined) return known;
  const [length] = dimsOf(c, input);
  const rank = length && dimValue(length);
  if (rank === undefined) return gap('the number of its axes is not known before a run');
  c.note('its sizes are computed from data');
  return Array.from({ length: rank }, (_, axis) => c.unknown(0, axis));
};

export const constantOfShape: ShapeRule = (c) => {
  const dims = spelledDims(c, 0);
  const attr = c.node.attrs['value'];
  const dataType = attr?.kind === 'tensor' ? attr.value.dataType : DataType.FLOAT;
  const value = attr?.kind === 'tensor' ? readNumbers(attr.value)?.[0] : 0;
  const count = smallCount(dims);
  const filled = value !== undefined && Number.isSafeInteger(value) && followsContents(dataType) && count !== undefined;
  return [withInts(dataType, dims, filled ? Array.from({ length: count }, () => constDim(value)) : undefined)];
};

/** max(0, ceil((limit - start) / delta)) elements. Contents where start and delta are known and the count is small. */
export const range: ShapeRule = (c) => {
  const dataType = typeOf(c, 0);
  const [start, limit, delta] = [0, 1, 2].map((i) => contentsOf(c, i)?.values[0]);
  if (start === undefined || limit === undefined || delta === undefined) {
    const plain = [0, 1, 2].map((i) => c.numbers(i)?.[0]);
    if (plain.every((v) => v !== undefined)) {
      const [from, to, by] = plain as [number, number, number];
      return [{ dataType, dims: [constDim(Math.max(0, Math.ceil((to - from) / by)))] }];
    }
    return [{ dataType, dims: [c.unknown(0, 0)] }];
  }
  const by = dimValue(delta);
  if (by === 0) return gap('its step is 0');
  const span = subDims(limit, start);
  const steps =
    by !== undefined && by < 0
      ? c.symbols.ceilDiv(subDims(start, limit), constDim(-by))
      : c.symbols.ceilDiv(span, delta);
  // A range whose length might be negative is taken not to be: exporters write sizes, not differences of data.
  const { hi } = c.symbols.boundsOf(steps);
  const length = hi <= 0 ? constDim(0) : steps;
  const count = dimValue(length);
  const values =
    count !== undefined && count <= contentsLimit && followsContents(dataType)
      ? Array.from({ length: count }, (_, i) => addDims(start, mulDims(constDim(i), delta)))
      : undefined;
  return [withInts(dataType, [length], values)];
};

/** RandomNormalLike and kin, EyeLike: the shape of input 0, the type of attribute `dtype`. */
export const likeWithType: ShapeRule = (c) => [{ dataType: intOf(c.node, 'dtype', typeOf(c, 0)), dims: dimsOf(c, 0) }];

/** RandomNormal and kin: the shape is an attribute. */
export const randomOfShape: ShapeRule = (c) => {
  const dims = intsOf(c.node, 'shape') ?? gap('it has no shape attribute');
  return [{ dataType: intOf(c.node, 'dtype', DataType.FLOAT), dims: dims.map(constDim) }];
};

export const multinomial: ShapeRule = (c) => {
  const dims = [...dimsOf(c, 0).slice(0, 1), constDim(intOf(c.node, 'sample_size', 1))];
  return [{ dataType: intOf(c.node, 'dtype', DataType.INT32), dims }];
};

/** Hann, Hamming and Blackman windows. */
export const windowOfSize: ShapeRule = (c) => {
  const length = contentsOf(c, 0)?.values[0] ?? c.unknown(0, 0);
  return [{ dataType: intOf(c.node, 'output_datatype', DataType.FLOAT), dims: [length] }];
};

export const oneHot: ShapeRule = (c) => {
  const indices = dimsOf(c, 0);
  const given = intOf(c.node, 'axis', -1);
  const axis = given < 0 ? given + indices.length + 1 : given;
  const depth = contentsOf(c, 1)?.values[0] ?? c.unknown(0, axis);
  return [
    {
      dataType: hasInput(c, 2) ? typeOf(c, 2) : DataType.FLOAT,
      dims: [...indices.slice(0, axis), depth, ...indices.slice(axis)],
    },
  ];
};

/** Facts of a tensor whose type and dims are plain. */
export const plainFacts = (dataType: DataType, dims: readonly number[]): ValueFacts => ({
  dataType,
  dims: dims.map(constDim),
});
