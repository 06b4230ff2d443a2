/**
 * A plan resolved against a model: for every site and lane, which tokens, how many, and under which name the rest of
 * the graph will know the shortened lane. Pure data between planning and insertion.
 */
import type { Attention } from '../analysis/attention.ts';
import type { Dim } from '../analysis/dim.ts';
import type { StreamLayout } from '../analysis/layout.ts';
import type { Lanes } from '../analysis/lanes.ts';
import type { LaneRead } from '../analysis/lane-reads.ts';
import type { LaneSite } from '../analysis/sites.ts';
import type { Modality, Semantics, SiteRatios } from './plan.ts';

/** The input that holds a ratio of a layer where ratios are given when the model runs: int64 [1], in units of 10^-4. */
export const ratioInput = (layer: number, ratio: keyof SiteRatios): string =>
  `pumer/layer_${layer}/${{ prune: 'image/prune', merge: 'image/merge', mergeText: 'text/merge' }[ratio]}`;

export type LaneCounts =
  /** Lengths known at compile time: tokens kept after pruning and tokens merged away. */
  | { readonly kind: 'static'; readonly tokens: number; readonly keep: number; readonly merge: number }
  /** Lengths known when the model runs. */
  | { readonly kind: 'runtime' }
  /** Ratios given when the model runs, as the inputs `ratioInput`; those of the plan only say which may be above 0. */
  | { readonly kind: 'given' };

export interface LanePlan {
  readonly lane: Modality;
  readonly site: LaneSite;
  readonly layout: StreamLayout;
  /** Version of the lane that comes in, '' for the original, and the one that goes out. */
  readonly before: string;
  readonly after: string;
  /** Length that comes in, where it is an expression of the model's own sizes. */
  readonly length: Dim | undefined;
  readonly counts: LaneCounts;
  /** Tokens at the lane's start and end that are read by position and never touched. */
  readonly protectedStart: number;
  readonly protectedEnd: number;
}

export interface SitePlan {
  readonly layer: number;
  readonly ratios: SiteRatios;
  readonly scoring: Attention;
  /** Image first: where both lanes share a stream they are put back in the stream's order. */
  readonly lanes: readonly LanePlan[];
}

export interface ResolvedPlan {
  readonly semantics: Semantics;
  readonly sites: readonly SitePlan[];
  /** Lanes as they will be, under the versions of the site plans. */
  readonly lanes: Lanes;
  /** Reads by position behind the reductions. */
  readonly reads: readonly LaneRead[];
}
