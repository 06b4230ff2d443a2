/**
 * The calibration model as the search sees it: one model that behaves as any plan says, because the ratios of every
 * site are inputs, and what a plan costs in work, told without running anything.
 */
import type { Model } from '../graph/model.ts';
import type { LaneSizes, PlanCost } from '../reduction/plan-cost.ts';
import type { ReductionPlan, Semantics } from '../reduction/plan.ts';
import type { TensorData } from '../runtime/tensor-data.ts';

/** A layer that may become a site, and which of its ratios may be other than 0. */
export interface OpenSite {
  readonly layer: number;
  readonly image: boolean;
  readonly text: boolean;
}

export type { LaneSizes, PlanCost, Stage } from '../reduction/plan-cost.ts';

export interface CandidateModel {
  readonly semantics: Semantics;
  /** Runs like the original with `feedsFor(plan)` added to its inputs. */
  readonly model: Model;
  readonly sites: readonly OpenSite[];
  /** The added inputs. Throws an InternalError for a plan with sites or ratios that are not open. */
  readonly feedsFor: (plan: ReductionPlan) => ReadonlyMap<string, TensorData>;
  readonly costOf: (plan: ReductionPlan, sizes: LaneSizes) => PlanCost;
}

/** Ratios are decimals with at most this many places in a calibration: inputs are whole numbers of 10^-4. */
export { RATIO_PLACES } from '../reduction/counts.ts';
