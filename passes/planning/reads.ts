/**
 * Which token positions are read behind the wanted sites, and what follows from it: tokens to protect at either end
 * of a lane, a text lane that has to keep its length, or a refusal.
 */
import { dimValue } from '../../src/analysis/dim.ts';
import { shortenedReads, type LaneRead } from '../../src/analysis/lane-reads.ts';
import { lanesAfter, type Shortening } from '../../src/analysis/lanes.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import type { LaneSite, ReductionSite } from '../../src/analysis/sites.ts';
import type { Understanding } from '../../src/analysis/understanding.ts';
import { CompileError, type Report } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { Modality, PlannedSite, Semantics } from '../../src/reduction/plan.ts';

/** A site as planned, with the name its shortened lanes will go by. */
export interface Wanted {
  readonly site: ReductionSite;
  readonly planned: PlannedSite;
  readonly name: string;
}

/** Tokens at the two ends of a lane that are read by position. */
export interface Ends {
  readonly start: number;
  readonly end: number;
}

/** More protected tokens than this at one end of a lane are refused: the lane would hardly be shortened. */
const protectedLimit = 16;

/** In `pumer` a site that prunes nothing does nothing at all (rule 6). */
export const asksForImage = ({ prune, merge }: PlannedSite, semantics: Semantics): boolean =>
  semantics === 'pumer' ? prune > 0 : prune + merge > 0;

/** Everything that reads the lanes by position if all wanted sites shorten what they are asked to. */
const readsOf = (
  u: Understanding,
  wanted: readonly Wanted[],
  semantics: Semantics,
  textToo: boolean,
): readonly LaneRead[] => {
  const shortenings = wanted.flatMap(({ site, planned, name }): Shortening[] => {
    const lanes: [Modality, LaneSite][] = asksForImage(planned, semantics) ? [['image', site.image]] : [];
    if (textToo && planned.mergeText > 0 && !('why' in site.text)) lanes.push(['text', site.text]);
    return lanes.flatMap(([lane, { stream }]) =>
      stream.uses.map(({ node, input }) => ({ node, input, lane, version: `${name}:${lane}` })),
    );
  });
  return shortenedReads(u.model, lanesAfter(u.model, u.hints, shortenings), (v) => shapesOf(u.model).of(v)?.dims);
};

const refuseRead = (read: LaneRead, reason: string): never => {
  const { event } = read;
  const lane = read.tokens.find((s) => s.version !== '')?.lane ?? 'shortened';
  throw new CompileError(
    say.readNotAllowed(lane, reason, { node: event.node.name, axis: event.axis, value: event.value }),
  );
};

/** In `pumer` nothing is protected: position 0 stays position 0, any other read of a shortened lane is refused (rule 7). */
export const refuseOtherThanFirst = (reads: readonly LaneRead[]): void => {
  for (const read of reads)
    if (read.kind === 'position' && read.at.offset !== 0 && read.tokens[read.at.segment]?.version !== '')
      refuseRead(
        read,
        `position ${read.at.offset} of a lane shortened with --semantics pumer; only position 0 stays meaningful`,
      );
};

/** How many tokens at either end of a lane are read; refuses reads nobody can follow. */
const protectedEnds = (reads: readonly LaneRead[], lane: Modality, semantics: Semantics): Ends => {
  if (semantics === 'pumer') return { start: 0, end: 0 };
  let start = 0;
  let end = 0;
  for (const read of reads) {
    if (read.kind === 'unknown') refuseRead(read, read.event.reason);
    if (read.kind !== 'position') continue;
    const segment = read.tokens[read.at.segment];
    if (segment?.lane !== lane || segment.version === '') continue;
    const { offset } = read.at;
    const size = dimValue(segment.length);
    const fromEnd = offset < 0 ? -offset : size === undefined ? Infinity : size - offset;
    if (offset >= 0 && offset < fromEnd) start = Math.max(start, offset + 1);
    else end = Math.max(end, fromEnd);
    if (Math.max(start, end) > protectedLimit)
      refuseRead(read, `position ${offset}, too far from either end of the lane to be protected`);
  }
  return { start, end };
};

export interface ReadFindings {
  /** Whether the text may be merged at all. */
  readonly mergesText: boolean;
  readonly ends: Readonly<Record<Modality, Ends>>;
}

/** Throws a CompileError where a read cannot be followed, or explicit text merging meets one that fixes the text. */
export const findReads = (
  u: Understanding,
  wanted: readonly Wanted[],
  semantics: Semantics,
  textExplicit: boolean,
  report: Report,
): ReadFindings => {
  const textWanted = wanted.some(({ planned }) => planned.mergeText > 0);
  const first = readsOf(u, wanted, semantics, textWanted);
  const fixed = textWanted ? first.find((r) => r.kind === 'text-data') : undefined;
  if (fixed?.kind === 'text-data') {
    const why = `node "${fixed.event.node.name}" reads them at positions computed from "${fixed.index}"`;
    if (textExplicit) throw new CompileError(say.textMergeRefused(why));
    report.diagnostics.push(say.textLaneFixed(fixed.index, fixed.event.node.name));
  }
  const mergesText = textWanted && fixed === undefined;
  const reads = mergesText || !textWanted ? first : readsOf(u, wanted, semantics, false);
  const image = protectedEnds(reads, 'image', semantics);
  return {
    mergesText,
    ends: { image, text: mergesText ? protectedEnds(reads, 'text', semantics) : { start: 0, end: 0 } },
  };
};
