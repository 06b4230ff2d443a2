/**
 * com.microsoft.Attention, which projects its input itself, with one packed matrix:
 *
 *   [Q K V] = X W + b      Y = softmax(scale Q K^T + mask + bias) V      X [B,S,C]  W [C,D+D+E]  Y [B,S,E]
 *
 * Source: ONNX Runtime, ContribOperators.md. The weights stay packed: one product, split when it runs. Past, causal
 * and rotary variants are left alone.
 */
import { DataType } from '../../src/graph/model.ts';
import { floatOf, intOf, intsOf } from '../../src/graph/tensors.ts';
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

/** Widths of queries, keys and values in the packed matrix. */
const widths = (c: LoweringContext): readonly [number, number, number] => {
  const said = intsOf(c.node, 'qkv_hidden_sizes');
  if (said?.length === 3) return said as unknown as [number, number, number];
  const third = fixedSize(dimsOf(c, 1)[1], 'the width of its weights') / 3;
  return [third, third, third];
};

/** Everything behind the projection; `projected` is [B, S, D + D + E]. */
export const attendPacked = (
  c: LoweringContext,
  projected: string,
  inputs: { readonly mask: number; readonly bias?: number },
  type: DataType,
): string => {
  const { e, node } = c;
  if (intOf(node, 'unidirectional', 0) !== 0) decline('it is causal');
  if (intOf(node, 'do_rotary', 0) !== 0) decline('it turns queries and keys by their position');
  const heads = intOf(node, 'num_heads', 0);
  const sizes = widths(c);
  if (heads < 1 || sizes.some((w) => !Number.isInteger(w / heads))) decline('its heads do not divide its width');
  const [q, k, v] = e
    .split(projected, 2, sizes)
    .map((part, i) => splitHeads(e, part, heads, (sizes[i] as number) / heads)) as [string, string, string];
  const scale = floatOf(node, 'scale', 0) || 1 / Math.sqrt(sizes[0] / heads);
  const batch = dimsOf(c, 0)[0] ?? decline('its input has no batch axis');
  const filter = floatOf(node, 'mask_filter_value', -10_000);
  const added =
    c.input(inputs.mask) === '' ? [] : [paddingMask(c, inputs.mask, batch, e.length(projected, 1), type, filter)];
  if (inputs.bias !== undefined && c.input(inputs.bias) !== '') added.push(c.input(inputs.bias));
  const types = { own: type, softmax: DataType.FLOAT };
  const { context } = attend(e, q, k, v, scalar(c, type, scale), added, types);
  return mergeHeads(e, context, sizes[2]);
};

export const packedAttention: Lowering = {
  op: 'com.microsoft.Attention',
  streams: [0],
  mask: 3,
  lower: declinable((c) => {
    const { e } = c;
    const type = floatType(c, 0);
    declineInputs(c, [
      [4, 'keys and values of the past'],
      [6, 'the length of a past'],
    ]);
    declineOutputs(c, [[1, 'its keys and values']]);
    const product = e.op('MatMul', [c.input(0), c.input(1)]);
    const projected = c.input(2) === '' ? product : e.op('Add', [product, c.input(2)]);
    return [attendPacked(c, projected, { mask: 3, bias: 5 }, type)];
  }),
};
