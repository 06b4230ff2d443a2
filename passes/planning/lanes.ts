/**
 * Plans one lane at one site: checks that its tokens lie where insertion can cut them, and counts them.
 */
import { startsWithBatch } from '../../src/analysis/batch-axis.ts';
import { constDim, dimValue, sameDim, type Dim } from '../../src/analysis/dim.ts';
import { axisDim, tokensOf, type Segment } from '../../src/analysis/labels.ts';
import type { Lanes } from '../../src/analysis/lanes.ts';
import type { LaneSite } from '../../src/analysis/sites.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { Model } from '../../src/graph/model.ts';
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
): LaneCounts => {
  const tokens = length && dimValue(length);
  if (tokens === undefined || untold) return { kind: 'runtime' };
  const rule = { semantics, protectedCount: ends.start + ends.end };
  const counts =
    lane === 'image'
      ? imageCounts(tokens, planned.prune, planned.merge, rule)
      : textCounts(tokens, planned.mergeText, rule);
  return { kind: 'static', tokens, keep: counts.keep, merge: counts.merge };
};

const removes = (counts: LaneCounts): boolean =>
  counts.kind === 'runtime' || counts.keep - counts.merge < counts.tokens;

/** What planning a lane needs besides the lane. */
export interface LanePlanning {
  readonly model: Model;
  readonly semantics: Semantics;
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
  { model, semantics, ends, lanes, lengths }: LanePlanning,
  { site, planned, name }: Wanted,
  lane: Modality,
  at: LaneSite,
  untold = false,
): LanePlan | undefined => {
  const product = lanes.of(at.keys.product.outputs[0] ?? '');
  const run = runOf(tokensOf(product?.[product.length - 1]), lane);
  const stream = lanes.seenBy(at.stream.seenBy.node, at.stream.value);
  const streamRun = runOf(tokensOf(stream?.[1]), lane);
  const place = { node: at.keys.product.name };
  const asking = lanes.of(site.scoring.product.outputs[0] ?? '');
  if (lane === 'image' && runOf(tokensOf(asking?.[asking.length - 2]), 'text') === undefined)
    throw new CompileError(
      say.layerNotReducible(planned.layer, 'its text queries, which score the image, are not one run of tokens', place),
    );
  if (run === undefined || product?.length !== 4)
    throw new CompileError(
      say.layerNotReducible(
        planned.layer,
        `its ${lane} keys are not one run of tokens in a [batch, heads, queries, keys] product`,
        place,
      ),
    );
  const [scores, heads, rows] = [product[0], product[1], stream?.[0]].map((axis) => axis && axisDim(axis));
  const sizesTell = scores !== undefined && heads !== undefined && (dimValue(scores) === 1 || !sameDim(scores, heads));
  if (
    scores === undefined ||
    rows === undefined ||
    !sameDim(scores, rows) ||
    !(sizesTell || startsWithBatch(model, at.keys.key))
  )
    throw new CompileError(
      say.layerNotReducible(planned.layer, 'the first axis of its scores is not the batch', place),
    );
  if (streamRun === undefined || streamRun.version !== run.version || stream?.length !== 3)
    throw new CompileError(
      say.layerNotReducible(planned.layer, `its ${lane} tokens are not on axis 1 of a [batch, tokens, width] value`, {
        ...place,
        value: at.stream.value,
      }),
    );
  const length = lengths.has(run.version) ? lengths.get(run.version) : run.length;
  const counts = laneCounts(lane, length, planned, semantics, ends[lane], untold);
  if (!removes(counts)) return undefined;
  const after = `${name}:${lane}`;
  const left = counts.kind === 'static' ? counts.keep - counts.merge : undefined;
  lengths.set(after, left === undefined ? undefined : constDim(left));
  return {
    lane,
    site: at,
    before: run.version,
    after,
    length,
    counts,
    protectedStart: ends[lane].start,
    protectedEnd: ends[lane].end,
  };
};
