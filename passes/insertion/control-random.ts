/**
 * Random choices that are the same every time: scores are a hash of the token's position, its row of the batch, the
 * layer and a seed. In `safe` PAD goes first, as nothing looks at it; `pumer` keeps the first token in its place, which
 * is more than its own rule does.
 */
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { mayGo, modulo, positionsOf, type ControlLane, type Controlled } from './control-lane.ts';

/** Prime, and small enough for its squares to fit int64. */
const PRIME = 2 ** 31 - 1;

/** Scores below this, all whole, so that float32 holds twice and four times as many besides. */
const SCORES = 2 ** 20;

/** int64 [B, n] below SCORES. Squares modulo a prime: a linear hash would space its tokens evenly. */
const hashes = (lane: ControlLane, seed: ValueName): ValueName => {
  const { e, weight, layer } = lane;
  const rows = e.op('Range', [e.int64(0), e.squeeze(e.length(weight, 0), [0]), e.int64(1)]);
  const of = (x: ValueName, by: number): ValueName =>
    modulo(e, e.op('Mul', [e.op('Add', [modulo(e, x, PRIME), e.int64s([1])]), e.int64s([by])]), PRIME);
  const all = [
    of(positionsOf(lane), 48_271),
    of(e.unsqueeze(rows, [1]), 69_621),
    of(seed, 1_103_515),
    of(e.int64s([layer]), 742_938),
  ];
  // One after another, so that two rows are no shifted copies of each other.
  const mixed = all.reduce((so, next, i) => {
    const sum = modulo(e, e.op('Add', [so, next]), PRIME);
    return modulo(e, e.op('Add', [e.op('Mul', [sum, sum]), e.int64s([950_706 + i])]), PRIME);
  });
  const squared = modulo(e, e.op('Mul', [mixed, mixed]), PRIME);
  return modulo(e, squared, SCORES);
};

const scored = (lane: ControlLane, seed: ValueName): ValueName => {
  const { e, semantics } = lane;
  const first = semantics === 'pumer' ? e.op('Less', [positionsOf(lane), e.int64s([1])]) : mayGo(lane).real;
  const ahead = e.op('Mul', [e.cast(first, DataType.INT64), e.int64s([SCORES])]);
  return e.cast(e.op('Add', [hashes(lane, seed), ahead]), DataType.FLOAT);
};

/** Everything that goes is pruned. */
export const random = (lane: ControlLane, seed: ValueName): Controlled => {
  const { e } = lane;
  return { scores: scored(lane, seed), keep: e.op('Sub', [lane.keep, lane.merge]), merge: e.int64s([0]) };
};

/** The plan's own counts and matching. */
export const unscored = (lane: ControlLane, seed: ValueName): Controlled => ({ scores: scored(lane, seed) });
