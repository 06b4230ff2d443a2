/**
 * The calibration model as the search sees it: one model that behaves as any plan says, because the ratios of every
 * site are inputs, and what a plan costs in work, told without running anything.
 */
import type { Model } from '../graph/model.ts';
import type { ReductionPlan, Semantics } from '../reduction/plan.ts';
import type { TensorData } from '../runtime/tensor-data.ts';

/** A layer that may become a site, and which of its ratios may be other than 0. */
export interface OpenSite {
  readonly layer: number;
  readonly image: boolean;
  readonly text: boolean;
}

/** All nodes that see the same versions of both lanes: what runs between two changes of length. */
export interface Stage {
  /** Tokens of each lane while in it. */
  readonly image: number;
  readonly text: number;
  /** Multiply-adds of products, one row of the batch. */
  readonly multiplyAdds: number;
  /** Elements written by everything else (softmax, norms, activations, additions): work that products leave out. */
  readonly elements: number;
}

export interface PlanCost {
  /** Of the whole model, the reducers' own left out; one row of the batch. */
  readonly multiplyAdds: number;
  /** The same stages in the same order for every plan of a model. */
  readonly stages: readonly Stage[];
  /** Sites where anything is removed, by layer, with the tokens entering and leaving. */
  readonly sites: readonly {
    readonly layer: number;
    readonly image: { readonly before: number; readonly after: number };
    readonly text: { readonly before: number; readonly after: number };
  }[];
}

/** Sizes of one row: tokens of each lane as they are born. */
export interface LaneSizes {
  readonly image: number;
  readonly text: number;
}

export interface CandidateModel {
  readonly semantics: Semantics;
  /** Runs like the original with `feedsFor(plan)` added to its inputs. */
  readonly model: Model;
  readonly sites: readonly OpenSite[];
  /** The added inputs. Throws an InternalError for a plan with sites or ratios that are not open. */
  readonly feedsFor: (plan: ReductionPlan) => ReadonlyMap<string, TensorData>;
  readonly costOf: (plan: ReductionPlan, sizes: LaneSizes) => PlanCost;
  /** Tokens of one row for inputs of these sizes; undefined where they do not tell. */
  readonly sizesOf: (feeds: ReadonlyMap<string, { readonly dims: readonly number[] }>) => LaneSizes | undefined;
}

/** Ratios are decimals with at most this many places in a calibration: inputs are whole numbers of 10^-4. */
export { RATIO_PLACES } from '../reduction/counts.ts';
