/**
 * Scores plans on samples: what the search asks for, so that it can be tested without a model.
 */
import type { ReductionPlan } from '../reduction/plan.ts';

/** For each asked sample, in the order asked: what the plan loses against the unreduced model. More is worse. */
export interface Losses {
  /** Of the metric the budget is on: the unreduced model's score minus the plan's, signed by `better`. */
  readonly metric: Float64Array;
  /** 0 where the plan gives the answer of the unreduced model, 1 where not. */
  readonly disagreement: Float64Array;
  /** KL divergence of the answers' distributions, or 1 - cosine where the output is none: a fine measure to rank by. */
  readonly distance: Float64Array;
}

export interface Evaluator {
  readonly count: number;
  /** Same plan, same samples, same numbers. Rejects with the signal's reason where it is aborted. */
  readonly losses: (plan: ReductionPlan, samples: readonly number[], signal?: AbortSignal) => Promise<Losses>;
}
