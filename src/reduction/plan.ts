/**
 * The plan: which layers become sites and what each site removes. Small, readable, editable JSON; it is stored in
 * the compiled model and makes the same file again. Ratios are decimals kept as written, because counts are exact
 * in them (semantics.md, Counts).
 */
import { isFields, parseVersioned } from '../support/versioned-json.ts';

export type Semantics = 'safe' | 'pumer';
export type Modality = 'text' | 'image';

/** A site's ratios, each a decimal in [0, 1): shares of the tokens entering the site. */
export interface SiteRatios {
  readonly prune: number;
  readonly merge: number;
  readonly mergeText: number;
}

export interface PlannedSite extends SiteRatios {
  /** Cross-modal layer, numbered by depth from 0. */
  readonly layer: number;
}

export interface ReductionPlan {
  readonly schema_version: 1;
  readonly semantics: Semantics;
  readonly sites: readonly PlannedSite[];
}

/** The plan as text: stable, so that the same plan gives the same bytes. */
export const printPlan = (plan: ReductionPlan): string =>
  JSON.stringify({
    schema_version: plan.schema_version,
    semantics: plan.semantics,
    sites: plan.sites.map(({ layer, prune, merge, mergeText }) => ({ layer, prune, merge, mergeText })),
  });

const isRatio = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value < 1;

/** Reads a plan; what is wrong with it comes back as a sentence. */
export const parsePlan = (text: string): ReductionPlan | string => {
  const given = parseVersioned(text);
  if (typeof given === 'string') return given;
  const semantics = given['semantics'];
  if (semantics !== 'safe' && semantics !== 'pumer')
    return `semantics must be "safe" or "pumer", found ${JSON.stringify(semantics)}`;
  const sites = given['sites'];
  if (!Array.isArray(sites)) return 'sites must be a list';
  const planned: PlannedSite[] = [];
  for (const [i, site] of sites.entries()) {
    if (!isFields(site)) return `sites[${i}] is not an object`;
    const { layer, prune = 0, merge = 0, mergeText = 0, ...unknown } = site;
    const [stranger] = Object.keys(unknown);
    if (stranger !== undefined) return `sites[${i}] has an unknown field "${stranger}"`;
    if (typeof layer !== 'number' || !Number.isInteger(layer) || layer < 0)
      return `sites[${i}].layer must be a layer number`;
    if (planned.some((p) => p.layer === layer)) return `layer ${layer} appears twice`;
    if (!isRatio(prune) || !isRatio(merge) || !isRatio(mergeText))
      return `sites[${i}]: ratios must be numbers from 0 up to, not including, 1`;
    planned.push({ layer, prune, merge, mergeText });
  }
  return { schema_version: 1, semantics, sites: planned };
};
