/**
 * Resolves a plan against what was understood of a model: picks the sites, finds which positions are read behind
 * them, protects those tokens or fixes a lane, and counts tokens site by site. Refuses what semantics.md does not
 * allow. Changes no graph.
 */
import type { Understanding } from '../src/analysis/understanding.ts';
import { constDim, dimValue, type Dim } from '../src/analysis/dim.ts';
import { tokensOf, type Segment } from '../src/analysis/labels.ts';
import { lanesAfter, type Lanes, type Shortening } from '../src/analysis/lanes.ts';
import { shortenedReads, type LaneRead } from '../src/analysis/lane-reads.ts';
import { isFault, type LaneSite, type ReductionSite } from '../src/analysis/sites.ts';
import { shapesOf } from '../src/analysis/shapes.ts';
import { CompileError, type Report } from '../src/diagnostics/diagnostic.ts';
import * as say from '../src/diagnostics/messages.ts';
import { imageCounts, textCounts } from '../src/reduction/counts.ts';
import type { Modality, PlannedSite, Semantics } from '../src/reduction/plan.ts';
import type { LaneCounts, LanePlan, ResolvedPlan, SitePlan } from '../src/reduction/site-plan.ts';

export interface PlanRequest {
  readonly semantics: Semantics;
  readonly sites: readonly PlannedSite[];
  /** The text ratio was asked for, not a default: a lane that cannot be shortened is then refused. */
  readonly textExplicit: boolean;
}

/** More protected tokens than this at one end of a lane are refused: the lane would hardly be shortened. */
const protectedLimit = 16;

const sitesAt = (u: Understanding, layer: number): readonly ReductionSite[] => {
  const found = u.sites[layer];
  if (found === undefined) throw new CompileError(say.layerOutOfRange(layer, u.layers.map((l) => l.layer)));
  return found.map((site) => {
    if (isFault(site)) throw new CompileError(say.layerNotReducible(layer, site.why, { node: site.node.name }));
    return site;
  });
};

const shorteningsOf = (plans: readonly LanePlan[]): readonly Shortening[] =>
  plans.flatMap((p) => p.site.stream.uses.map(({ node, input }) => ({ node, input, lane: p.lane, version: p.after })));

/** The one run of a lane's tokens in a label; undefined where there is none or several. */
const runOf = (tokens: readonly Segment[] | undefined, lane: Modality): Segment | undefined => {
  const runs = tokens?.filter((s) => s.lane === lane) ?? [];
  return runs.length === 1 ? runs[0] : undefined;
};

interface Wanted {
  readonly site: ReductionSite;
  readonly planned: PlannedSite;
  readonly name: string;
}

interface Ends {
  readonly start: number;
  readonly end: number;
}

/** Everything that reads the lanes by position if all wanted sites shorten both. */
const readsOf = (u: Understanding, wanted: readonly Wanted[], textToo: boolean): { lanes: Lanes; reads: readonly LaneRead[] } => {
  const shortenings = wanted.flatMap(({ site, name }): Shortening[] => {
    const lanes: [Modality, LaneSite][] = [['image', site.image]];
    if (textToo && !('why' in site.text)) lanes.push(['text', site.text]);
    return lanes.flatMap(([lane, { stream }]) => stream.uses.map(({ node, input }) => ({ node, input, lane, version: `${name}:${lane}` })));
  });
  const lanes = lanesAfter(u.model, u.hints, shortenings);
  return { lanes, reads: shortenedReads(u.model, lanes, (v) => shapesOf(u.model).of(v)?.dims) };
};

const refuseRead = (read: LaneRead, reason: string): never => {
  const { event } = read;
  const lane = read.tokens.find((s) => s.version !== '')?.lane ?? 'shortened';
  throw new CompileError(say.readNotAllowed(lane, reason, { node: event.node.name, axis: event.axis, value: event.value }));
};

/** How many tokens at either end of a lane are read; refuses reads nobody can follow. */
const protectedEnds = (reads: readonly LaneRead[], lane: Modality, semantics: Semantics): Ends => {
  let start = 0;
  let end = 0;
  for (const read of reads) {
    if (read.kind === 'unknown') refuseRead(read, read.event.reason);
    if (read.kind !== 'position') continue;
    const segment = read.tokens[read.at.segment];
    if (segment?.lane !== lane || segment.version === '') continue;
    const { offset } = read.at;
    if (semantics === 'pumer') {
      if (offset !== 0) refuseRead(read, `position ${offset} of a lane shortened with --semantics pumer; only position 0 stays meaningful`);
      continue;
    }
    const size = dimValue(segment.length);
    const fromEnd = offset < 0 ? -offset : size === undefined ? Infinity : size - offset;
    if (offset >= 0 && offset < fromEnd) start = Math.max(start, offset + 1);
    else end = Math.max(end, fromEnd);
    if (Math.max(start, end) > protectedLimit) refuseRead(read, `position ${offset}, too far from either end of the lane to be protected`);
  }
  return { start, end };
};

const laneCounts = (lane: Modality, length: Dim | undefined, planned: PlannedSite, semantics: Semantics, ends: Ends): LaneCounts => {
  const tokens = length && dimValue(length);
  if (tokens === undefined) return { kind: 'runtime' };
  const rule = { semantics, protectedCount: ends.start + ends.end };
  const counts = lane === 'image' ? imageCounts(tokens, planned.prune, planned.merge, rule) : textCounts(tokens, planned.mergeText, rule);
  return { kind: 'static', tokens, keep: counts.keep, merge: counts.merge };
};

const removes = (counts: LaneCounts): boolean => counts.kind === 'runtime' || counts.keep - counts.merge < counts.tokens;

export const resolvePlan = (u: Understanding, request: PlanRequest, report: Report): ResolvedPlan => {
  const { semantics } = request;
  const wanted = request.sites
    .flatMap((planned) => sitesAt(u, planned.layer).map((site, i): Wanted => ({ site, planned, name: `layer${planned.layer}${i === 0 ? '' : `.${i}`}` })))
    .sort((a, b) => a.site.layer - b.site.layer);
  const textWanted = request.sites.some((s) => s.mergeText > 0);
  const first = readsOf(u, wanted, textWanted);
  const fixed = textWanted ? first.reads.find((r) => r.kind === 'text-data') : undefined;
  if (fixed?.kind === 'text-data') {
    const why = `node "${fixed.event.node.name}" reads them at positions computed from "${fixed.index}"`;
    if (request.textExplicit) throw new CompileError(say.textMergeRefused(why));
    report.diagnostics.push(say.textLaneFixed(fixed.index, fixed.event.node.name));
  }
  const mergesText = textWanted && fixed === undefined;
  const { reads } = mergesText || !textWanted ? first : readsOf(u, wanted, false);
  const ends: Record<Modality, Ends> = {
    image: protectedEnds(reads, 'image', semantics),
    text: mergesText ? protectedEnds(reads, 'text', semantics) : { start: 0, end: 0 },
  };

  const plans: SitePlan[] = [];
  const lengths = new Map<string, Dim | undefined>();
  for (const { site, planned, name } of wanted) {
    const lanes = lanesAfter(u.model, u.hints, shorteningsOf(plans.flatMap((p) => p.lanes)));
    const plan = (lane: Modality, at: LaneSite): LanePlan | undefined => {
      const product = lanes.of(at.keys.product.outputs[0] ?? '');
      const run = runOf(tokensOf(product?.[product.length - 1]), lane);
      const stream = lanes.seenBy(at.stream.seenBy.node, at.stream.value);
      const streamRun = runOf(tokensOf(stream?.[1]), lane);
      const place = { node: at.keys.product.name };
      if (run === undefined || product?.length !== 4)
        throw new CompileError(say.layerNotReducible(planned.layer, `its ${lane} keys are not one run of tokens in a [batch, heads, queries, keys] product`, place));
      if (streamRun === undefined || streamRun.version !== run.version || stream?.length !== 3)
        throw new CompileError(say.layerNotReducible(planned.layer, `its ${lane} tokens are not on axis 1 of a [batch, tokens, width] value`, { ...place, value: at.stream.value }));
      const length = lengths.has(run.version) ? lengths.get(run.version) : run.length;
      const counts = laneCounts(lane, length, planned, semantics, ends[lane]);
      if (!removes(counts)) return undefined;
      const after = `${name}:${lane}`;
      const left = counts.kind === 'static' ? counts.keep - counts.merge : undefined;
      lengths.set(after, left === undefined ? undefined : constDim(left));
      return { lane, site: at, before: run.version, after, length, counts, protectedStart: ends[lane].start, protectedEnd: ends[lane].end };
    };
    const image = planned.prune + planned.merge > 0 ? plan('image', site.image) : undefined;
    let text: LanePlan | undefined;
    if (mergesText && planned.mergeText > 0) {
      if (semantics === 'pumer' && image === undefined) text = undefined;
      else if (!('why' in site.text)) text = plan('text', site.text);
      else if (request.textExplicit) throw new CompileError(say.textMergeRefused(`layer ${planned.layer}: ${site.text.why}`));
      else report.diagnostics.push(say.textLaneNotReducible(planned.layer, site.text.why));
    }
    const both = [image, text].filter((p) => p !== undefined);
    if (both.length === 0) report.diagnostics.push(say.siteShortensNothing(planned.layer, 'its ratios remove no token'));
    else plans.push({ layer: planned.layer, ratios: planned, scoring: site.scoring, lanes: both });
  }
  const lanes = lanesAfter(u.model, u.hints, shorteningsOf(plans.flatMap((p) => p.lanes)));
  return { semantics, sites: plans, lanes, reads: shortenedReads(u.model, lanes, (v) => shapesOf(u.model).of(v)?.dims) };
};
