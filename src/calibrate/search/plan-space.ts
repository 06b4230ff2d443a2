/**
 * The plans a search may try: which ratios are open, what they are rounded and capped to, and when two plans do the
 * same under two names.
 */
import { parseRatio, roundShare } from '../../reduction/counts.ts';
import type { PlannedSite, ReductionPlan, Semantics, SiteRatios } from '../../reduction/plan.ts';
import { RATIO_PLACES, type OpenSite, type PlanCost } from '../candidate-model.ts';

export type Kind = keyof SiteRatios;

/** A ratio that may be other than 0. */
export interface Knob {
  readonly layer: number;
  readonly kind: Kind;
}

/** A plan with the name of what it does: plans of one key remove the same numbers of tokens in the same way. */
export interface NamedPlan {
  readonly key: string;
  readonly plan: ReductionPlan;
}

export interface PlanSpace {
  readonly semantics: Semantics;
  readonly layers: readonly number[];
  readonly knobs: readonly Knob[];
  /** Ratios rounded and capped; sites that remove nothing and ratios that are not open are left out. */
  readonly plan: (sites: readonly PlannedSite[]) => NamedPlan;
}

const UNITS = 10 ** RATIO_PLACES;
const rounded = (ratio: number): number => Math.round(ratio * UNITS) / UNITS;

/** More than this at one site leaves a handful of tokens. */
const MOST_PRUNED = 0.9;
/** Half of the kept tokens may merge at most (semantics.md, Counts): a higher ratio is the same plan. */
const MOST_MERGED = 0.5;
/** `pumer` does nothing at a site that prunes nothing. */
const LEAST_PRUNED = 0.05;

export const nothingAt = (layer: number): PlannedSite => ({ layer, prune: 0, merge: 0, mergeText: 0 });

export const ratioAt = (sites: readonly PlannedSite[], { layer, kind }: Knob): number =>
  sites.find((s) => s.layer === layer)?.[kind] ?? 0;

/** With one ratio changed; a site is added where there was none. */
export const withRatio = (sites: readonly PlannedSite[], { layer, kind }: Knob, ratio: number): PlannedSite[] => {
  const site = sites.find((s) => s.layer === layer) ?? nothingAt(layer);
  return [...sites.filter((s) => s.layer !== layer), { ...site, [kind]: ratio }];
};

const knobsOf = (sites: readonly OpenSite[]): Knob[] =>
  sites.flatMap(({ layer, image, text }) => {
    const open: Kind[] = [...(image ? (['prune', 'merge'] as const) : []), ...(text ? (['mergeText'] as const) : [])];
    return open.map((kind) => ({ layer, kind }));
  });

const capped = (ratio: number, most: number): number => rounded(Math.min(Math.max(ratio, 0), most));

export const planSpace = (
  sites: readonly OpenSite[],
  semantics: Semantics,
  cost?: (plan: ReductionPlan) => PlanCost,
): PlanSpace => {
  const ofLayer = new Map(sites.map((site) => [site.layer, site]));

  const tidy = (site: PlannedSite): PlannedSite => {
    const open = ofLayer.get(site.layer);
    const wanted = open?.image === true ? capped(site.prune, MOST_PRUNED) : 0;
    const most = Math.floor(((1 - wanted) / 2) * UNITS + 1e-6) / UNITS;
    const merge = open?.image === true ? capped(site.merge, most) : 0;
    const mergeText = open?.text === true ? capped(site.mergeText, MOST_MERGED) : 0;
    const idle = semantics === 'pumer' && wanted < LEAST_PRUNED && merge + mergeText > 0;
    const prune = idle ? (open?.image === true ? LEAST_PRUNED : 0) : wanted;
    // A site without image tokens to prune does nothing in `pumer`.
    return idle && prune === 0 ? nothingAt(site.layer) : { layer: site.layer, prune, merge, mergeText };
  };

  return {
    semantics,
    layers: [...ofLayer.keys()].sort((a, b) => a - b),
    knobs: knobsOf(sites),
    plan: (given) => {
      const kept = given
        .map(tidy)
        .filter((s) => s.prune + s.merge + s.mergeText > 0)
        .sort((a, b) => a.layer - b.layer);
      const plan: ReductionPlan = { schema_version: 1, semantics, sites: kept };
      if (cost === undefined) return { key: JSON.stringify(kept), plan };
      const counts = new Map(cost(plan).sites.map((s) => [s.layer, s]));
      const active = kept.filter((site) => counts.has(site.layer));
      const key = active.map(({ layer, prune }) => {
        const { image, text } = counts.get(layer) as PlanCost['sites'][number];
        // Tokens pruned; the others that leave are merged.
        const pruned = Math.min(roundShare(image.before, parseRatio(prune)), image.before - image.after);
        return [layer, pruned, image.after, text.after].join(' ');
      });
      return { key: key.join(', '), plan: { ...plan, sites: active } };
    },
  };
};
