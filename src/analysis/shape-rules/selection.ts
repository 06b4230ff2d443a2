/**
 * Operators that pick elements: gathers, slices, sorting and searching, and their scattering opposites.
 */
import { DataType } from '../../graph/model.ts';
import { intOf, intsOf } from '../../graph/tensors.ts';
import { addDims, constDim, dimValue, productOf, subDims, type Dim } from '../dim.ts';
import type { KnownInts } from '../shape-facts.ts';
import {
  constants,
  contentsOf,
  dimsOf,
  gap,
  normalAxis,
  plainContents,
  smallCount,
  typeOf,
  withInts,
  type ShapeContext,
  type ShapeRule,
} from './context.ts';
import { moved } from './elements.ts';

const gathered = (
  data: KnownInts,
  index: KnownInts,
  axis: number,
  sizes: readonly number[],
): readonly Dim[] | undefined => {
  const picks = index.values.map(dimValue);
  const along = data.dims[axis] as number;
  const rank = index.dims.length;
  return moved(data, sizes, (at) => {
    const flat = index.dims.reduce((n, d, i) => n * d + (at[axis + i] as number), 0);
    const pick = picks[flat] ?? NaN;
    return [...at.slice(0, axis), pick < 0 ? pick + along : pick, ...at.slice(axis + rank)];
  });
};

export const gather: ShapeRule = (c) => {
  const data = dimsOf(c, 0);
  const index = dimsOf(c, 1);
  const axis = normalAxis(intOf(c.node, 'axis', 0), data.length);
  const dims = [...data.slice(0, axis), ...index, ...data.slice(axis + 1)];
  const known = contentsOf(c, 0);
  const picks = contentsOf(c, 1);
  const sizes = smallCount(dims) === undefined ? undefined : constants(dims);
  return [withInts(typeOf(c, 0), dims, known && picks && sizes && gathered(known, picks, axis, sizes))];
};

export const gatherElements: ShapeRule = (c) => [{ dataType: typeOf(c, 0), dims: dimsOf(c, 1) }];

export const gatherND: ShapeRule = (c) => {
  const data = dimsOf(c, 0);
  const index = dimsOf(c, 1);
  const last = index[index.length - 1];
  const depth = last && dimValue(last);
  if (depth === undefined) return gap('how many axes it indexes is not known before a run');
  const batch = intOf(c.node, 'batch_dims', 0);
  const dims = [...index.slice(0, -1), ...data.slice(batch + depth)];
  const known = contentsOf(c, 0);
  const picks = contentsOf(c, 1)?.values.map(dimValue);
  const sizes = smallCount(dims) === undefined ? undefined : constants(dims);
  const lead = index.length - 1;
  const values =
    known && picks && sizes
      ? moved(known, sizes, (at) => {
          const row = at.slice(0, lead).reduce((n, x, i) => n * ((constants(index) ?? [])[i] ?? 1) + x, 0);
          const tuple = Array.from({ length: depth }, (_, k) => picks[row * depth + k] ?? NaN);
          const own = tuple.map((p, k) => (p < 0 ? p + (known.dims[batch + k] ?? 0) : p));
          return [...at.slice(0, batch), ...own, ...at.slice(lead)];
        })
      : undefined;
  return [withInts(typeOf(c, 0), dims, values)];
};

/** Beyond this a bound is an exporter's "to the end". */
const endMarker = 2 ** 31 - 1;

/**
 * A bound counted from the front. Numbers are clamped where the size is a number. Symbolic bounds, and numbers against
 * a symbolic size that bounds cannot decide, are taken to lie within the axis, except that cutting a symbolic axis to
 * a fixed length is a minimum: exporters slice tables by lengths that fit, but cut texts that may be shorter.
 */
const offset = (c: ShapeContext, bound: Dim, size: Dim, isEnd: boolean): Dim => {
  const value = dimValue(bound);
  if (value !== undefined && value >= endMarker) return size;
  if (value !== undefined && value <= -endMarker) return constDim(0);
  const { symbols } = c;
  const fromEnd = symbols.boundsOf(bound).hi < 0;
  const at = fromEnd ? addDims(size, bound) : bound;
  if (dimValue(size) !== undefined && value !== undefined) return symbols.min(symbols.max(at, constDim(0)), size);
  if (fromEnd) return symbols.boundsOf(at).hi <= 0 ? constDim(0) : at;
  return isEnd && value !== undefined ? symbols.min(at, size) : symbols.boundsOf(subDims(at, size)).lo >= 0 ? size : at;
};

interface Cut {
  readonly axis: number;
  readonly start: Dim;
  readonly end: Dim;
  readonly step: number;
}

/** The bounds of a Slice as attributes (before opset 10) or inputs; undefined entries depend on data. */
const cuts = (
  c: ShapeContext,
  rank: number,
): readonly (Cut | { readonly axis: number; readonly start?: undefined })[] => {
  const attribute = (name: string): readonly Dim[] | undefined => intsOf(c.node, name)?.map(constDim);
  const fromInputs = c.opset >= 10;
  const starts = fromInputs ? contentsOf(c, 1)?.values : attribute('starts');
  const ends = fromInputs ? contentsOf(c, 2)?.values : attribute('ends');
  const given = fromInputs ? (c.node.inputs[3] ? plainContents(c, 3, 'axes') : undefined) : intsOf(c.node, 'axes');
  const count = starts?.length ?? ends?.length ?? given?.length;
  if (count === undefined) return gap('how many axes it cuts is not known before a run');
  const axes = given ?? Array.from({ length: count }, (_, i) => i);
  const steps = fromInputs && c.node.inputs[4] ? plainContents(c, 4, 'steps') : undefined;
  return axes.map((a, i) => {
    const axis = normalAxis(a, rank);
    const [start, end, step] = [starts?.[i], ends?.[i], steps?.[i] ?? 1];
    return start === undefined || end === undefined ? { axis } : { axis, start, end, step };
  });
};

const cutLength = (c: ShapeContext, cut: Cut, size: Dim): { start: Dim; length: Dim } => {
  const { symbols } = c;
  const zero = constDim(0);
  if (cut.step > 0) {
    const start = offset(c, cut.start, size, false);
    const end = offset(c, cut.end, size, true);
    const span = subDims(end, start);
    if (symbols.boundsOf(span).hi <= 0) return { start, length: zero };
    // A difference of numbers is decided above; a symbolic one is taken not to be negative.
    return { start, length: symbols.ceilDiv(span, constDim(cut.step)) };
  }
  const last = addDims(size, constDim(-1));
  const first = dimValue(cut.start);
  const from = first !== undefined && first >= endMarker ? last : offset(c, cut.start, size, false);
  const start = dimValue(from) !== undefined && dimValue(size) !== undefined ? symbols.min(from, last) : from;
  const stop = dimValue(cut.end);
  const whole = dimValue(size) ?? Infinity;
  const beforeFirst = stop !== undefined && (stop <= -endMarker || stop < -whole);
  const end = beforeFirst ? constDim(-1) : offset(c, cut.end, size, false);
  const span = subDims(start, end);
  if (symbols.boundsOf(span).hi <= 0) return { start, length: zero };
  return { start, length: symbols.ceilDiv(span, constDim(-cut.step)) };
};

export const slice: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const dims = [...input];
  const at = input.map((): { start: number | undefined; step: number } => ({ start: 0, step: 1 }));
  for (const cut of cuts(c, input.length)) {
    if (cut.start === undefined) {
      dims[cut.axis] = c.unknown(0, cut.axis);
      c.note('it cuts at positions computed from data');
      continue;
    }
    if (cut.step === 0) return gap('its step is 0');
    const { start, length } = cutLength(c, cut, input[cut.axis] as Dim);
    dims[cut.axis] = length;
    at[cut.axis] = { start: dimValue(start), step: cut.step };
  }
  const known = contentsOf(c, 0);
  const sizes = constants(dims);
  const values =
    known && sizes
      ? moved(known, sizes, (to) => to.map((x, axis) => (at[axis]?.start ?? NaN) + x * (at[axis]?.step ?? 1)))
      : undefined;
  return [withInts(typeOf(c, 0), dims, values)];
};

export const topK: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const axis = normalAxis(intOf(c.node, 'axis', -1), input.length);
  const attribute = c.node.attrs['k'];
  const k = attribute?.kind === 'int' ? constDim(attribute.value) : contentsOf(c, 1)?.values[0];
  if (k === undefined) c.note('how many elements it keeps is computed from data');
  const dims = input.map((d, i) => (i === axis ? (k ?? c.unknown(0, axis)) : d));
  return [
    { dataType: typeOf(c, 0), dims },
    { dataType: DataType.INT64, dims },
  ];
};

export const nonZero: ShapeRule = (c) => {
  const dims = dimsOf(c, 0);
  return [{ dataType: DataType.INT64, dims: [constDim(dims.length), c.unknown(0, 1)] }];
};

export const compress: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const attribute = c.node.attrs['axis'];
  const axis = attribute?.kind === 'int' ? normalAxis(attribute.value, input.length) : undefined;
  const dims = axis === undefined ? [c.unknown(0, 0)] : input.map((d, i) => (i === axis ? c.unknown(0, i) : d));
  return [{ dataType: typeOf(c, 0), dims }];
};

/** Unique along an axis, or of all elements: how many there are depends on the data. */
export const unique: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const attribute = c.node.attrs['axis'];
  const axis = attribute?.kind === 'int' ? normalAxis(attribute.value, input.length) : undefined;
  const count = c.unknown(0, axis ?? 0);
  const index = { dataType: DataType.INT64, dims: [count] };
  const dims = axis === undefined ? [count] : input.map((d, i) => (i === axis ? count : d));
  const searched = axis === undefined ? productOf(input) : (input[axis] as Dim);
  return [{ dataType: typeOf(c, 0), dims }, index, { dataType: DataType.INT64, dims: [searched] }, index];
};

/** Boxes, scores and limits to the chosen [count, 3]. */
export const nonMaxSuppression: ShapeRule = (c) => [{ dataType: DataType.INT64, dims: [c.unknown(0, 0), constDim(3)] }];
