/**
 * Attention written with a Softmax node, by any exporter:
 *
 *   scores -> [Add mask | Where(condition, fill, scores)] -> Softmax(last axis)
 *
 * Casts and quantisation may stand between any two.  * Masks may stand on either side of the scale. A second one is reported, not understood.
 */
import {
  climbToProduct,
  type AttentionMask,
  type AttentionPattern,
  type PatternContext,
} from '../../src/analysis/attention.ts';
import { isWrapper } from '../../src/analysis/number-types.ts';
import type { Node, ValueName } from '../../src/graph/model.ts';
import { intOf } from '../../src/graph/tensors.ts';

/** Nothing can be added to such scores but in their own steps. */
const integersAllTheWay = 'one of integers; the same model quantised to QDQ form can be read';

interface Peeled {
  readonly scores: ValueName;
  /** Outermost first. */
  readonly masks: readonly AttentionMask[];
}

const scoresBelow = (c: PatternContext, value: ValueName): Peeled | undefined => {
  const below = peel(c, value);
  return below !== undefined && 'scores' in below ? below : undefined;
};

const additive = (c: PatternContext, node: Node): Peeled | undefined => {
  for (const side of [0, 1]) {
    const below = scoresBelow(c, node.inputs[side] ?? '');
    if (below === undefined) continue;
    const mask: AttentionMask = {
      kind: 'additive',
      value: node.inputs[1 - side] ?? '',
      entry: { node, input: 1 - side },
    };
    return { scores: below.scores, masks: [mask, ...below.masks] };
  }
  return undefined;
};

const where = (c: PatternContext, node: Node): Peeled | undefined => {
  for (const side of [1, 2]) {
    const fill = c.constant(node.inputs[3 - side] ?? '');
    const below = fill?.length === 1 ? scoresBelow(c, node.inputs[side] ?? '') : undefined;
    if (fill === undefined || below === undefined) continue;
    const mask: AttentionMask = {
      kind: 'where',
      value: node.inputs[0] ?? '',
      entry: { node, input: 0 },
      paddedWhen: side === 2,
      fill: fill[0] as number,
    };
    return { scores: below.scores, masks: [mask, ...below.masks] };
  }
  return undefined;
};

/** Takes masks off the scores, looking through casts and scales. */
const peel = (c: PatternContext, value: ValueName): Peeled | Node | undefined => {
  if ('product' in climbToProduct(c, value)) return { scores: value, masks: [] };
  const node = c.producer(value);
  if (node === undefined) return undefined;
  if (node.op === 'Add') return additive(c, node) ?? node;
  if (node.op === 'Where') return where(c, node) ?? node;
  if (isWrapper(node)) return peel(c, node.inputs[0] ?? '');
  return node;
};

export const softmaxPattern: AttentionPattern = {
  name: 'softmax',
  match: (c, node) => {
    if (node.op === 'QLinearSoftmax')
      return { spelling: 'softmax', at: node, expected: 'a Softmax of float scores', found: integersAllTheWay };
    if (node.op !== 'Softmax' || node.domain !== '') return undefined;
    const rank = c.dims(node.inputs[0] ?? '')?.length;
    const axis = intOf(node, 'axis', c.opset < 13 ? 1 : -1);
    if (axis !== -1 && axis !== (rank ?? 0) - 1)
      return { spelling: 'softmax', at: node, expected: 'Softmax over the last axis', found: `axis ${axis}` };
    const entry = node.inputs[0] ?? '';
    const peeled = peel(c, entry);
    if (peeled === undefined || !('scores' in peeled))
      return {
        spelling: 'softmax',
        at: peeled ?? node,
        expected: 'scores, perhaps with a mask added or filled in',
        found: peeled?.op ?? 'a graph input',
      };
    const [mask, second] = peeled.masks;
    return {
      spelling: 'softmax',
      scores: peeled.scores,
      probabilities: node.outputs[0] ?? '',
      biasEntry: { node, input: 0 },
      ...(mask && { mask }),
      ...(second && { secondMask: second.value }),
      owned: [node],
    };
  },
};
