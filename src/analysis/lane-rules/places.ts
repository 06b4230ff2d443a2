/**
 * Operators that put something at a place beside the tokens, or write at places: copies, margins, scatters. Along a
 * token axis they are refused, beside it they keep one row per token.
 */
import { intOf, intsOf } from '../../graph/tensors.ts';
import { dimValue } from '../dim.ts';
import { isLabelled, meet, plainAxis, type Axis } from '../labels.ts';
import { axesOf, normalAxis, type LaneContext, type LaneRule } from './context.ts';

const untouched = (c: LaneContext, touches: (axis: number) => boolean | undefined, what: string): LaneResult => {
  const axes = axesOf(c, 0);
  const out = c.outDims(0);
  if (axes === undefined || out?.length !== axes.length) return undefined;
  return [
    axes.map((on, axis) => {
      if (touches(axis) === false) return on;
      if (isLabelled(on)) c.say('lost', 0, axis, `${c.node.op} ${what}`);
      return plainAxis(out[axis] as NonNullable<(typeof out)[number]>);
    }),
  ];
};
type LaneResult = ReturnType<LaneRule>;

const numbers = (c: LaneContext, input: number): readonly (number | undefined)[] | undefined =>
  c.ints(input)?.values.map(dimValue);

export const tile: LaneRule = (c) => {
  const repeats = numbers(c, 1);
  return untouched(c, (axis) => repeats?.[axis] !== 1, 'repeats the tokens');
};

export const pad: LaneRule = (c) => {
  const rank = c.dims(0)?.length ?? 0;
  const pads = intsOf(c.node, 'pads') ?? numbers(c, 1);
  const given = c.node.inputs[3] ? numbers(c, 3) : Array.from({ length: rank }, (_, i) => i);
  const at = given?.map((a) => (a === undefined ? undefined : normalAxis(a, rank)));
  return untouched(
    c,
    (axis) => {
      if (at === undefined || at.includes(undefined) || pads?.length !== 2 * at.length) return undefined;
      const place = at.indexOf(axis);
      return place >= 0 && !(pads[place] === 0 && pads[place + at.length] === 0);
    },
    'adds entries beside the tokens, or takes some away',
  );
};

/** One axis more, of which only the entry the element names is on: as many rows as there were. */
export const oneHot: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  const out = c.outDims(0);
  if (axes === undefined || out?.length !== axes.length + 1) return undefined;
  const at = normalAxis(intOf(c.node, 'axis', -1), out.length);
  return [[...axes.slice(0, at), plainAxis(out[at] as NonNullable<(typeof out)[number]>), ...axes.slice(at)]];
};

/** ScatterElements: element [.., i, ..] of the updates goes to its own row beside the axis, to any row along it. */
export const scatterElements: LaneRule = (c) => {
  const operands = [0, 1, 2].map((input) => axesOf(c, input));
  const [data, index, updates] = operands;
  if (data === undefined || index === undefined || updates === undefined) return undefined;
  const along = normalAxis(intOf(c.node, 'axis', 0), data.length);
  return [
    data.map((on, axis) => {
      const others = [index[axis], updates[axis]] as [Axis, Axis];
      if (axis === along) {
        [on, ...others].forEach((own, input) => {
          if (isLabelled(own)) c.say('lost', input, axis, `${c.node.op} writes tokens by position`);
        });
        return on;
      }
      return others.reduce((so, own, i) => {
        const { axis: met, fault } = meet(so, own);
        // An index with fewer rows leaves the rest as it is: it does not come from all tokens.
        if (fault !== undefined) c.say('conflict', i + 1, axis, `${c.node.op} ${fault}`);
        return met;
      }, on);
    }),
  ];
};
