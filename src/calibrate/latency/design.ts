/**
 * Which plans to time before latency is told for all others: lengths at an early, a middle and a late site, whole
 * plans, plans that remove next to nothing (what is left is the reducers' own cost), and text where it may be merged.
 */
import { keepToRatios } from '../../reduction/counts.ts';
import type { PlannedSite, ReductionPlan, Semantics } from '../../reduction/plan.ts';
import type { TurnOptions } from '../../timing/turns.ts';
import { RATIO_PLACES, type LaneSizes, type OpenSite } from '../candidate-model.ts';
import type { CostOf } from './model.ts';

export type LatencyEffort = 'quick' | 'default' | 'thorough';

interface Amount {
  /** Shares of the image tokens kept, at a single site. */
  readonly early: readonly number[];
  readonly middle: readonly number[];
  readonly late: readonly number[];
  /** At each of three sites. */
  readonly whole: readonly number[];
  /** Shares of the text tokens merged at the early site. */
  readonly text: readonly number[];
  readonly turns: Pick<TurnOptions, 'warmUps' | 'least' | 'most' | 'noise'> & { readonly seconds: number };
}

const amounts: Readonly<Record<LatencyEffort, Amount>> = {
  quick: {
    early: [0.75, 0.5, 0.25],
    middle: [0.5],
    late: [0.4],
    whole: [0.7, 0.5],
    text: [0.3],
    turns: { warmUps: 1, least: 3, most: 12, noise: 0.02, seconds: 20 },
  },
  default: {
    early: [0.9, 0.8, 0.7, 0.6, 0.5, 0.35, 0.2],
    middle: [0.75, 0.5, 0.3],
    late: [0.7, 0.35],
    whole: [0.85, 0.7, 0.5],
    text: [0.2, 0.45],
    turns: { warmUps: 1, least: 4, most: 24, noise: 0.01, seconds: 75 },
  },
  thorough: {
    early: [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.4, 0.3, 0.2, 0.1],
    middle: [0.9, 0.75, 0.6, 0.45, 0.3],
    late: [0.8, 0.6, 0.4, 0.2],
    whole: [0.9, 0.8, 0.7, 0.6, 0.5],
    text: [0.15, 0.3, 0.45],
    turns: { warmUps: 2, least: 6, most: 60, noise: 0.005, seconds: 300 },
  },
};

/** How long and how exactly the plans of a design are timed; `seconds` is for all plans together. */
export const latencyTurns = (effort: LatencyEffort): Amount['turns'] => amounts[effort].turns;

const nothing = { prune: 0, merge: 0, mergeText: 0 } as const;
const UNITS = 10 ** RATIO_PLACES;

/** The least ratio that removes one of n tokens. */
const oneOf = (n: number): number => Math.min(Math.ceil(UNITS / Math.max(n, 2)), UNITS / 2) / UNITS;

/** Three of a list, spread over it, the whole set moved on by `shift`. */
const three = <T>(list: readonly T[], shift: number): T[] => {
  const places = [0, 1, 2].map((i) => (shift + Math.floor((i * list.length) / 3)) % list.length);
  return [...new Set(places)].sort((a, b) => a - b).map((place) => list[place] as T);
};

/**
 * Plans in a fixed order, none twice and none that removes nothing, by `costOf` at the given sizes. Empty where no
 * site is open.
 */
export const latencyDesign = (
  { sites, semantics, costOf }: { sites: readonly OpenSite[]; semantics: Semantics; costOf: CostOf },
  sizes: LaneSizes,
  effort: LatencyEffort,
): readonly ReductionPlan[] => {
  const amount = amounts[effort];
  const found = new Map<string, ReductionPlan>();
  const add = (planned: readonly PlannedSite[]): void => {
    const plan: ReductionPlan = { schema_version: 1, semantics, sites: [...planned].sort((a, b) => a.layer - b.layer) };
    const { sites: active } = costOf(plan, sizes);
    if (active.length > 0) found.set(JSON.stringify(active), plan);
  };
  const kept = (site: OpenSite, keep: number, mergeText = 0): PlannedSite => ({
    layer: site.layer,
    ...(site.image ? keepToRatios(keep, semantics) : nothing),
    mergeText: site.text ? mergeText : 0,
  });
  const spread = (
    list: readonly OpenSite[],
  ): readonly [early: OpenSite, middle: OpenSite, late: OpenSite] | undefined => {
    const [early] = list;
    const [middle, late] = [list[list.length >> 1], list.at(-1)];
    return early === undefined || middle === undefined || late === undefined ? undefined : [early, middle, late];
  };

  const image = sites.filter((site) => site.image);
  const places = spread(image);
  if (places !== undefined) {
    for (const [i, keeps] of [amount.early, amount.middle, amount.late].entries())
      for (const keep of keeps) add([kept(places[i] as OpenSite, keep)]);
    for (const [shift, keep] of amount.whole.entries()) add(three(image, shift).map((site) => kept(site, keep)));
    const one = oneOf(sizes.image);
    const least = semantics === 'pumer' ? { prune: one, merge: 0 } : { prune: 0, merge: one };
    add(three(image, 0).map(({ layer }) => ({ layer, ...least, mergeText: 0 })));
  }
  const text = sites.filter((site) => site.text);
  const textPlaces = spread(text);
  if (textPlaces !== undefined) {
    // `pumer` merges text only where image tokens leave, so they do in every plan with text.
    for (const share of amount.text) add([kept(textPlaces[0], 0.8, share)]);
    add(three(text, 0).map((site) => kept(site, 0.8, amount.text[0])));
    if (semantics === 'safe') add([{ ...nothing, layer: textPlaces[0].layer, mergeText: amount.text[0] ?? 0 }]);
  }
  return [...found.values()];
};
