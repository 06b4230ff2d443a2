/**
 * Resolves a plan against what was understood of a model: picks the sites, finds which positions are read behind
 * them, protects those tokens or fixes a lane, and counts tokens site by site. Refuses what semantics.md does not
 * allow. Changes no graph.
 */
import type { Dim } from '../src/analysis/dim.ts';
import { shortenedReads } from '../src/analysis/lane-reads.ts';
import { lanesAfter, type Shortening } from '../src/analysis/lanes.ts';
import { shapesOf } from '../src/analysis/shapes.ts';
import { isFault, type ReductionSite } from '../src/analysis/sites.ts';
import type { Understanding } from '../src/analysis/understanding.ts';
import { CompileError, type Report } from '../src/diagnostics/diagnostic.ts';
import * as say from '../src/diagnostics/messages.ts';
import type { PlannedSite, Semantics } from '../src/reduction/plan.ts';
import type { LanePlan, ResolvedPlan, SitePlan } from '../src/reduction/site-plan.ts';
import { planLane } from './planning/lanes.ts';
import { asksForImage, findReads, refuseOtherThanFirst, type Wanted } from './planning/reads.ts';

export interface PlanRequest {
  readonly semantics: Semantics;
  readonly sites: readonly PlannedSite[];
  /** The text ratio was asked for, not a default: a lane that cannot be shortened is then refused. */
  readonly textExplicit: boolean;
  /** Ratios are inputs of the model to be made; those of the sites only say which may be above 0. */
  readonly ratiosGiven?: boolean;
}

const sitesAt = (u: Understanding, layer: number): readonly ReductionSite[] => {
  const found = u.sites[layer];
  const numbered = u.layers.find((l) => l.layer === layer);
  if (found?.length === 0 && numbered !== undefined)
    throw new CompileError(
      say.layerNotReducible(layer, 'no text attends to an image in it, so nothing scores the image', {
        node: numbered.imageToText[0]?.product.name ?? '',
      }),
    );
  if (found === undefined)
    throw new CompileError(
      say.layerOutOfRange(
        layer,
        u.layers.map((l) => l.layer),
      ),
    );
  return found.map((site) => {
    if (isFault(site)) throw new CompileError(say.layerNotReducible(layer, site.why, { node: site.node.name }));
    return site;
  });
};

const shorteningsOf = (plans: readonly LanePlan[]): readonly Shortening[] =>
  plans.flatMap((p) => p.site.stream.uses.map(({ node, input }) => ({ node, input, lane: p.lane, version: p.after })));

export const resolvePlan = (u: Understanding, request: PlanRequest, report: Report): ResolvedPlan => {
  const { semantics, ratiosGiven = false } = request;
  const wanted = request.sites
    .flatMap((planned) =>
      sitesAt(u, planned.layer).map((site, i): Wanted => ({
        site,
        planned,
        name: `layer${planned.layer}${i === 0 ? '' : `.${i}`}`,
      })),
    )
    .sort((a, b) => a.site.layer - b.site.layer);
  const { mergesText, ends } = findReads(u, wanted, semantics, request.textExplicit, report);
  const plans: SitePlan[] = [];
  const lengths = new Map<string, Dim | undefined>();
  for (const one of wanted) {
    const { site, planned } = one;
    const lanes = lanesAfter(u.model, u.hints, shorteningsOf(plans.flatMap((p) => p.lanes)));
    const planning = { semantics, ratiosGiven, ends, lanes, lengths };
    const image = asksForImage(planned, semantics) ? planLane(planning, one, 'image', site.image) : undefined;
    // Whether the image loses anything decides in `pumer` whether the text does.
    const untold = semantics === 'pumer' && image !== undefined && image.counts.kind !== 'static';
    let text: LanePlan | undefined;
    if (mergesText && planned.mergeText > 0) {
      if (semantics === 'pumer' && image === undefined) text = undefined;
      else if (!('why' in site.text)) text = planLane(planning, one, 'text', site.text, untold);
      else if (request.textExplicit)
        throw new CompileError(say.textMergeRefused(`layer ${planned.layer}: ${site.text.why}`));
      else report.diagnostics.push(say.textLaneNotReducible(planned.layer, site.text.why));
    }
    const both = [image, text].filter((p) => p !== undefined);
    if (both.length === 0)
      report.diagnostics.push(say.siteShortensNothing(planned.layer, 'its ratios remove no token'));
    else plans.push({ layer: planned.layer, ratios: planned, scoring: site.scoring, lanes: both });
  }
  const lanes = lanesAfter(u.model, u.hints, shorteningsOf(plans.flatMap((p) => p.lanes)));
  const reads = shortenedReads(u.model, lanes, (v) => shapesOf(u.model).of(v)?.dims);
  if (semantics === 'pumer') refuseOtherThanFirst(reads);
  return { semantics, sites: plans, lanes, reads };
};
