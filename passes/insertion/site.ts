/**
 * Writes one site: cuts the lanes out of their stream, one TokenReduce call a lane, puts the stream together again
 * and hands it to its readers.
 */
import { valuesAfter } from '../../src/analysis/dependencies.ts';
import { tokensOf, type Segment } from '../../src/analysis/labels.ts';
import type { ValueName } from '../../src/graph/model.ts';
import type { LanePlan, SitePlan } from '../../src/reduction/site-plan.ts';
import { reduceLane } from './lane.ts';
import { fromBatchFirst } from './layout.ts';
import { carryMasks } from './masks.ts';
import { looksOf, type SaliencySource } from './saliency.ts';
import { cutSegment, plannedTokens, type Insertion, type LaneState } from './session.ts';
import { allOnes, originalWeight } from './weights.ts';

/** The stream as this site sees it: an earlier site may already feed the use it is seen through. */
const streamValue = (s: Insertion, plan: LanePlan): ValueName => {
  const { node, input } = plan.site.stream.seenBy;
  return (s.editor.current(node) ?? node).inputs[input] ?? plan.site.stream.value;
};

/** Weights of the text rows that score: from the scoring attention itself, or from one that has text keys. */
const rowWeights = (s: Insertion, site: SitePlan): ValueName => {
  const rows = plannedTokens(s, site.scoring, 'query');
  const text = rows.find((t) => t.lane === 'text') as Segment;
  if (text.version !== '') return (s.states.get(text.version) as LaneState).weight;
  // A cross-attention has no text keys: the text layer's own attention, or the last one before, knows the mask.
  const { attentions } = s.u;
  const at = attentions.indexOf(site.scoring);
  const ahead = valuesAfter(s.u.model, [site.scoring.context]);
  // Or one behind, if its mask does not come from there.
  const behind = attentions.slice(at + 1).filter((a) => a.mask === undefined || !ahead.has(a.mask.value));
  const candidates = [
    site.scoring,
    ...site.lanes.filter((l) => l.lane === 'text').map((l) => l.site.keys),
    ...attentions.slice(0, at).reverse(),
    ...behind,
  ];
  const hasText = candidates.find((a) => a.keyTokens.some((t) => t.lane === 'text'));
  const index = hasText?.keyTokens.findIndex((t) => t.lane === 'text') ?? -1;
  // Where nothing attends to text, nothing hides any of it.
  if (hasText === undefined) return allOnes(s, site.scoring, text);
  return originalWeight(s, hasText, hasText.keyTokens, index, { rows: site.scoring });
};

/**
 * Whether saliency decides anything about a lane. In `safe`, which keeps the original order, it does only where tokens
 * are pruned; protected ones stand at the ends, so with all kept nobody else is left out. `pumer` orders by it.
 */
const isRanked = (s: Insertion, site: SitePlan, { lane }: LanePlan): boolean =>
  lane === 'image' && (s.plan.semantics === 'pumer' || site.ratios.prune > 0);

/** Writes all lanes of one site. Lanes that share a stream are put back in the stream's order. */
export const insertSite = (s: Insertion, site: SitePlan, source: SaliencySource): void => {
  const e = s.emitter(`layer_${site.layer}`);
  carryMasks(s);
  const rows = plannedTokens(s, site.scoring, 'query');
  const columns = plannedTokens(s, site.scoring, 'key');
  let imagePrune: ValueName | undefined;
  const streams = new Map<ValueName, { layout: readonly Segment[]; parts: Map<number, ValueName>; plan: LanePlan }>();
  for (const plan of site.lanes) {
    const stream = streamValue(s, plan);
    const labels = s.plan.lanes.of(plan.site.stream.value);
    const layout = (tokensOf(labels?.[plan.layout.tokens]) ?? []).map((t) =>
      t.lane === plan.lane ? { ...t, version: plan.before } : t,
    );
    const known = streams.get(stream) ?? { layout, parts: new Map<number, ValueName>(), plan };
    const entering = known.layout.map((t) => (t.lane === plan.lane ? { ...t, version: plan.before } : t));
    // A control has scores of its own.
    const isScored = s.control === undefined && isRanked(s, site, plan);
    const scored = isScored ? looksOf(s, e, source, site.layer, site.scoring, rows, columns) : undefined;
    const shorter = reduceLane(s, e, site, plan, stream, entering, scored, rowWeights(s, site), imagePrune);
    imagePrune ??= shorter.prune;
    known.parts.set(
      entering.findIndex((t) => t.lane === plan.lane),
      fromBatchFirst(e, shorter.tokens, plan.layout),
    );
    streams.set(stream, { ...known, layout: entering });
  }
  for (const [stream, { layout, parts, plan }] of streams) {
    const whole = e.concat(
      layout.map((_, i) => parts.get(i) ?? cutSegment(s, e, stream, plan.layout.tokens, layout, i)),
      plan.layout.tokens,
    );
    for (const { node, input } of plan.site.stream.uses) if (input >= 0) s.editor.setInput(node, input, whole);
  }
};
