/**
 * Plans one lane at one site: checks that its tokens lie where insertion can cut them, and counts them.
 */
import { constDim, dimValue, type Dim } from '../../src/analysis/dim.ts';
import { tokensOf, type Segment } from '../../src/analysis/labels.ts';
import type { Lanes } from '../../src/analysis/lanes.ts';
import { streamLayout } from '../../src/analysis/layout.ts';
import type { LaneSite } from '../../src/analysis/sites.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import { imageCounts, textCounts } from '../../src/reduction/counts.ts';
import type { Modality, PlannedSite, Semantics } from '../../src/reduction/plan.ts';
import type { LaneCounts, LanePlan } from '../../src/reduction/site-plan.ts';
import type { Ends, Wanted } from './reads.ts';

/** The one run of a lane's tokens in a label; undefined where there is none or several. */
const runOf = (tokens: readonly Segment[] | undefined, lane: Modality): Segment | undefined => {
  const runs = tokens?.filter((s) => s.lane === lane) ?? [];
  return runs.length === 1 ? runs[0] : undefined;
};

const laneCounts = (
  lane: Modality,
  length: Dim | undefined,
  planned: PlannedSite,
  semantics: Semantics,
  ends: Ends,
  untold: boolean,
  ratiosGiven: boolean,
): LaneCounts => {
  if (ratiosGiven) return { kind: 'given' };
  const tokens = length && dimValue(length);
  if (tokens === undefined || untold) return { kind: 'runtime' };
  const rule = { semantics, protectedCount: ends.start + ends.end };
  const counts =
    lane === 'image'
      ? imageCounts(tokens, planned.prune, planned.merge, rule)
      : textCounts(tokens, planned.mergeText, rule);
  return { kind: 'static', tokens, keep: counts.keep, merge: counts.merge };
};

const removes = (counts: LaneCounts): boolean => counts.kind !== 'static' || counts.keep - counts.merge < counts.tokens;

/** What planning a lane needs besides the lane. */
export interface LanePlanning {
  readonly semantics: Semantics;
  /** Ratios are inputs of the model to be made. */
  readonly ratiosGiven: boolean;
  readonly ends: Readonly<Record<Modality, Ends>>;
  /** Lanes as they are behind the sites planned so far. */
  readonly lanes: Lanes;
  /** Lengths of shortened lanes by version, undefined where only a run can tell; planning adds to it. */
  readonly lengths: Map<string, Dim | undefined>;
}

/**
 * Undefined where the ratios remove nothing. `untold`: only a run can tell whether the site does anything.
 * Throws a CompileError where the lane is not laid out as needed.
 */
export const planLane = (
  { semantics, ratiosGiven, ends, lanes, lengths }: LanePlanning,
  { site, planned, name }: Wanted,
  lane: Modality,
  at: LaneSite,
  untold = false,
): LanePlan | undefined => {
  const product = lanes.of(at.keys.product.outputs[0] ?? '');
  const run = runOf(tokensOf(product?.[product.length - 1]), lane);
  const stream = lanes.seenBy(at.stream.seenBy.node, at.stream.value);
  const layout = streamLayout(stream, lanes.singleRow);
  const streamRun = runOf(layout && tokensOf(stream?.[layout.tokens]), lane);
  const refuse = (why: string, value?: string): never => {
    throw new CompileError(
      say.layerNotReducible(planned.layer, why, { node: at.keys.product.name, ...(value !== undefined && { value }) }),
    );
  };
  const asking = lanes.of(site.scoring.product.outputs[0] ?? '');
  if (lane === 'image' && runOf(tokensOf(asking?.[asking.length - 2]), 'text') === undefined)
    return refuse('its text queries, which score the image, are not one run of tokens');
  if (run === undefined) return refuse(`its ${lane} keys are not one run of tokens in a product of queries and keys`);
  if (at.keys.layout === undefined || dimValue(at.keys.layout.heads) === undefined)
    return refuse('which axis of its scores is the batch, and which the heads, is not proven');
  if (layout === undefined || streamRun === undefined || streamRun.version !== run.version)
    return refuse(
      `its ${lane} tokens are not proven to lie in a [batch, tokens, width] or [tokens, batch, width] value`,
      at.stream.value,
    );
  const length = lengths.has(run.version) ? lengths.get(run.version) : run.length;
  const counts = laneCounts(lane, length, planned, semantics, ends[lane], untold, ratiosGiven);
  if (!removes(counts)) return undefined;
  const after = `${name}:${lane}`;
  const left = counts.kind === 'static' ? counts.keep - counts.merge : undefined;
  lengths.set(after, left === undefined ? undefined : constDim(left));
  return {
    lane,
    site: at,
    layout,
    before: run.version,
    after,
    length,
    counts,
    protectedStart: ends[lane].start,
    protectedEnd: ends[lane].end,
  };
};
