/**
 * Everything the compiler sees in a model, in one place: lanes, attention, cross-modal layers, and where each layer
 * could be shortened. What `inspect` shows and what planning starts from.
 */
import type { Model } from '../graph/model.ts';
import { findAttention, type AttentionFacts, type AttentionPattern } from './attention.ts';
import type { LaneHints } from './lane-births.ts';
import { crossModalLayers, type CrossModalLayer } from './layers.ts';
import { lanesOf, type Lanes } from './lanes.ts';
import type { ReductionSite, SiteFault, SiteStrategy } from './sites.ts';

export interface Understanding extends AttentionFacts {
  readonly model: Model;
  readonly hints: LaneHints;
  readonly lanes: Lanes;
  readonly layers: readonly CrossModalLayer[];
  /** Per layer, what the first fitting strategy makes of it. */
  readonly sites: readonly (readonly (ReductionSite | SiteFault)[])[];
}

export const understand = (
  model: Model,
  hints: LaneHints,
  patterns: readonly AttentionPattern[],
  strategies: readonly SiteStrategy[],
): Understanding => {
  const lanes = lanesOf(model, hints);
  const facts = findAttention(model, lanes, patterns);
  const layers = crossModalLayers(model, facts.attentions);
  const sites = layers.map((layer) => {
    for (const strategy of strategies) {
      const found = strategy.sites(model, layer, facts.attentions);
      if (found !== undefined) return found;
    }
    return [];
  });
  return { ...facts, model, hints, lanes, layers, sites };
};
