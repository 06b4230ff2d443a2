/**
 * How many tokens one lane keeps and merges at a site, and which it protects, as values for a TokenReduce call: constants
 * where lengths and ratios are fixed, else the arithmetic of counts.ts in the graph.
 */
import type { Segment } from '../../src/analysis/labels.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { int64Tensor } from '../../src/graph/tensors.ts';
import { emitImageCounts, emitTextCounts, type GraphRatio } from '../../src/reduction/counts.ts';
import type { SiteRatios } from '../../src/reduction/plan.ts';
import { ratioInput, type LanePlan, type SitePlan } from '../../src/reduction/site-plan.ts';
import { lengthOf, once, plannedTokens, sizeValue, type Insertion, type Size } from './session.ts';

export const protectedPositions = (e: Emitter, plan: LanePlan, length: Size): ValueName => {
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

export interface GraphCounts {
  readonly keep: ValueName;
  readonly merge: ValueName;
  /** The image lane's round(p n), where only a run can tell it. */
  readonly prune?: ValueName;
}

/** bool [1]: behind this site the lane still has all the tokens it was born with. */
export const stillWhole = (s: Insertion, plan: LanePlan, layer: number, left: Size): ValueName => {
  const run = plannedTokens(s, plan.site.keys, 'key').find((t) => t.lane === plan.lane) as Segment;
  const e = s.vouched(`layer_${layer}/${plan.lane}/whole`);
  return e.op('Equal', [sizeValue(e, left), sizeValue(e, lengthOf(s, { ...run, version: '' }))]);
};

/** A ratio that is given when the model runs. Sites of one layer share it. */
const givenRatio = (s: Insertion, layer: number, which: keyof SiteRatios): GraphRatio => {
  const name = ratioInput(layer, which);
  return {
    given: once(s, name, () => {
      s.editor.addInput({ name, type: { dataType: DataType.INT64, dims: [1] } });
      return name;
    }),
  };
};

export const countsOf = (
  s: Insertion,
  e: Emitter,
  site: SitePlan,
  plan: LanePlan,
  length: Size,
  imagePrune: ValueName | undefined,
): GraphCounts => {
  const { counts } = plan;
  // In `pumer` an image lane that turns out to lose nothing keeps the text whole too (rule 6).
  if (counts.kind === 'static' && imagePrune === undefined)
    return { keep: e.int64s([counts.keep]), merge: e.int64s([counts.merge]) };
  const rule = { semantics: s.plan.semantics, protectedCount: plan.protectedStart + plan.protectedEnd };
  const isGiven = counts.kind === 'given';
  // Lengths meet an input here, which the proof would take for data.
  const to = isGiven ? s.vouched(`layer_${site.layer}/${plan.lane}/counts`) : e;
  const ratio = (which: keyof SiteRatios): GraphRatio =>
    isGiven ? givenRatio(s, site.layer, which) : site.ratios[which];
  const n = sizeValue(to, length);
  return plan.lane === 'image'
    ? emitImageCounts(to, n, ratio('prune'), ratio('merge'), rule)
    : emitTextCounts(to, n, ratio('mergeText'), rule, imagePrune);
};
