/**
 * The plan: which layers become sites and what each site removes. Small, readable, editable JSON; it is stored in
 * the compiled model and makes the same file again. Ratios are decimals kept as written, because counts are exact
 * in them (semantics.md, Counts).
 */

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

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Reads a plan; what is wrong with it comes back as a sentence. */
export const parsePlan = (text: string): ReductionPlan | string => {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    return `it is not JSON (${(error as Error).message})`;
  }
  if (!isRecord(given)) return 'it is not an object';
  if (given['schema_version'] !== 1)
    return `schema_version must be 1, found ${JSON.stringify(given['schema_version'])}`;
  const semantics = given['semantics'];
  if (semantics !== 'safe' && semantics !== 'pumer')
    return `semantics must be "safe" or "pumer", found ${JSON.stringify(semantics)}`;
  const sites = given['sites'];
  if (!Array.isArray(sites)) return 'sites must be a list';
  const planned: PlannedSite[] = [];
  for (const [i, site] of sites.entries()) {
    if (!isRecord(site)) return `sites[${i}] is not an object`;
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
