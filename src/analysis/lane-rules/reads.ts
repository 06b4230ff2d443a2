/**
 * Operators that pick elements by position, and reductions. On a token axis the first are reads that a later pass
 * must remap or refuse; a whole-lane slice is no read of a single token.
 */
import { intOf, intsOf } from '../../graph/tensors.ts';
import { addDims, constDim, dimValue, sameDim, sumDims, type Dim } from '../dim.ts';
import {
  axisDim,
  isLabelled,
  isRows,
  meet,
  plainAxis,
  rowsAxis,
  tokensAxis,
  tokensOf,
  type Axis,
  type Segment,
} from '../labels.ts';
import { axesOf, isOne, normalAxis, type LaneContext, type LaneRule } from './context.ts';
import { plainOne } from './pointwise.ts';

const endMarker = 2 ** 31 - 1;

/** Segments between two offsets, where both fall on borders between them. */
const wholeSegments = (tokens: readonly Segment[], start: Dim, end: Dim): readonly Segment[] | undefined => {
  const borders = tokens.reduce<Dim[]>(
    (list, s) => [...list, addDims(list[list.length - 1] as Dim, s.length)],
    [constDim(0)],
  );
  const from = borders.findIndex((b) => sameDim(b, start));
  const to = borders.findIndex((b) => sameDim(b, end));
  return from < 0 || to < 0 || to <= from ? undefined : tokens.slice(from, to);
};

/**
 * An axis of rows picked from a token axis: several rows of one whole lane are tokens of that lane still, in whatever
 * order (semantics.md, Words); one row by itself is no lane. Of shortened tokens nothing is carried on: which ones
 * are read is for the read itself to settle.
 */
const picked = (on: Axis, rows: Dim): Axis => {
  if (isRows(on)) return rowsAxis(rows);
  const [only, ...more] = tokensOf(on) ?? [];
  return only === undefined || more.length > 0 || only.version !== '' || isOne(rows)
    ? plainAxis(rows)
    : tokensAxis([{ ...only, length: rows }]);
};

/** Rows picked by an index with one axis: what the index says of it where it says something. */
const gathered = (on: Axis, at: Axis): Axis => (isLabelled(at) || at.length !== 1 ? at : picked(on, axisDim(at)));

/** Gather, or an operator like it with the axis under another name. */
export const gatherAlong =
  (attribute: string): LaneRule =>
  (c) => {
    const data = axesOf(c, 0);
    const index = axesOf(c, 1);
    if (data === undefined || index === undefined) return undefined;
    const axis = normalAxis(intOf(c.node, attribute, 0), data.length);
    const on = data[axis] as Axis;
    if (isLabelled(on)) {
      const at = c.ints(1)?.values;
      const position = at?.length === 1 ? at[0] : undefined;
      c.say(
        'read',
        0,
        axis,
        position === undefined
          ? `${c.node.op} reads tokens at positions computed from data`
          : `${c.node.op} reads one token by position`,
        position === undefined
          ? { kind: 'data', index: c.node.inputs[1] ?? '' }
          : { kind: 'position', at: position, input: 1 },
      );
    }
    const rows = index.length === 1 ? index.map((at) => gathered(on, at)) : index;
    return [[...data.slice(0, axis), ...rows, ...data.slice(axis + 1)]];
  };

export const gather = gatherAlong('axis');

/** GatherElements and GatherND: indices per batch row. */
export const gatherByData: LaneRule = (c) => {
  const data = axesOf(c, 0);
  const out = c.outDims(0);
  if (data === undefined || out === undefined) return undefined;
  if (c.node.op === 'GatherElements') {
    const axis = normalAxis(intOf(c.node, 'axis', 0), data.length);
    const index = axesOf(c, 1) ?? out.map(plainAxis);
    const result = data.map((on, i) => {
      const at = index[i] ?? plainAxis(out[i] as Dim);
      if (i === axis) {
        if (isLabelled(on))
          c.say('read', 0, axis, 'GatherElements reads tokens at positions computed from data', {
            kind: 'data',
            index: c.node.inputs[1] ?? '',
          });
        return gathered(on, at);
      }
      // Beside the gathered axis, row i of the index is read from row i of the data.
      const meeting = meet(on, at);
      if (meeting.fault !== undefined) c.say('conflict', 1, i, `GatherElements ${meeting.fault}`);
      return meeting.axis;
    });
    return [result];
  }
  data.forEach((on, i) => {
    if (isLabelled(on)) c.say('lost', 0, i, 'GatherND reads tokens at positions computed from data');
  });
  // One result for each index: rows of the index are rows of the result.
  const rows = (axesOf(c, 1) ?? []).slice(0, -1);
  return [out.map((dim, i) => rows[i] ?? plainAxis(dim))];
};

const bounds = (
  c: LaneContext,
): { axes: readonly number[]; starts: readonly Dim[]; ends: readonly Dim[]; steps: readonly number[] } | undefined => {
  const dims = (values: readonly number[] | undefined): readonly Dim[] | undefined => values?.map(constDim);
  const starts = dims(intsOf(c.node, 'starts')) ?? c.ints(1)?.values;
  const ends = dims(intsOf(c.node, 'ends')) ?? c.ints(2)?.values;
  if (starts === undefined || ends === undefined) return undefined;
  const axes =
    intsOf(c.node, 'axes') ??
    (c.node.inputs[3] ? c.ints(3)?.values.map((d) => dimValue(d) ?? Number.NaN) : starts.map((_, i) => i));
  const steps = c.node.inputs[4] ? c.ints(4)?.values.map((d) => dimValue(d) ?? Number.NaN) : starts.map(() => 1);
  return axes && steps && !axes.some(Number.isNaN) ? { axes, starts, ends, steps } : undefined;
};

/** A slice bound as an offset from the start: negative constants count from the end, large ones are the end. */
const offset = (bound: Dim, whole: Dim): Dim => {
  const value = dimValue(bound);
  if (value === undefined) return bound;
  if (value >= endMarker) return whole;
  const size = dimValue(whole);
  if (value < 0) return size !== undefined && -value > size ? constDim(0) : addDims(whole, bound);
  return size !== undefined && value > size ? whole : bound;
};

export const slice: LaneRule = (c) => {
  const data = axesOf(c, 0);
  const out = c.outDims(0);
  if (data === undefined || out === undefined) return undefined;
  const cut = bounds(c);
  const result = [...data];
  if (cut === undefined) {
    data.forEach((on, axis) => {
      // A start in the text says nothing of the end: no index that could be vouched for.
      if (isLabelled(on)) c.say('read', 0, axis, 'Slice cuts the tokens at positions computed from data');
    });
    return [out.map(plainAxis)];
  }
  cut.axes.forEach((given, i) => {
    const axis = normalAxis(given, data.length);
    const on = data[axis] as Axis;
    const dim = out[axis] as Dim;
    if (!isLabelled(on)) {
      result[axis] = picked(on, dim);
      return;
    }
    const tokens = tokensOf(on);
    const start = offset(cut.starts[i] as Dim, axisDim(on));
    const end = offset(cut.ends[i] as Dim, axisDim(on));
    const kept = cut.steps[i] === 1 && tokens !== undefined ? wholeSegments(tokens, start, end) : undefined;
    if (kept !== undefined && kept.length === tokens?.length) return;
    const toEnd = sameDim(end, axisDim(on));
    c.say(
      'read',
      0,
      axis,
      kept ? 'Slice cuts the tokens at a border between lanes' : 'Slice reads tokens by position',
      cut.steps[i] === 1
        ? { kind: 'range', start, ...(!toEnd && { end }) }
        : { kind: 'data', index: c.node.inputs[1] ?? '' },
    );
    result[axis] = kept ? tokensAxis(kept) : picked(on, dim);
  });
  return [result];
};

export const split: LaneRule = (c) => {
  const data = axesOf(c, 0);
  if (data === undefined) return undefined;
  const axis = normalAxis(intOf(c.node, 'axis', 0), data.length);
  const on = data[axis] as Axis;
  const tokens = tokensOf(on);
  let at = constDim(0);
  if (isLabelled(on)) c.say('read', 0, axis, 'Split cuts the tokens by position', { kind: 'split' });
  return c.node.outputs.map((_, i) => {
    const size = c.outDims(i)?.[axis];
    if (size === undefined) return undefined;
    const from = at;
    at = sumDims([at, size]);
    const kept = tokens && wholeSegments(tokens, from, at);
    return data.map((a, k) => (k === axis ? (kept ? tokensAxis(kept) : picked(on, size)) : a));
  });
};

/** ReduceMean and kin, ArgMax: the reduced axes vanish or become 1. */
export const reduction: LaneRule = (c) => {
  const data = axesOf(c, 0);
  if (data === undefined) return undefined;
  const single = c.node.op.startsWith('Arg') ? [intOf(c.node, 'axis', 0)] : undefined;
  const given =
    single ??
    intsOf(c.node, 'axes') ??
    (c.node.inputs[1] ? c.ints(1)?.values.map((d) => dimValue(d) ?? Number.NaN) : undefined);
  // Axes that only a run can tell may be those of the tokens.
  if ((given === undefined && c.node.inputs[1]) || given?.some(Number.isNaN) === true) return undefined;
  const noop = intOf(c.node, 'noop_with_empty_axes', 0) === 1;
  const axes =
    given === undefined || given.length === 0
      ? noop
        ? []
        : data.map((_, i) => i)
      : given.map((a) => normalAxis(a, data.length));
  for (const axis of axes)
    if (isLabelled(data[axis] ?? [])) c.say('mixes', 0, axis, `${c.node.op} reduces over the tokens`);
  const keep = intOf(c.node, 'keepdims', 1) === 1;
  return [keep ? data.map((a, i) => (axes.includes(i) ? plainOne : a)) : data.filter((_, i) => !axes.includes(i))];
};

/** CumSum, CumProd, TopK: every token's result depends on its place among the others. */
export const alongAxis: LaneRule = (c) => {
  const data = axesOf(c, 0);
  if (data === undefined) return undefined;
  const given = c.node.op.startsWith('Cum')
    ? dimValue(c.ints(1)?.values[0] ?? constDim(Number.NaN))
    : intOf(c.node, 'axis', -1);
  const axis = given === undefined ? undefined : normalAxis(given, data.length);
  data.forEach((on, i) => {
    if (isLabelled(on) && (axis === undefined || Number.isNaN(axis) || i === axis))
      c.say('lost', 0, i, `${c.node.op} runs along the tokens`);
  });
  return c.node.outputs.map((_, o) =>
    data.map((a, i) => (i === axis ? plainAxis(c.outDims(o)?.[i] ?? axisDim(a)) : a)),
  );
};
