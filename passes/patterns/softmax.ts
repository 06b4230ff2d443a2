/**
 * Attention written with a Softmax node, by any exporter:
 *
 *   scores -> [Add mask or bias | Where(condition, fill, scores)]* -> [scale] -> [less the largest] -> Softmax(last axis)
 *
 * in any order. Casts and quantisation may stand between any two, and heads may be folded into the batch. A second mask
 * is reported, not understood.
 */
import {
  climbToProduct,
  refolds,
  type AttentionMask,
  type AttentionPattern,
  type PatternContext,
} from '../../src/analysis/attention.ts';
import { isWrapper } from '../../src/analysis/number-types.ts';
import type { Node, ValueName } from '../../src/graph/model.ts';
import { intOf } from '../../src/graph/tensors.ts';
import { scaleOf, sortTerms, type AddedTerm } from './added-terms.ts';
import { rowMaximum } from './row-maximum.ts';

/** Nothing can be added to such scores but in their own steps. */
const integersAllTheWay = 'one of integers; the same model quantised to QDQ form can be read';

interface Peeled {
  readonly scores: ValueName;
  /** Outermost first. */
  readonly added: readonly AddedTerm[];
  readonly filled: readonly AttentionMask[];
  /** Nodes that look across keys. */
  readonly across: readonly Node[];
}

const scoresBelow = (c: PatternContext, value: ValueName, scaleBehind: number): Peeled | undefined => {
  const below = peel(c, value, scaleBehind);
  return below !== undefined && 'scores' in below ? below : undefined;
};

const additive = (c: PatternContext, node: Node, scaleBehind: number): Peeled | undefined => {
  for (const side of [0, 1]) {
    const below = scoresBelow(c, node.inputs[side] ?? '', scaleBehind);
    if (below === undefined) continue;
    const term = { value: node.inputs[1 - side] ?? '', entry: { node, input: 1 - side }, scaleBehind };
    return { ...below, added: [term, ...below.added] };
  }
  return undefined;
};

const where = (c: PatternContext, node: Node, scaleBehind: number): Peeled | undefined => {
  for (const side of [1, 2]) {
    const fill = c.constant(node.inputs[3 - side] ?? '');
    const below = fill?.length === 1 ? scoresBelow(c, node.inputs[side] ?? '', scaleBehind) : undefined;
    if (fill === undefined || below === undefined) continue;
    const mask: AttentionMask = {
      kind: 'where',
      value: node.inputs[0] ?? '',
      entry: { node, input: 0 },
      scaleBehind,
      paddedWhen: side === 2,
      fill: fill[0] as number,
    };
    return { ...below, filled: [mask, ...below.filled] };
  }
  return undefined;
};

const shifted = (c: PatternContext, node: Node, scaleBehind: number): Peeled | Node | undefined => {
  const [scores = '', shift = ''] = node.inputs;
  const max = rowMaximum(c, shift, scores);
  const below = max && peel(c, scores, scaleBehind);
  return max !== undefined && below !== undefined && 'scores' in below
    ? { ...below, across: [max, ...below.across] }
    : (below ?? node);
};

/** Takes off the scores what is added to them or filled in, looking through casts, scales and shifts. */
const peel = (c: PatternContext, value: ValueName, scaleBehind = 1): Peeled | Node | undefined => {
  if ('product' in climbToProduct(c, value)) return { scores: value, added: [], filled: [], across: [] };
  const node = c.producer(value);
  if (node === undefined) return undefined;
  if (node.op === 'Add') return additive(c, node, scaleBehind) ?? node;
  if (node.op === 'Where') return where(c, node, scaleBehind) ?? node;
  if (node.op === 'Sub') return shifted(c, node, scaleBehind);
  if (isWrapper(node) || refolds(c, node)) return peel(c, node.inputs[0] ?? '', scaleBehind);
  const scaled = scaleOf(c, node);
  return scaled === undefined ? node : peel(c, scaled.value, scaleBehind * scaled.factor);
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
    const { masks: added, biases } = sortTerms(c, peeled.added);
    const [mask, second] = [...peeled.filled, ...added.map((term): AttentionMask => ({ kind: 'additive', ...term }))];
    return {
      spelling: 'softmax',
      scores: peeled.scores,
      probabilities: node.outputs[0] ?? '',
      biasEntry: { node, input: 0 },
      ...(mask && { mask }),
      ...(second && { secondMask: second.value }),
      ...(biases.length > 0 && { biases }),
      owned: [node, ...peeled.across],
    };
  },
};
