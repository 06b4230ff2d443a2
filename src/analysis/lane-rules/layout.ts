/**
 * Operators that move axes about without looking at elements: transpositions, reshapes, concatenations, broadcasts.
 */
import type { Node } from '../../graph/model.ts';
import { intOf, intsOf } from '../../graph/tensors.ts';
import { inputsBehind } from '../dependencies.ts';
import { constDim, dimValue, sameDim, sumDims, type Dim } from '../dim.ts';
import {
  axisDim,
  hasRows,
  isFollowed,
  isLabelled,
  isRows,
  isShortened,
  meet,
  plainAxis,
  rowsAxis,
  settleGrid,
  tokensAxis,
  tokensOf,
  type Axis,
  type Factor,
  type Segment,
} from '../labels.ts';
import { layOut } from '../reshape-map.ts';
import { axesOf, isOne, normalAxis, type LaneContext, type LaneRule } from './context.ts';

export const transpose: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  if (axes === undefined) return undefined;
  const perm = intsOf(c.node, 'perm') ?? axes.map((_, i) => axes.length - 1 - i);
  return [perm.map((from) => axes[from] as Axis)];
};

const listed = (c: LaneContext): readonly number[] | undefined =>
  intsOf(c.node, 'axes') ?? c.ints(1)?.values.map((d) => dimValue(d) ?? Number.NaN);

export const unsqueeze: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  const added = listed(c);
  if (axes === undefined || added === undefined) return undefined;
  const rank = axes.length + added.length;
  const at = new Set(added.map((a) => normalAxis(a, rank)));
  let next = 0;
  return [Array.from({ length: rank }, (_, i) => (at.has(i) ? one() : (axes[next++] as Axis)))];
};

const one = (): Axis => [{ dim: constDim(1) }];

export const squeeze: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  if (axes === undefined) return undefined;
  const dims = c.dims(0);
  const gone = listed(c)?.map((a) => normalAxis(a, axes.length)) ?? dims?.flatMap((d, i) => (isOne(d) ? [i] : []));
  if (gone === undefined) return undefined;
  for (const axis of gone) if (isLabelled(axes[axis] as Axis)) c.say('lost', 0, axis, 'Squeeze removes the token axis');
  return [axes.filter((_, i) => !gone.includes(i))];
};

/** The factors of the input axes laid over the output axes; what is not followed may be cut as the output needs it. */
const regroup = (factors: readonly Factor[], outDims: readonly Dim[]): Axis[] | undefined => {
  if (outDims.length === 1) return [settleGrid(factors)];
  if (!isFollowed(factors)) return outDims.map(plainAxis);
  const groups = layOut(factors, outDims, (factor, dim) => (isFollowed([factor]) ? undefined : { dim }));
  if (groups === undefined) return isLabelled(factors) ? undefined : outDims.map(plainAxis);
  const out: Axis[] = outDims.map(plainAxis);
  for (const { inside, at, parts } of groups) {
    if (parts === undefined && isLabelled(inside)) return undefined;
    if (isFollowed(inside))
      at.forEach((axis, i) => (out[axis] = settleGrid(parts?.[i] ?? [{ dim: outDims[axis] as Dim }])));
  }
  return out;
};

export const reshape: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  const outDims = c.outDims(0);
  if (axes === undefined || outDims === undefined) return undefined;
  return followReshape(axes, outDims);
};

/** Where the factors of the input axes lie after a row-major reshape; undefined where a token axis is torn. */
export const followReshape = (axes: readonly Axis[], outDims: readonly Dim[]): [Axis[]] | undefined => {
  const laid = regroup(axes.flat(), outDims);
  return laid && [laid];
};

/** Broadcasting to a shape: a token axis may meet its own length or 1 there, nothing else. */
export const expand: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  const out = c.outDims(0);
  if (axes === undefined || out === undefined) return undefined;
  const asked = c.ints(1)?.values;
  return [
    out.map((dim, i) => {
      const at = i - (out.length - axes.length);
      const own = axes[at];
      if (own === undefined || (!isLabelled(own) && isOne(own[0]?.dim))) return plainAxis(dim);
      const size = asked?.[i - (out.length - asked.length)];
      if (isLabelled(own) && size !== undefined && !isOne(size) && !sameDim(size, axisDim(own)))
        c.say('conflict', 0, at, 'Expand names another number of tokens');
      return own;
    }),
  ];
};

/**
 * Tokens side by side. Learned tokens beside one lane join it, beside two lanes they are nobody's; runs of one lane
 * side by side (two pictures) are one run.
 */
const besides = (parts: readonly Axis[], learned: (part: number) => boolean): Axis | undefined => {
  const labelled = parts.map(tokensOf);
  if (parts.some((part, i) => labelled[i] === undefined && (part.length !== 1 || part[0]?.grid !== undefined)))
    return undefined;
  const runs = labelled.filter((t) => t !== undefined).flat();
  const host = runs.find((r) => r.weak !== true) ?? runs[0];
  // What depends on an input and is no known lane's may be anything: it keeps to itself.
  const joins = labelled.every((tokens, part) => tokens !== undefined || learned(part));
  if (joins && host !== undefined && runs.every((r) => r.lane === host.lane && r.version === ''))
    return tokensAxis([{ ...host, length: sumDims(parts.map(axisDim)) }]);
  const laid = parts.flatMap(
    (part, i): readonly Segment[] => labelled[i] ?? [{ lane: 'other', length: axisDim(part), version: '' }],
  );
  return tokensAxis(laid.reduce<readonly Segment[]>(joined, []));
};

const joined = (so: readonly Segment[], next: Segment): readonly Segment[] => {
  const last = so[so.length - 1];
  if (last === undefined || last.lane !== next.lane || last.version !== '' || next.version !== '') return [...so, next];
  const host = last.weak === true ? next : last;
  return [...so.slice(0, -1), { ...host, length: sumDims([last.length, next.length]) }];
};

/** What stands beside rows of the batch has a row for each. */
const besideRows = ([first, ...more]: readonly Axis[]): Axis | undefined => {
  if (first === undefined || hasRows(first)) return first;
  const rows = more.find(hasRows);
  return isRows(rows) ? rowsAxis(axisDim(first)) : (rows ?? first);
};

/** Two batches one after the other are a batch. */
const stacked = (parts: readonly Axis[]): Axis => {
  const whole = sumDims(parts.map(axisDim));
  return parts.every(isRows) ? rowsAxis(whole) : plainAxis(whole);
};

/** Axes beside the one concatenated along must agree token for token. */
const linesUp = (a: Axis, b: Axis): boolean => {
  const ta = tokensOf(a);
  const tb = tokensOf(b);
  if (ta === undefined || tb === undefined)
    return !isLabelled(a) || !isLabelled(b) ? !isShortened(a) && !isShortened(b) : false;
  return (
    ta.length === tb.length &&
    ta.every((s, k) => s.lane === tb[k]?.lane && s.version === tb[k].version && sameDim(s.length, tb[k].length))
  );
};

/** What values side by side make of an axis that they all have. */
const beside = (c: LaneContext, inputs: readonly number[], axis: number, parts: readonly Axis[]): Axis | undefined => {
  const [first, ...others] = parts.filter(isLabelled);
  if (first === undefined) return besideRows(parts);
  // Of tokens before and after a reduction the latter tell what the result should hold.
  const lead = others.reduce((so, next) => meet(so, next).axis, first);
  parts.forEach((part, i) => {
    if (!linesUp(lead, part)) c.say('conflict', inputs[i] ?? 0, axis, 'Concat lines up tokens that differ');
  });
  return lead;
};

/** The inputs that `which` names, one behind the other. */
export const concatOf =
  (which: (node: Node) => readonly number[]): LaneRule =>
  (c) => {
    const inputs = which(c.node);
    const operands = inputs.map((i) => axesOf(c, i));
    const rank = operands[0]?.length;
    if (rank === undefined || operands.some((o) => o?.length !== rank)) return undefined;
    const along = normalAxis(intOf(c.node, 'axis', 0), rank);
    const all = operands as readonly (readonly Axis[])[];
    const behind = inputsBehind(c.model);
    const learned = (part: number): boolean => behind(c.node.inputs[inputs[part] ?? -1] ?? '').size === 0;
    const result: Axis[] = [];
    for (let axis = 0; axis < rank; axis++) {
      const parts = all.map((o) => o[axis] as Axis);
      if (axis === along) {
        const laid = parts.some(isLabelled) ? besides(parts, learned) : stacked(parts);
        if (laid === undefined) return undefined;
        result.push(laid);
        continue;
      }
      const lead = beside(c, inputs, axis, parts);
      if (lead === undefined) return undefined;
      result.push(lead);
    }
    return [result];
  };

export const concat = concatOf((node) => node.inputs.map((_, i) => i));
