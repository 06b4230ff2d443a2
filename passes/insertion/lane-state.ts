/**
 * What is known of a shortened lane while a plan is put into the graph: how long it is, what its tokens weigh, and the
 * reductions that made it.
 */
import type { Dim } from '../../src/analysis/dim.ts';
import type { ValueName } from '../../src/graph/model.ts';

/** A size in the graph: a number, or the name of an int64[1] value. */
export type Size = number | ValueName;

export interface LaneState {
  readonly length: Size;
  /** float32 [B, n]. */
  readonly weight: ValueName;
  /** Number of the mask the weights began with; every mask they replace must be the same one. */
  readonly mask: number;
  /** The reductions so far, oldest first. */
  readonly steps: readonly Step[];
  /** bool [1], only where ratios are given when the model runs: none of them has removed anything. */
  readonly isWhole?: ValueName;
}

/** One reduction of a lane, and what it takes to follow it. */
export interface Step {
  /** Version of the lane that went in. */
  readonly before: string;
  /** Rows of the batch. */
  readonly batch: Dim;
  /** The reducer's input and outputs of these names. */
  readonly weight: ValueName;
  readonly target: ValueName;
  readonly position: ValueName;
}
