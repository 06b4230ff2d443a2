/**
 * Proves that what is added to an attention's scores is a position bias: a number of ordinary size for each pair of a
 * query and a key (or for each key), which stays true of the two tokens when others leave. Aligned with the scores entry
 * by entry, it needs no labels of its own; numbers that hide keys are masks, which no bias may be (semantics.md).
 */
import type { Model } from '../graph/model.ts';
import type { AddedBias, Attention } from './attention.ts';
import { dimText, dimValue, sameDim, type Dim } from './dim.ts';
import { isStandard } from './layout.ts';
import { shapesOf } from './shapes.ts';
import { boundsOf } from './value-bounds.ts';

/** exp(-100) is nothing: entries further apart than this decide who sees whom. */
export const largestSpan = 100;

const isOne = (dim: Dim | undefined): boolean => dim === undefined || dimValue(dim) === 1;

const faultOf = (model: Model, attention: Attention, bias: AddedBias): string | undefined => {
  const what = `what is added to its scores, "${bias.value}"`;
  const dims = shapesOf(model).of(bias.value)?.dims;
  const scores = shapesOf(model).of(attention.product.outputs[0] ?? '')?.dims;
  if (dims === undefined || scores === undefined) return `the shape of ${what}, is unknown`;
  const met = shapesOf(model).of(bias.entry.node.outputs[0] ?? '')?.dims;
  const asScores = met?.length === scores.length && met.every((dim, i) => sameDim(dim, scores[i] as Dim));
  // Rows and columns are gathered row of the batch by row: any other axis taken for it would be a wrong model.
  if (attention.layout === undefined || !isStandard(attention.layout) || !asScores)
    return `${what}, meets scores that are not proven to be [batch, heads, queries, keys]`;
  if (scores.length !== 4 || dims.length > 4) return `${what}, is no [batch, heads, queries, keys] bias`;
  const [batch, heads, queries, keys] = scores as [Dim, Dim, Dim, Dim];
  const own = (back: number): Dim | undefined => dims[dims.length - back];
  const fits = (dim: Dim | undefined, whole: Dim): boolean => isOne(dim) || sameDim(dim as Dim, whole);
  const key = own(1);
  if (key === undefined || !sameDim(key, keys))
    return `${what}, is not proven to have one entry for each key: [${dims.map(dimText).join(', ')}]`;
  if (!fits(own(2), queries) || !fits(own(3), heads) || !fits(own(4), batch))
    return `${what}, is not proven to have one row for each query: [${dims.map(dimText).join(', ')}]`;
  if (own(3) !== undefined && dimValue(own(3) as Dim) === undefined) return `the number of heads of ${what}, is open`;
  const bounds = boundsOf(model)(bias.value);
  if (bounds === undefined)
    return `${what}, is not proven to be a padding mask, nor a position bias: its numbers may be of any size`;
  const span = (bounds.high - bounds.low) * bias.scale * bias.scaleBehind;
  if (!(span < largestSpan))
    return `${what}, is no padding mask, and no position bias either: its numbers go from ${bounds.low} to ${bounds.high} and may hide keys`;
  return undefined;
};

/** Why one of the biases is not understood; undefined where all are, or there is none. */
export const biasFaultOf = (model: Model, attention: Attention): string | undefined => {
  for (const bias of attention.biases ?? []) {
    const fault = faultOf(model, attention, bias);
    if (fault !== undefined) return fault;
  }
  return undefined;
};
