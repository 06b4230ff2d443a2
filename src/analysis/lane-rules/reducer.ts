/**
 * Our own operator, ai.pumer::TokenReduce: its outputs carry the lane it was given, under a new version.
 */
import { tokensAxis, tokensOf } from '../labels.ts';
import { axesOf, type LaneRule } from './context.ts';

/** Outputs: tokens [B, k, D], weight [B, k], target [B, n] (still one entry per token that went in), position [B, k]. */
export const tokenReduce: LaneRule = (c) => {
  const tokens = axesOf(c, 0);
  const on = tokensOf(tokens?.[1]);
  const out = c.outDims(0);
  const [segment] = on ?? [];
  if (tokens === undefined || out === undefined || on?.length !== 1 || segment === undefined) return undefined;
  const shortened = tokensAxis([
    { lane: segment.lane, length: out[1] as NonNullable<(typeof out)[number]>, version: c.node.outputs[0] ?? '' },
  ]);
  const [batch, whole, width] = tokens as [(typeof tokens)[number], (typeof tokens)[number], (typeof tokens)[number]];
  return [
    [batch, shortened, width],
    [batch, shortened],
    [batch, whole],
    [batch, shortened],
  ];
};
