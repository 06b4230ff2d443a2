/**
 * Attention written with a Softmax node, by any exporter:
 *
 *   scores -> [Add mask | Where(condition, fill, scores)] -> [Cast] -> Softmax(last axis) -> [Cast]
 *
 * The mask may stand on either side of the scale. Two masks on one softmax are a near miss.
 */
import { climbToProduct, type AttentionMask, type AttentionPattern, type PatternContext } from '../../src/analysis/attention.ts';
import type { Node, ValueName } from '../../src/graph/model.ts';
import { intOf } from '../../src/graph/tensors.ts';

interface Peeled {
  readonly scores: ValueName;
  readonly mask?: AttentionMask;
}

const additive = (c: PatternContext, node: Node): Peeled | undefined => {
  for (const side of [0, 1]) {
    const scores = node.inputs[side] ?? '';
    if (!('product' in climbToProduct(c, scores))) continue;
    return { scores, mask: { kind: 'additive', value: node.inputs[1 - side] ?? '', entries: [{ node, input: 1 - side }] } };
  }
  return undefined;
};

const where = (c: PatternContext, node: Node): Peeled | undefined => {
  for (const side of [1, 2]) {
    const scores = node.inputs[side] ?? '';
    const fill = c.constant(node.inputs[3 - side] ?? '');
    if (fill?.length !== 1 || !('product' in climbToProduct(c, scores))) continue;
    return {
      scores,
      mask: { kind: 'where', value: node.inputs[0] ?? '', entries: [{ node, input: 0 }], paddedWhen: side === 2, fill: fill[0] as number },
    };
  }
  return undefined;
};

/** Takes one mask off the scores, looking through casts and a scale behind the mask. */
const peel = (c: PatternContext, value: ValueName): Peeled | Node | undefined => {
  if ('product' in climbToProduct(c, value)) return { scores: value };
  const node = c.producer(value);
  if (node === undefined) return undefined;
  if (node.op === 'Add') return additive(c, node) ?? node;
  if (node.op === 'Where') return where(c, node) ?? node;
  if (node.op === 'Cast' || node.op === 'Identity') return peel(c, node.inputs[0] ?? '');
  return node;
};

export const softmaxPattern: AttentionPattern = {
  name: 'softmax',
  match: (c, node) => {
    if (node.op !== 'Softmax' || node.domain !== '') return undefined;
    const rank = c.rank(node.inputs[0] ?? '');
    const axis = intOf(node, 'axis', c.opset < 13 ? 1 : -1);
    if (axis !== -1 && axis !== (rank ?? 0) - 1)
      return { spelling: 'softmax', at: node, expected: 'Softmax over the last axis', found: `axis ${axis}` };
    const entry = node.inputs[0] ?? '';
    const peeled = peel(c, entry);
    if (peeled === undefined || !('scores' in peeled))
      return { spelling: 'softmax', at: peeled ?? node, expected: 'scores, perhaps with one mask added or filled in', found: peeled?.op ?? 'a graph input' };
    return {
      spelling: 'softmax',
      scores: peeled.scores,
      probabilities: node.outputs[0] ?? '',
      biasEntry: { node, input: 0 },
      ...(peeled.mask && { mask: peeled.mask }),
      owned: [node],
    };
  },
};
