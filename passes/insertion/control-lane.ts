/**
 * What the controls have in common: the tokens of a lane that may go, counted one after another, and an even choice
 * among them. Positions and counts only; which control wants what is in its own file.
 */
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { intAttr } from '../../src/graph/tensors.ts';
import type { Semantics } from '../../src/reduction/plan.ts';

/** A lane in front of its TokenReduce. Counts and lengths are int64 [1]. */
export interface ControlLane {
  /** Writes nodes that are vouched for. */
  readonly e: Emitter;
  readonly semantics: Semantics;
  readonly layer: number;
  /** float32 [B, n]. */
  readonly weight: ValueName;
  readonly length: ValueName;
  readonly keep: ValueName;
  readonly merge: ValueName;
  /** Protected tokens at both ends; none in `pumer`. */
  readonly start: number;
  readonly end: number;
}

/** What a control puts in place of a call's own inputs; metric and counts only where it wants others. */
export interface Controlled {
  /** float32 [B, n]: the larger, the sooner kept. */
  readonly scores: ValueName;
  readonly metric?: ValueName;
  readonly keep?: ValueName;
  readonly merge?: ValueName;
}

export const asInts = (e: Emitter, flags: ValueName): ValueName => e.cast(flags, DataType.INT64);

/** int64 [n]: 0, 1, 2, ... */
export const positionsOf = ({ e, length }: ControlLane): ValueName =>
  e.op('Range', [e.int64(0), e.squeeze(length, [0]), e.int64(1)]);

/** Running count along the lane of int64 zeros and ones [B, n], each token counted itself. */
export const countedUp = (e: Emitter, ones: ValueName): ValueName => e.op('CumSum', [ones, e.int64(1)]);

/** The larger of int64 values; integer Max exists from opset 12 on. */
export const atLeast = (e: Emitter, a: ValueName, b: ValueName): ValueName =>
  e.op('Where', [e.op('Less', [a, b]), b, a]);
export const atMost = (e: Emitter, a: ValueName, b: ValueName): ValueName =>
  e.op('Where', [e.op('Less', [b, a]), b, a]);

/** Tokens that may go, bool [B, n]: those with something to lose first (`real`), in `safe` PAD besides. */
export const mayGo = (lane: ControlLane): { real: ValueName; pad: ValueName } => {
  const { e, weight, length, start, end } = lane;
  const positions = positionsOf(lane);
  const isInside = e.op('And', [
    e.op('Less', [e.int64s([start - 1]), positions]),
    e.op('Less', [positions, e.op('Sub', [length, e.int64s([end])])]),
  ]);
  // In `pumer` PAD takes part like any other token.
  const isReal = e.op('Greater', [weight, e.float(lane.semantics === 'safe' ? 0 : -1)]);
  return { real: e.op('And', [isReal, isInside]), pad: e.op('And', [e.op('Not', [isReal]), isInside]) };
};

/**
 * Whether the place q among u is one of k evenly spaced ones, the first among them: where ceil(q k / u) grows. All int64;
 * places of [0, u), k up to u.
 */
export const isEvenly = (e: Emitter, q: ValueName, k: ValueName, u: ValueName): ValueName => {
  const by = atLeast(e, u, e.int64s([1]));
  const ceiling = (place: ValueName): ValueName =>
    e.op('Div', [e.op('Sub', [e.op('Add', [e.op('Mul', [place, k]), by]), e.int64s([1])]), by]);
  return e.op('Less', [ceiling(q), ceiling(e.op('Add', [q, e.int64s([1])]))]);
};

/** Kept tokens evenly spaced, bool [B, n], `keep` of them counting the protected ones; PAD only where too few are real. */
export const evenlyKept = (lane: ControlLane, keep: ValueName): ValueName => {
  const { e, start, end } = lane;
  const { real, pad } = mayGo(lane);
  const wanted = atLeast(e, e.op('Sub', [keep, e.int64s([start + end])]), e.int64s([0]));
  const there = e.reduce('ReduceSum', asInts(e, real), [1], true);
  const q = e.op('Sub', [countedUp(e, asInts(e, real)), e.int64s([1])]);
  const picked = e.op('And', [real, isEvenly(e, q, atMost(e, wanted, there), there)]);
  const padLeft = e.op('Sub', [wanted, there]);
  const early = e.op('Not', [e.op('Less', [padLeft, countedUp(e, asInts(e, pad))])]);
  return e.op('Or', [picked, e.op('And', [pad, early])]);
};

/** Scores by which just the given tokens [B, n] are kept, in the lane's order where scores make the order. */
export const scoresOf = (lane: ControlLane, kept: ValueName): ValueName => {
  const { e, length } = lane;
  const late = e.op('Sub', [length, positionsOf(lane)]);
  return e.cast(e.op('Add', [e.op('Mul', [asInts(e, kept), length]), late]), DataType.FLOAT);
};

/** Modulo of int64 values that are not negative. */
export const modulo = (e: Emitter, x: ValueName, by: number): ValueName =>
  e.op('Mod', [x, e.int64s([by])], { fmod: intAttr(0) });
