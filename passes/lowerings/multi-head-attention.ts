/**
 * com.microsoft.MultiHeadAttention, for queries, keys and values projected elsewhere:
 *
 *   Y = softmax(scale (Q + bq) (K + bk)^T + mask + bias) (V + bv)     Q [B,S,D]  K [B,L,D]  V [B,L,E]  Y [B,S,E]
 *
 * Keys and values may come as [B,H,L,d], ready for the product and without a bias. Source: ONNX Runtime,
 * ContribOperators.md. Packed operands, past, causal masks and the scores as an output are left alone.
 */
import { constDim, mulDims, sameDim } from '../../src/analysis/dim.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { floatOf, intOf } from '../../src/graph/tensors.ts';
import { attend, mergeHeads, splitHeads } from './attention-core.ts';
import {
  declinable,
  decline,
  declineInputs,
  declineOutputs,
  dimsOf,
  fixedSize,
  floatType,
  scalar,
  type Lowering,
  type LoweringContext,
} from './lowering.ts';
import { paddingMask } from './padding-masks.ts';

/** Width of an operand over all heads, whichever way it is laid out. */
const widthOf = (c: LoweringContext, input: number, heads: number): number => {
  const dims = dimsOf(c, input);
  if (dims.length === 3) return fixedSize(dims[2], 'the width of an operand');
  if (dims.length === 4 && input > 0 && sameDim(dims[1] ?? constDim(0), constDim(heads)))
    return fixedSize(mulDims(dims[3] ?? constDim(0), constDim(heads)), 'the width of an operand');
  return decline('its operands are packed together');
};

export const multiHeadAttention: Lowering = {
  op: 'com.microsoft.MultiHeadAttention',
  streams: [0, 1, 2],
  mask: 4,
  lower: declinable((c) => {
    const { e, node } = c;
    const type = floatType(c, 0);
    if (intOf(node, 'unidirectional', 0) !== 0) decline('it is causal');
    if (c.input(1) === '' || c.input(2) === '') decline('its operands are packed together');
    declineInputs(c, [
      [6, 'keys of the past'],
      [7, 'values of the past'],
      [8, 'the length of a past'],
      [9, 'the order of beams'],
    ]);
    declineOutputs(c, [[3, 'its scores']]);
    const heads = intOf(node, 'num_heads', 0);
    const widths = [0, 1, 2].map((i) => widthOf(c, i, heads));
    const [, , width = 0] = widths;
    if (heads < 1 || widths.some((w) => w % heads !== 0)) decline('its heads do not divide its width');
    const biases = c.input(3) === '' ? [] : e.split(c.input(3), 0, widths);
    const [q, k, v] = [0, 1, 2].map((i) => {
      if (dimsOf(c, i).length === 4) return c.input(i);
      const own = biases[i] === undefined ? c.input(i) : e.op('Add', [c.input(i), biases[i]]);
      return splitHeads(e, own, heads, (widths[i] as number) / heads);
    }) as [ValueName, ValueName, ValueName];
    const scale = floatOf(node, 'scale', 0) || 1 / Math.sqrt((widths[0] as number) / heads);
    const batch = dimsOf(c, 0)[0] ?? decline('its queries have no batch axis');
    const filter = floatOf(node, 'mask_filter_value', -10_000);
    const added = c.input(4) === '' ? [] : [paddingMask(c, 4, batch, e.length(k, 2), type, filter)];
    if (c.input(5) !== '') added.push(c.input(5));
    const types = { own: type, softmax: DataType.FLOAT };
    const { context } = attend(e, q, k, v, scalar(c, type, scale), added, types);
    return [mergeHeads(e, context, width), k, v];
  }),
};
