/**
 * The largest score of each query, taken over its keys: what the spellings of a softmax subtract so that no
 * exponential overflows. Says nothing of what is done with it.
 */
import type { PatternContext } from '../../src/analysis/attention.ts';
import { dimValue } from '../../src/analysis/dim.ts';
import type { Node, ValueName } from '../../src/graph/model.ts';
import { intOf, intsOf } from '../../src/graph/tensors.ts';
import { made } from './self-seeing-mask.ts';

const isLast = (c: PatternContext, node: Node, rank: number | undefined): boolean => {
  const listed = intsOf(node, 'axes');
  const given = c.size(node.inputs[1] ?? '');
  const axis = listed === undefined ? given && dimValue(given) : listed.length === 1 ? listed[0] : undefined;
  return rank !== undefined && (axis === -1 || axis === rank - 1);
};

/** A reduction over the last axis alone that keeps it. */
export const overKeys = (c: PatternContext, node: Node): boolean =>
  isLast(c, node, c.dims(node.inputs[0] ?? '')?.length) && intOf(node, 'keepdims', 1) === 1;

/** The ReduceMax whose result `value` is: over the keys of `scores`, with one entry left there. */
export const rowMaximum = (c: PatternContext, value: ValueName, scores: ValueName): Node | undefined => {
  const added = made(c, value, 'Unsqueeze');
  const max = made(c, added === undefined ? value : (added.inputs[0] ?? ''), 'ReduceMax');
  const rank = c.dims(scores)?.length;
  if (max === undefined || rank === undefined || c.number(max.inputs[0] ?? '') !== c.number(scores)) return undefined;
  if (added === undefined) return overKeys(c, max) ? max : undefined;
  return isLast(c, max, rank) && intOf(max, 'keepdims', 1) === 0 && isLast(c, added, rank) ? max : undefined;
};
