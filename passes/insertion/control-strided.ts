/**
 * Strided pruning: of the tokens that may go, evenly spaced ones stay, the first among them. In `safe` PAD goes first.
 */
import { evenlyKept, scoresOf, type ControlLane, type Controlled } from './control-lane.ts';

export const strided = (lane: ControlLane): Controlled => {
  const { e } = lane;
  const keep = e.op('Sub', [lane.keep, lane.merge]);
  return { scores: scoresOf(lane, evenlyKept(lane, keep)), keep, merge: e.int64s([0]) };
};
