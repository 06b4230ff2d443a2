/**
 * Gives every attention behind a reduction the mask of its shortened keys: each key's exponential is weighed by its
 * token's weight (semantics.md, pumer 5 and safe 4). Additive masks become log(weight) with the model's own minimum
 * for weight 0, condition masks the same in their own form, multiplicative masks the weight itself.
 */
import type { Attention, AttentionMask } from '../../src/analysis/attention.ts';
import { isStandard, type ScoresLayout } from '../../src/analysis/layout.ts';
import type { MaskFacts } from '../../src/analysis/mask-facts.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { keyWeights } from './key-weights.ts';
import { entryLayoutOf } from './layout.ts';
import { carryFloor, multiplicativeMask, withSelf } from './multiplicative-mask.ts';
import { enterTerms, sharesEntry } from './position-biases.ts';
import { maskOf, once, plannedTokens, type Insertion } from './session.ts';
import {
  addSizes,
  defaultMinimum,
  hiddenBias,
  isQuantisedBehind,
  layoutKey,
  logBias,
  notedPerKey,
} from './score-bias.ts';

/** Element type of what the mask meets: the mask's own, or for a condition (or no mask) the scores'. */
const scoreType = (s: Insertion, attention: Attention): number => {
  const { mask, biasEntry } = attention;
  const entry = mask?.entry ?? biasEntry;
  const met = mask?.kind === 'where' ? entry.node.outputs[0] : entry.node.inputs[entry.input];
  return shapesOf(s.u.model).of(met ?? '')?.dataType ?? DataType.FLOAT;
};

/** What enters instead of an additive mask; sizes come right before the softmax where scores are quantised on the way. */
const additiveMask = (
  s: Insertion,
  attention: Attention,
  weights: ValueName,
  least: number,
  type: number,
  layout: ScoresLayout,
): ValueName => {
  const { scale = 1, scaleBehind = 1 } = attention.mask ?? {};
  if (!isQuantisedBehind(s, attention)) return logBias(s, weights, least * scale, type, layout, scaleBehind);
  addSizes(s, attention, weights, 0);
  return hiddenBias(s, weights, least * scale, type, layout);
};

const carryWhere = (
  s: Insertion,
  attention: Attention,
  mask: AttentionMask,
  weights: ValueName,
  type: number,
  layout: ScoresLayout,
): void => {
  const { node } = mask.entry;
  const padded = mask.paddedWhen === true;
  const condition = once(s, `condition:${weights}:${padded}${layoutKey(layout)}`, () => {
    const e = s.emitter('masks');
    const shown = e.op('Greater', [weights, e.float(0)]);
    return notedPerKey(s, e, padded ? e.op('Not', [shown]) : shown, layout);
  });
  s.editor.setInput(node, 0, condition);
  if (isQuantisedBehind(s, attention)) {
    addSizes(s, attention, weights, 0);
    return;
  }
  // Hidden keys are filled in behind, so their own bias only has to be finite.
  const bias = logBias(s, weights, defaultMinimum, type, layout, mask.scaleBehind);
  const scores = padded ? 2 : 1;
  const e = s.emitter('masks');
  s.editor.setInput(node, scores, e.op('Add', [s.editor.current(node)?.inputs[scores] ?? '', bias]));
};

/**
 * What enters instead of a mask over keys that keep their length, for queries that do not: of rows [.., Lq, Lk] one
 * serves all. Undefined where the mask stays as it is.
 */
const carriedQueries = (s: Insertion, attention: Attention, { manyRows }: MaskFacts): AttentionMask | undefined => {
  const { mask } = attention;
  if (mask === undefined) return undefined;
  const e = s.emitter('masks');
  if (mask.seesSelf === true) return { ...mask, value: withSelf(e, attention, mask.value, scoreType(s, attention)) };
  if (!manyRows) return attention.biases?.some((b) => sharesEntry(b.entry, mask.entry)) === true ? mask : undefined;
  const rank = shapesOf(s.u.model).of(mask.value)?.dims?.length ?? 4;
  return { ...mask, value: e.slice(mask.value, rank - 2, 0, 1) };
};

/** Rebuilds the mask of one attention if its keys or queries will be shortened. */
const carryMask = (s: Insertion, attention: Attention): void => {
  const keys = plannedTokens(s, attention, 'key');
  const queries = plannedTokens(s, attention, 'query');
  const versions = [...keys, ...queries].map((t) => t.version).filter((v) => v !== '');
  const done = `carried:${attention.probabilities}`;
  if (versions.length === 0 || s.shared.has(done) || versions.some((v) => !s.states.has(v))) return;
  s.shared.set(done, '');
  const layout = entryLayoutOf(attention);
  const mask = maskOf(s, attention);
  if (!keys.some((t) => t.version !== '')) {
    enterTerms(
      s,
      attention,
      carriedQueries(s, attention, mask),
      shapesOf(s.u.model).of(attention.mask?.value ?? '')?.dataType,
    );
    return;
  }
  const type = scoreType(s, attention);
  const weights = keyWeights(s, attention, keys, mask.number);
  const entry = attention.mask?.entry ?? attention.biasEntry;
  const minimum = mask.minimum ?? defaultMinimum;
  enterTerms(
    s,
    attention,
    mask.kind === 'additive' ? { entry, value: additiveMask(s, attention, weights, minimum, type, layout) } : undefined,
  );
  if (mask.kind === 'where') carryWhere(s, attention, attention.mask as AttentionMask, weights, type, layout);
  else if (mask.kind === 'multiplicative') {
    if (!isStandard(layout))
      throw new CompileError(
        say.maskNotUnderstood('it multiplies exponentials that are not [batch, heads, queries, keys]', {
          node: attention.product.name,
        }),
      );
    s.editor.setInput(entry.node, entry.input, multiplicativeMask(s, attention, weights, type));
    carryFloor(s, attention);
  } else if (mask.kind === 'none' && s.plan.semantics === 'safe') {
    // Without a mask every weight is a size of at least 1; `pumer` has nothing to say here.
    addSizes(s, attention, weights, defaultMinimum);
  }
};

/** Masks of all attentions whose shortened lanes exist by now, in graph order. */
export const carryMasks = (s: Insertion): void => {
  for (const attention of s.u.attentions) carryMask(s, attention);
};
