/**
 * ai.onnx Attention (opset 23 and 24):
 *
 *   Y = softmax((sqrt(s) Q) (sqrt(s) K)^T + mask) V       Q [B,H,S,d] or [B,S,H d], K and V with H or fewer heads
 *
 * where fewer heads are repeated in place (K0 K0 K1 K1). A mask of truth values hides keys where it is false; one of
 * numbers is added; a count of keys [B] hides those behind it. Source: the ONNX specification of Attention. Causal
 * masks, past, softcap and the scores as an output, probabilities apart, are left alone.
 */
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { floatOf, intOf } from '../../src/graph/tensors.ts';
import { attend, mergeHeads, splitHeads } from './attention-core.ts';
import {
  declinable,
  decline,
  declineInputs,
  dimsOf,
  fixedSize,
  floatType,
  scalar,
  type Lowering,
  type LoweringContext,
} from './lowering.ts';
import { below } from './padding-masks.ts';

interface Operand {
  readonly value: ValueName;
  readonly heads: number;
  readonly size: number;
}

const operand = (c: LoweringContext, input: number): Operand => {
  const dims = dimsOf(c, input);
  if (dims.length === 4)
    return {
      value: c.input(input),
      heads: fixedSize(dims[1], 'its number of heads'),
      size: fixedSize(dims[3], 'its head size'),
    };
  const heads = intOf(c.node, input === 0 ? 'q_num_heads' : 'kv_num_heads', 0);
  const size = fixedSize(dims[2], 'the width of an operand') / heads;
  if (dims.length !== 3 || !Number.isInteger(size)) return decline('its heads do not divide its width');
  return { value: splitHeads(c.e, c.input(input), heads, size), heads, size };
};

/** [B, G, L, d] to [B, H, L, d], every head `times` times in a row. */
const repeated = ({ e }: LoweringContext, { value, heads, size }: Operand, times: number): ValueName => {
  if (times === 1) return value;
  if (!Number.isInteger(times)) return decline('its heads do not divide its width');
  const wide = e.op('Expand', [e.unsqueeze(value, [2]), e.int64s([1, 1, times, 1, 1])]);
  return e.op('Reshape', [wide, e.int64s([0, heads * times, -1, size])]);
};

const maskOf = (c: LoweringContext, type: DataType): readonly ValueName[] => {
  const mask = c.input(3);
  if (mask === '') return [];
  if (c.type(3) === type) return [mask];
  if (c.type(3) !== DataType.BOOL) return decline('its mask has another type than its operands');
  return [c.e.op('Where', [mask, scalar(c, type, 0), scalar(c, type, -Infinity)])];
};

/** Opset 24: how many keys of each row count. */
const countMask = (c: LoweringContext, k: ValueName, type: DataType): readonly ValueName[] => {
  if (c.input(6) === '') return [];
  const seen = c.e.unsqueeze(below(c, c.input(6), c.e.length(k, 2)), [1, 2]);
  return [c.e.op('Where', [seen, scalar(c, type, 0), scalar(c, type, -Infinity)])];
};

export const standardAttention: Lowering = {
  op: 'Attention',
  streams: [0, 1, 2],
  mask: 6,
  lower: declinable((c) => {
    const { e, node } = c;
    const type = floatType(c, 0);
    if (intOf(node, 'is_causal', 0) !== 0) decline('it is causal');
    if (floatOf(node, 'softcap', 0) !== 0) decline('it caps its scores');
    declineInputs(c, [
      [4, 'keys of the past'],
      [5, 'values of the past'],
    ]);
    const asked = c.gives(3) ? intOf(node, 'qk_matmul_output_mode', 0) : 3;
    if (asked !== 3) decline('it gives its scores');
    const [q, k, v] = [0, 1, 2].map((i) => operand(c, i)) as [Operand, Operand, Operand];
    const root = scalar(c, type, Math.sqrt(floatOf(node, 'scale', 0) || 1 / Math.sqrt(q.size)));
    const query = e.op('Mul', [q.value, root]);
    const key = e.op('Mul', [repeated(c, k, q.heads / k.heads), root]);
    const added = [...maskOf(c, type), ...countMask(c, k.value, type)];
    const softmax = intOf(node, 'softmax_precision', type);
    if (![type, DataType.FLOAT, DataType.DOUBLE].includes(softmax))
      decline('its softmax is less precise than its operands');
    const value = repeated(c, v, q.heads / v.heads);
    const { context, probabilities } = attend(e, query, key, value, undefined, added, {
      own: type,
      softmax,
      // Queries that see no key: 0 in ONNX Runtime.
      ...(added.length > 0 && { hiddenRows: scalar(c, type, 0) }),
    });
    const y = dimsOf(c, 0).length === 3 ? mergeHeads(e, context, q.heads * v.size) : context;
    return [y, k.value, v.value, probabilities];
  }),
};
