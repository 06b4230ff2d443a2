/**
 * Writes one site: cuts the lanes out of their stream, one TokenReduce call a lane, puts the stream together again
 * and hands it to its readers.
 */
import { tokensOf, type Segment } from '../../src/analysis/labels.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { invariant } from '../../src/support/assert.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { floatTensor, int64Tensor, stringAttr } from '../../src/graph/tensors.ts';
import { emitImageCounts, emitTextCounts } from '../../src/reduction/counts.ts';
import { TOKEN_REDUCE } from '../../src/reduction/token-reduce/contract.ts';
import { tokenReduceInputList } from '../../src/reduction/token-reduce/body.ts';
import type { LanePlan, SitePlan } from '../../src/reduction/site-plan.ts';
import { carryMasks } from './masks.ts';
import { saliencyRows, type SaliencySource } from './saliency.ts';
import { cutSegment, lengthOf, maskOf, plannedTokens, sizeValue, type Insertion, type LaneState, type Size } from './session.ts';
import { originalWeight } from './weights.ts';

/** The stream as this site sees it: an earlier site may already feed the use it is seen through. */
const streamValue = (s: Insertion, plan: LanePlan): ValueName => {
  const { node, input } = plan.site.stream.seenBy;
  return (s.editor.current(node) ?? node).inputs[input] ?? plan.site.stream.value;
};

const weightOf = (s: Insertion, tokens: readonly Segment[], index: number, attention: LanePlan['site']['keys']): { weight: ValueName; mask: number; targets: readonly ValueName[] } => {
  const segment = tokens[index] as Segment;
  const state = s.states.get(segment.version);
  if (segment.version !== '' && state !== undefined) return state;
  return { weight: originalWeight(s, attention, attention.keyTokens, index), mask: maskOf(s, attention).number, targets: [] };
};

/** Weights of the text rows that score: from the scoring attention itself, or from one that has text keys. */
const rowWeights = (s: Insertion, site: SitePlan): ValueName => {
  const rows = plannedTokens(s, site.scoring, 'query');
  const text = rows.find((t) => t.lane === 'text') as Segment;
  if (text.version !== '') return (s.states.get(text.version) as LaneState).weight;
  // A cross-attention has no text keys: the text layer's own attention, or the last one before, knows the mask.
  const before = s.u.attentions.slice(0, s.u.attentions.indexOf(site.scoring) + 1).reverse();
  const candidates = [site.scoring, ...site.lanes.filter((l) => l.lane === 'text').map((l) => l.site.keys), ...before];
  const hasText = candidates.find((a) => a.keyTokens.some((t) => t.lane === 'text')) ?? site.scoring;
  const index = hasText.keyTokens.findIndex((t) => t.lane === 'text');
  invariant(index >= 0, 'no attention has text keys');
  return originalWeight(s, hasText, hasText.keyTokens, index);
};

/** Keys averaged over heads, float32 [B, n, d], from keys [B, H, d, Lk]. */
const metricOf = (s: Insertion, e: Emitter, plan: LanePlan, tokens: readonly Segment[], index: number): ValueName => {
  const key = plan.site.keys.key;
  const type = shapesOf(s.u.model).of(key)?.dataType;
  const single = type === DataType.FLOAT ? key : e.cast(key, DataType.FLOAT);
  const mean = e.reduce('ReduceMean', single, [1], false);
  return e.transpose(cutSegment(s, e, mean, 2, tokens, index), [0, 2, 1]);
};

const protectedPositions = (e: Emitter, plan: LanePlan, length: Size): ValueName => {
  const first = Array.from({ length: plan.protectedStart }, (_, i) => i);
  const last = Array.from({ length: plan.protectedEnd }, (_, i) => plan.protectedEnd - i);
  if (typeof length === 'number') {
    const positions = [...first, ...last.map((back) => length - back)];
    return e.constant(int64Tensor([positions.length], positions));
  }
  if (last.length === 0) return e.constant(int64Tensor([first.length], first));
  const fromEnd = e.op('Sub', [length, e.int64s(last)]);
  return first.length === 0 ? fromEnd : e.concat([e.int64s(first), fromEnd], 0);
};

interface GraphCounts {
  readonly keep: ValueName;
  readonly merge: ValueName;
  /** The image lane's round(p n), where only a run can tell it. */
  readonly prune?: ValueName;
}

const countsOf = (s: Insertion, e: Emitter, site: SitePlan, plan: LanePlan, length: Size, imagePrune: ValueName | undefined): GraphCounts => {
  // In `pumer` an image lane that turns out to lose nothing keeps the text whole too (rule 6).
  if (plan.counts.kind === 'static' && imagePrune === undefined) return { keep: e.int64s([plan.counts.keep]), merge: e.int64s([plan.counts.merge]) };
  const rule = { semantics: s.plan.semantics, protectedCount: plan.protectedStart + plan.protectedEnd };
  const n = sizeValue(e, length);
  return plan.lane === 'image'
    ? emitImageCounts(e, n, site.ratios.prune, site.ratios.merge, rule)
    : emitTextCounts(e, n, site.ratios.mergeText, rule, imagePrune);
};

/** One call; returns the shortened tokens and records the lane's new state. */
const reduceLane = (s: Insertion, e: Emitter, site: SitePlan, plan: LanePlan, stream: ValueName, layout: readonly Segment[], rows: ValueName | undefined, rowWeight: ValueName, imagePrune: ValueName | undefined): { tokens: ValueName; prune?: ValueName } => {
  const index = layout.findIndex((t) => t.lane === plan.lane);
  const keyTokens = plannedTokens(s, plan.site.keys, 'key');
  const keyIndex = keyTokens.findIndex((t) => t.lane === plan.lane);
  const length = lengthOf(s, keyTokens[keyIndex] as Segment);
  const { weight, mask, targets } = weightOf(s, keyTokens, keyIndex, plan.site.keys);
  const { keep, merge, prune } = countsOf(s, e, site, plan, length, imagePrune);
  const inputs = tokenReduceInputList({
    tokens: cutSegment(s, e, stream, 1, layout, index),
    attention: rows ?? e.constant(floatTensor([1, 1, 1, 1], [0])),
    rowWeight: rows === undefined ? e.constant(floatTensor([1, 1], [1])) : rowWeight,
    metric: metricOf(s, e, plan, keyTokens, keyIndex),
    weight,
    protected: protectedPositions(e, plan, length),
    keep,
    merge,
  });
  const prefix = `pumer/layer_${site.layer}/${plan.lane}`;
  const outputs = ['tokens', 'weight', 'target'].map((part) => s.editor.fresh(`${prefix}/${part}`)) as [string, string, string];
  s.editor.add({
    name: s.editor.fresh(`${prefix}/TokenReduce`),
    op: TOKEN_REDUCE.name,
    domain: TOKEN_REDUCE.domain,
    inputs,
    outputs,
    attrs: { semantics: stringAttr(s.plan.semantics) },
    captures: [],
  });
  const [tokens, weightOut, target] = outputs;
  const left = plan.counts.kind === 'static' ? plan.counts.keep - plan.counts.merge : s.emitter('lengths').length(weightOut, 1);
  s.states.set(plan.after, { length: left, weight: weightOut, mask, targets: [...targets, target] });
  return { tokens, ...(prune !== undefined && { prune }) };
};

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
    const layout = (tokensOf(labels?.[1]) ?? []).map((t) => (t.lane === plan.lane ? { ...t, version: plan.before } : t));
    const known = streams.get(stream) ?? { layout, parts: new Map<number, ValueName>(), plan };
    const entering = known.layout.map((t) => (t.lane === plan.lane ? { ...t, version: plan.before } : t));
    const scored = plan.lane === 'image' ? saliencyRows(s, e, source, site.layer, site.scoring, rows, columns) : undefined;
    const shorter = reduceLane(s, e, site, plan, stream, entering, scored, rowWeights(s, site), imagePrune);
    imagePrune ??= shorter.prune;
    known.parts.set(entering.findIndex((t) => t.lane === plan.lane), shorter.tokens);
    streams.set(stream, { ...known, layout: entering });
  }
  for (const [stream, { layout, parts, plan }] of streams) {
    const whole = e.concat(layout.map((_, i) => parts.get(i) ?? cutSegment(s, e, stream, 1, layout, i)), 1);
    for (const { node, input } of plan.site.stream.uses) if (input >= 0) s.editor.setInput(node, input, whole);
  }
};

