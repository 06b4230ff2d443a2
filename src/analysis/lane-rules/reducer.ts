/**
 * Our own operators: the outputs of ai.pumer::TokenReduce and ai.pumer::TokenReduceQK carry the lane they were given,
 * under a new version; the output of ai.pumer::TokenMap carries the version of the reduction that it follows.
 */
import type { Node } from '../../graph/model.ts';
import { usesOf } from '../../graph/uses.ts';
import { inputsBehind } from '../dependencies.ts';
import { sameDim, type Dim } from '../dim.ts';
import { isLabelled, nextVersion, tokensAxis, tokensOf, type Axis, type Segment } from '../labels.ts';
import { axesOf, type LaneContext, type LaneRule } from './context.ts';

/** Both end in weight, protected, keep, merge; where the text's looks come from stands in front. */
const weightAt = (reduction: Node): number => reduction.inputs.length - 4;

const reductions = new Set(['TokenReduce', 'TokenReduceQK']);

/** Outputs: tokens [B, k, D], weight [B, k], target [B, n] (still one entry per token that went in), position [B, k]. */
export const tokenReduce: LaneRule = (c) => {
  const tokens = axesOf(c, 0);
  const on = tokensOf(tokens?.[1]);
  const out = c.outDims(0);
  const [segment] = on ?? [];
  if (tokens === undefined || out === undefined || on?.length !== 1 || segment === undefined) return undefined;
  // Tokens and their weights must have been through the same reductions.
  if (segment.version !== (tokensOf(c.labels(weightAt(c.node))?.[1])?.[0]?.version ?? '')) return undefined;
  const shortened = tokensAxis([
    { ...nextVersion(segment, c.node.outputs[0] ?? ''), length: out[1] as NonNullable<(typeof out)[number]> },
  ]);
  const [batch, whole, width] = tokens as [(typeof tokens)[number], (typeof tokens)[number], (typeof tokens)[number]];
  return [
    [batch, shortened, width],
    [batch, shortened],
    [batch, whole],
    [batch, shortened],
  ];
};

/** True where input 0 has one row for each of the tokens `whole`, as they were when the reduction was made. */
const isOn = (c: LaneContext, axis: Axis, whole: Segment): boolean => {
  const [own, ...others] = tokensOf(axis) ?? [];
  if (own !== undefined)
    return (
      others.length === 0 &&
      own.version === whole.version &&
      (own.lane === whole.lane || own.weak === true || own.lane === 'other') &&
      sameDim(own.length, whole.length)
    );
  // A table with one row per place (positions added again at every layer) belongs to no lane; data must be traced.
  const fixed = inputsBehind(c.model)(c.node.inputs[0] ?? '').size === 0;
  return fixed && !isLabelled(axis) && axis.length === 1 && sameDim((axis[0] as { dim: Dim }).dim, whole.length);
};

/**
 * Inputs: tokens [B, n, D], weight, target and position of one reduction. Undefined, and so refused, unless the tokens
 * are those the reduction was made on.
 */
export const tokenMap: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  const [, weight = '', target = '', position = ''] = c.node.inputs;
  const reduction = usesOf(c.model.graph).producer(target);
  const ofOne =
    reduction?.domain === c.node.domain &&
    reductions.has(reduction.op) &&
    reduction.inputs[weightAt(reduction)] === weight &&
    reduction.outputs[2] === target &&
    reduction.outputs[3] === position;
  const [whole] = tokensOf(c.labels(2)?.[1]) ?? [];
  const shortened = c.labels(3)?.[1];
  const [rows, batch] = [c.dims(0)?.[0], c.dims(1)?.[0]];
  if (!ofOne || whole === undefined || shortened === undefined || axes?.length !== 3) return undefined;
  if (rows === undefined || batch === undefined || !sameDim(rows, batch)) return undefined;
  if (isLabelled(axes[0] as Axis) || isLabelled(axes[2] as Axis) || !isOn(c, axes[1] as Axis, whole)) return undefined;
  return [[axes[0] as Axis, shortened, axes[2] as Axis]];
};
