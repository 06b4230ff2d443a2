/**
 * Operators that work on each element, or on each token's own features: they keep one row per token. Elementwise
 * ones check that their operands agree about the tokens on every axis.
 */
import { opsetOf } from '../../graph/model.ts';
import { intOf, intsOf } from '../../graph/tensors.ts';
import { constDim } from '../dim.ts';
import { axisDim, plainAxis, isLabelled, meet, type Axis } from '../labels.ts';
import { axesOf, isOne, normalAxis, type LaneContext, type LaneRule } from './context.ts';

/** The given inputs (all of them unless told otherwise) are operands, NumPy broadcasting. */
export const elementwiseOf =
  (inputs?: readonly number[]): LaneRule =>
  (c) => {
    const isOperand = (i: number): boolean => c.node.inputs[i] !== '' && (inputs?.includes(i) ?? true);
    const operands = c.node.inputs.map((_, i) => (isOperand(i) ? axesOf(c, i) : undefined));
    const out = c.outDims(0);
    const rank = out?.length ?? Math.max(...operands.map((o) => o?.length ?? 0));
    if (c.node.inputs.some((_, i) => isOperand(i) && operands[i] === undefined)) return undefined;
    const result: Axis[] = [];
    for (let axis = 0; axis < rank; axis++) {
      let met: Axis | undefined;
      let one: Axis | undefined;
      operands.forEach((operand, i) => {
        const own = operand === undefined ? undefined : operand[axis - (rank - operand.length)];
        if (own === undefined) return;
        if (!isLabelled(own) && isOne(axisDim(own))) {
          one ??= own;
          return;
        }
        if (met === undefined) {
          met = own;
          return;
        }
        const meeting = meet(met, own);
        if (meeting.fault !== undefined)
          c.say('conflict', i, axis - (rank - (operand as readonly Axis[]).length), meeting.fault);
        met = meeting.axis;
      });
      const dim = out?.[axis];
      result.push(met ?? one ?? plainAxis(dim as NonNullable<typeof dim>));
    }
    return [result];
  };

export const elementwise = elementwiseOf();

/** One operand carries the tokens, the others are per-feature or scalar parameters. */
export const unary: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  return axes && c.node.outputs.map(() => axes);
};

/** Says that an operator works across the tokens on an axis. */
export const mixesTokens = (c: LaneContext, input: number, axis: number, axes: readonly Axis[], what: string): void => {
  const on = axes[axis];
  if (on !== undefined && isLabelled(on)) c.say('mixes', input, axis, what);
};

/** Normalisation over the last axes, from attribute `axis` on; LpNormalization over that axis alone. */
export const normalisation: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  if (axes === undefined) return undefined;
  const from = normalAxis(intOf(c.node, 'axis', -1), axes.length);
  const alone = c.node.op === 'LpNormalization';
  axes.forEach((_, axis) => {
    if (alone ? axis === from : axis >= from) mixesTokens(c, 0, axis, axes, `${c.node.op} normalises over the tokens`);
  });
  // Runtimes broadcast scale and bias: of more than the normalised axes they could have a row for each token.
  c.node.inputs.forEach((name, input) => {
    const own = name === '' || input === 0 ? [] : axesOf(c, input);
    own?.forEach((on, i) => {
      const axis = axes.length - own.length + i;
      const here = axes[axis];
      if (axis >= from || here === undefined || !isLabelled(here) || (!isLabelled(on) && isOne(axisDim(on)))) return;
      const { fault } = meet(here, on);
      if (fault !== undefined) c.say('conflict', input, i, fault);
    });
  });
  return [axes, ...c.node.outputs.slice(1).map(() => axes.map((a, i) => (i >= from ? plainOne : a)))];
};

/** Over the axes listed, by default all but the channels, each channel by itself. */
export const meanVariance: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  if (axes === undefined) return undefined;
  for (const given of intsOf(c.node, 'axes') ?? [0, 2, 3])
    mixesTokens(c, 0, normalAxis(given, axes.length), axes, `${c.node.op} normalises over the tokens`);
  return [axes];
};

/** A reduced axis: size 1, no tokens. */
export const plainOne: Axis = [{ dim: constDim(1) }];

/** Softmax over one axis (before opset 13: over that axis and all behind it): right in attention, where the pattern owns it. */
export const softmax: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  if (axes === undefined) return undefined;
  const flattens = opsetOf(c.model) < 13;
  const from = normalAxis(intOf(c.node, 'axis', flattens ? 1 : -1), axes.length);
  axes.forEach((_, axis) => {
    if (axis === from || (flattens && axis > from))
      mixesTokens(c, 0, axis, axes, `${c.node.op} over the tokens outside a recognised attention`);
  });
  return [axes];
};
