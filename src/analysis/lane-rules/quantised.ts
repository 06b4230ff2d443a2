/**
 * Quantisation and the operators that work on quantised tensors directly. Scales and zero points may be one for the
 * tensor or one per feature; along a token axis they would belong to tokens, and that is not followed.
 */
import { intOf } from '../../graph/tensors.ts';
import { isLabelled } from '../labels.ts';
import { axesOf, isOne, normalAxis, type LaneContext, type LaneRule } from './context.ts';
import { concatOf } from './layout.ts';
import { elementwiseOf } from './pointwise.ts';
import { productAxes } from './products.ts';

/** QuantizeLinear, DequantizeLinear: per tensor, along one axis, or (a scale of the input's rank) in blocks. */
export const quantise: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  const scale = c.dims(1);
  if (axes === undefined || scale === undefined) return undefined;
  const along = normalAxis(intOf(c.node, 'axis', 1), axes.length);
  const perTensor = scale.every(isOne);
  const perFeature = (axis: number): boolean => scale.length === 1 && axis !== along;
  axes.forEach((on, axis) => {
    if (isLabelled(on) && !perTensor && !perFeature(axis))
      c.say('lost', 0, axis, `${c.node.op} has a scale of its own for every token or block of tokens`);
  });
  return [axes];
};

/** DynamicQuantizeLinear: one scale and zero point for the whole tensor, found from all its tokens. */
export const quantiseDynamically: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  return axes && [axes, undefined, undefined];
};

/** A scale, zero point or bias for every row (or column) of a product must not be one for every token. */
const perToken = (c: LaneContext, input: number, operand: number, back: number, what: string): void => {
  const axes = c.labels(operand);
  const on = axes?.[axes.length - back];
  if ((c.node.inputs[input] ?? '') === '' || axes === undefined || on === undefined || !isLabelled(on)) return;
  if (c.dims(input)?.every(isOne) !== true)
    c.say('lost', operand, axes.length - back, `${c.node.op} has a ${what} of its own for every token`);
};

interface QuantisedProduct {
  readonly a: number;
  readonly b: number;
  /** Inputs with one entry for the tensor or one per row of a. */
  readonly perRow: readonly number[];
  /** Inputs with one entry for the tensor or one per column of b. */
  readonly perColumn: readonly number[];
}

const quantisedProduct =
  ({ a, b, perRow, perColumn }: QuantisedProduct): LaneRule =>
  (c) => {
    const axes = productAxes(c, { a, b });
    if (axes === undefined) return undefined;
    for (const input of perRow) perToken(c, input, a, 2, 'scale or zero point');
    for (const input of perColumn) perToken(c, input, b, 1, 'scale, zero point or bias');
    return [axes];
  };

export const matMulInteger = quantisedProduct({ a: 0, b: 1, perRow: [2], perColumn: [3] });
export const qLinearMatMul = quantisedProduct({ a: 0, b: 3, perRow: [1, 2], perColumn: [4, 5] });
export const matMulIntegerToFloat = quantisedProduct({ a: 0, b: 1, perRow: [2, 4], perColumn: [3, 5, 6] });
export const dynamicQuantizeMatMul = quantisedProduct({ a: 0, b: 1, perRow: [], perColumn: [2, 3, 4] });

/** com.microsoft QLinearAdd, QLinearMul: tensors in inputs 0 and 3, one scale and zero point each. */
export const quantisedElementwise: LaneRule = elementwiseOf([0, 3]);

/** com.microsoft QLinearConcat: scale, zero point, then triples of tensor, scale, zero point. */
export const quantisedConcat: LaneRule = concatOf((node) =>
  node.inputs.flatMap((_, i) => (i >= 2 && (i - 2) % 3 === 0 ? [i] : [])),
);
