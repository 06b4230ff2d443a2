/**
 * What a plan's model takes on this machine: measured for some plans, told from those for all others.
 */
import type { ReductionPlan } from '../reduction/plan.ts';

/** Milliseconds or ratios of paired runs: the middle one and the quartiles. */
export interface Measured {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** A plan that was compiled and timed in turns with the original. */
export interface TimedPlan {
  readonly plan: ReductionPlan;
  readonly original: Measured;
  readonly compiled: Measured;
  /** Compiled / original of the same turn. */
  readonly ratio: Measured;
  readonly turns: number;
}

/** Everything a latency model is made from; printed, read again and kept with a calibration. */
export interface LatencyTable {
  readonly schema_version: 1;
  /** Processor, cores, Node and ONNX Runtime versions, what runs the reducers. */
  readonly machine: string;
  readonly threads: number | null;
  readonly batch: number;
  readonly image: number;
  readonly text: number;
  readonly timed: readonly TimedPlan[];
}

export interface Predicted {
  /** Time of the compiled model / time of the original. */
  readonly ratio: number;
  readonly milliseconds: number;
}

export interface LatencyModel {
  readonly table: LatencyTable;
  readonly predict: (plan: ReductionPlan) => Predicted;
  /** Error of the ratio where a measured plan is left out and predicted from the others: median and largest, as shares. */
  readonly leftOut: { readonly median: number; readonly largest: number };
}
