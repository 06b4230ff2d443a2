/**
 * Writes one TokenReduce call: its metric, protected positions, counts and weights; records the lane's new state.
 */
import { axisDim, type Segment } from '../../src/analysis/labels.ts';
import { hidesNothing } from '../../src/analysis/mask-facts.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { floatTensor, stringAttr } from '../../src/graph/tensors.ts';
import type { LanePlan, SitePlan } from '../../src/reduction/site-plan.ts';
import {
  TOKEN_REDUCE,
  tokenReduceInputList,
  tokenReduceName,
  type Looks,
} from '../../src/reduction/token-reduce/contract.ts';
import { invariant } from '../../src/support/assert.ts';
import { countsOf, protectedPositions, stillWhole } from './lane-counts.ts';
import { batchFirst, headsApart, layoutOf } from './layout.ts';
import { cutSegment, lengthOf, maskOf, plannedTokens, type Insertion, type Step } from './session.ts';
import { originalWeight } from './weights.ts';

/** `prune`: an image lane's round(p n), where only a run can tell it. */
const weightOf = (
  s: Insertion,
  e: Emitter,
  tokens: readonly Segment[],
  index: number,
  attention: LanePlan['site']['keys'],
  prune: ValueName | undefined,
): { weight: ValueName; mask: number; steps: readonly Step[] } => {
  const segment = tokens[index] as Segment;
  const mayIdle = s.plan.semantics === 'pumer' && prune !== undefined;
  const state = s.states.get(segment.version);
  const { mask, steps } =
    segment.version !== '' && state !== undefined ? state : { mask: maskOf(s, attention).number, steps: [] };
  const own = state?.weight ?? originalWeight(s, attention, attention.keyTokens, index, { maskedImage: mayIdle });
  if (!mayIdle || mask === hidesNothing) return { weight: own, mask, steps };
  // The image mask becomes all ones behind a site (rule 5), unless the site does nothing (rule 6).
  const weight = e.op('Where', [e.op('Equal', [prune, e.int64(0)]), own, e.float(1)]);
  s.settled.written.add(weight);
  return { weight, mask, steps };
};

/** Keys averaged over heads, float32 [B, n, d], from the keys [.., d, Lk] of a product. */
const metricOf = (s: Insertion, e: Emitter, plan: LanePlan, tokens: readonly Segment[], index: number): ValueName => {
  const key = plan.site.keys.key;
  const type = shapesOf(s.u.model).of(key)?.dataType;
  const apart = headsApart(e, key, layoutOf(plan.site.keys));
  const single = type === DataType.FLOAT ? apart : e.cast(apart, DataType.FLOAT);
  const mean = e.reduce('ReduceMean', single, [1], false);
  return e.transpose(cutSegment(s, e, mean, 2, tokens, index), [0, 2, 1]);
};

/** One call; returns the shortened tokens and records the lane's new state. */
export const reduceLane = (
  s: Insertion,
  e: Emitter,
  site: SitePlan,
  plan: LanePlan,
  stream: ValueName,
  layout: readonly Segment[],
  looks: Looks | undefined,
  rowWeight: ValueName,
  imagePrune: ValueName | undefined,
): { tokens: ValueName; prune?: ValueName } => {
  const index = layout.findIndex((t) => t.lane === plan.lane);
  const keyTokens = plannedTokens(s, plan.site.keys, 'key');
  const keyIndex = keyTokens.findIndex((t) => t.lane === plan.lane);
  const length = lengthOf(s, keyTokens[keyIndex] as Segment);
  const { keep, merge, prune } = countsOf(s, e, site, plan, length, imagePrune);
  const { weight, mask, steps } = weightOf(s, e, keyTokens, keyIndex, plan.site.keys, prune);
  const inputs = {
    tokens: batchFirst(e, cutSegment(s, e, stream, plan.layout.tokens, layout, index), plan.layout),
    ...(looks ?? { attention: e.constant(floatTensor([1, 1, 1, 1], [0])) }),
    rowWeight: looks === undefined ? e.constant(floatTensor([1, 1], [1])) : rowWeight,
    metric: metricOf(s, e, plan, keyTokens, keyIndex),
    weight,
    protected: protectedPositions(e, plan, length),
    keep,
    merge,
  };
  const prefix = `pumer/layer_${site.layer}/${plan.lane}`;
  const outputs = ['tokens', 'weight', 'target', 'position'].map((part) => s.editor.fresh(`${prefix}/${part}`)) as [
    string,
    string,
    string,
    string,
  ];
  s.editor.add({
    name: s.editor.fresh(`${prefix}/TokenReduce`),
    op: tokenReduceName(inputs),
    domain: TOKEN_REDUCE.domain,
    inputs: tokenReduceInputList(inputs),
    outputs,
    attrs: { semantics: stringAttr(s.plan.semantics) },
    captures: [],
  });
  const [tokens, weightOut, target, position] = outputs;
  const left =
    plan.counts.kind === 'static' ? plan.counts.keep - plan.counts.merge : s.emitter('lengths').length(weightOut, 1);
  const batch = s.plan.lanes.of(plan.site.stream.value)?.[1 - plan.layout.tokens];
  invariant(batch !== undefined, 'the stream has no batch axis');
  const step: Step = { before: plan.before, batch: axisDim(batch), weight, target, position };
  const isWhole = plan.counts.kind === 'given' ? stillWhole(s, plan, site.layer, left) : undefined;
  s.states.set(plan.after, {
    length: left,
    weight: weightOut,
    mask,
    steps: [...steps, step],
    ...(isWhole !== undefined && { isWhole }),
  });
  return { tokens, ...(prune !== undefined && { prune }) };
};
