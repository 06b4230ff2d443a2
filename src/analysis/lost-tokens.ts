/**
 * Where the trace of a lane ends before any reduction: at which operator, on which axis, and why. What a refusal and
 * `inspect` tell when no layer joins the lanes. Only places that made something unlabelled out of tokens count.
 */
import type { Node } from '../graph/model.ts';
import { isLabelled, type Axis, type LaneName } from './labels.ts';
import type { Lanes } from './lanes.ts';

export interface LostTokens {
  readonly node: Node;
  /** Undefined where the axis holds more than one lane. */
  readonly lane: LaneName | undefined;
  readonly axis: number;
  readonly reason: string;
}

const laneOn = (axis: Axis | undefined): LaneName | undefined => {
  const found = new Set<LaneName>();
  for (const factor of axis ?? []) {
    if (factor.grid !== undefined) found.add('image');
    for (const segment of factor.tokens ?? []) found.add(segment.lane);
  }
  return found.size === 1 ? [...found][0] : undefined;
};

/** In graph order. */
export const lostTokens = (lanes: Lanes): readonly LostTokens[] =>
  lanes.events
    .filter(({ kind, node }) => kind === 'lost' && node.outputs.every((o) => !(lanes.of(o)?.some(isLabelled) ?? false)))
    .map(({ node, value, axis, reason }) => ({ node, axis, reason, lane: laneOn(lanes.of(value)?.[axis]) }));
