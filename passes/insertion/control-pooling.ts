/**
 * Average pooling: tokens are merged with their neighbours, pairs spread evenly over the lane. Half of a lane can merge
 * at most; where more must go, evenly spaced ones are pruned first. The reducer matches by cosines, so tokens get codes
 * under which the wanted neighbours are the best match, by far more than rounding.
 */
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { int64Tensor } from '../../src/graph/tensors.ts';
import {
  asInts,
  atLeast,
  atMost,
  countedUp,
  evenlyKept,
  isEvenly,
  modulo,
  scoresOf,
  type ControlLane,
  type Controlled,
} from './control-lane.ts';

/** Pairs told apart: 2^BITS, more than any lane has. */
const BITS = 16;

/**
 * Codes float32 [B, n, BITS + 1] for the kept tokens, `place` [B, n] their places in matching order. The two of a pair
 * have one code of signs (cosine 1), others differ in a sign (7/8 at most); a pair that shall not merge is set apart by
 * one more number in its source (cosine 0.71 with its own destination, 0.62 at most with others).
 */
const codes = (lane: ControlLane, place: ValueName, candidates: ValueName, merge: ValueName): ValueName => {
  const { e, semantics } = lane;
  const one = e.int64s([1]);
  const source = e.op('Div', [place, e.int64s([2])]);
  const pairs = e.op('Div', [candidates, e.int64s([2])]);
  // The last source of an odd number has no neighbour behind it: it goes with the one before.
  const pair = atMost(e, source, e.op('Sub', [atLeast(e, pairs, one), one]));
  // In `pumer` place 0 never goes, but a last source without a neighbour may.
  const merges =
    semantics === 'pumer'
      ? e.op('And', [
          e.op('Less', [e.int64s([0]), source]),
          isEvenly(e, e.op('Sub', [source, one]), merge, e.op('Div', [e.op('Sub', [candidates, one]), e.int64s([2])])),
        ])
      : e.op('And', [e.op('Less', [source, pairs]), isEvenly(e, source, merge, pairs)]);
  const isSource = e.op('Equal', [modulo(e, place, 2), e.int64s([0])]);
  const apart = e.op('And', [isSource, e.op('Not', [merges])]);
  const powers = e.constant(
    int64Tensor(
      [BITS],
      Array.from({ length: BITS }, (_, i) => 2 ** i),
    ),
  );
  const bits = e.cast(modulo(e, e.op('Div', [e.unsqueeze(pair, [2]), powers]), 2), DataType.FLOAT);
  const signs = e.op('Sub', [e.op('Mul', [bits, e.float(2)]), e.float(1)]);
  const extra = e.op('Mul', [e.cast(apart, DataType.FLOAT), e.float(Math.sqrt(BITS))]);
  return e.concat([signs, e.unsqueeze(extra, [2])], 2);
};

export const pooling = (lane: ControlLane): Controlled => {
  const { e, length, semantics, start, end } = lane;
  const after = e.op('Sub', [lane.keep, lane.merge]);
  const exempt = e.int64s([semantics === 'pumer' ? 1 : start + end]);
  // As many as have a partner once the rest is gone: merge <= (after + merge - exempt) div 2.
  const gone = e.op('Sub', [length, after]);
  const merge = atLeast(e, atMost(e, gone, e.op('Sub', [after, exempt])), e.int64s([0]));
  const keep = e.op('Add', [after, merge]);
  const kept = evenlyKept(lane, keep);
  const place = atLeast(e, e.op('Sub', [countedUp(e, asInts(e, kept)), e.int64s([1])]), e.int64s([0]));
  const candidates = e.op('Sub', [keep, e.int64s([start + end])]);
  return { scores: scoresOf(lane, kept), metric: codes(lane, place, candidates, merge), keep, merge };
};
