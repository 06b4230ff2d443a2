/**
 * Gives every attention behind a reduction the mask of its shortened keys: each key's exponential is weighed by its
 * token's weight (semantics.md, pumer 5 and safe 4). Additive masks become log(weight) with the model's own minimum
 * for weight 0, condition masks the same in their own form, multiplicative masks the weight itself.
 */
import type { Attention, AttentionMask } from '../../src/analysis/attention.ts';
import type { MaskFacts } from '../../src/analysis/mask-facts.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { keyWeights } from './key-weights.ts';
import { enterTerms, sharesEntry } from './position-biases.ts';
import { maskOf, once, plannedTokens, type Insertion } from './session.ts';
import { addSizes, defaultMinimum, hiddenBias, isQuantisedBehind, logBias, retyped } from './score-bias.ts';

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
): ValueName => {
  const { scale = 1, scaleBehind = 1 } = attention.mask ?? {};
  if (!isQuantisedBehind(s, attention)) return logBias(s, weights, least * scale, type, scaleBehind);
  addSizes(s, attention, weights, 0);
  return hiddenBias(s, weights, least * scale, type);
};

const carryWhere = (
  s: Insertion,
  attention: Attention,
  mask: AttentionMask,
  weights: ValueName,
  type: number,
): void => {
  const { node } = mask.entry;
  const padded = mask.paddedWhen === true;
  const condition = once(s, `condition:${weights}:${padded}`, () => {
    const e = s.emitter('masks');
    const shown = e.op('Greater', [weights, e.float(0)]);
    return e.unsqueeze(padded ? e.op('Not', [shown]) : shown, [1, 2]);
  });
  s.editor.setInput(node, 0, condition);
  if (isQuantisedBehind(s, attention)) {
    addSizes(s, attention, weights, 0);
    return;
  }
  // Hidden keys are filled in behind, so their own bias only has to be finite.
  const bias = logBias(s, weights, defaultMinimum, type, mask.scaleBehind);
  const scores = padded ? 2 : 1;
  const e = s.emitter('masks');
  s.editor.setInput(node, scores, e.op('Add', [s.editor.current(node)?.inputs[scores] ?? '', bias]));
};

/** w + (1 - w) I, the identity matrix made for these scores. */
const withSelf = (e: Emitter, attention: Attention, w: ValueName, type: number): ValueName => {
  const size = e.slice(e.op('Shape', [attention.product.outputs[0] ?? '']), 0, 2);
  const eye = retyped(e, e.op('EyeLike', [e.op('ConstantOfShape', [size])]), type);
  return e.op('Add', [w, e.op('Mul', [e.op('Sub', [retyped(e, e.float(1), type), w]), eye])]);
};

/**
 * w, or w + (1 - w) I where the model's rows see themselves; in `safe` with w = 1 for real tokens, the whole times the
 * sizes. Built anew for these scores: layers may share the old one, and its identity matrix may have a baked size.
 */
const multiplicativeMask = (s: Insertion, attention: Attention, weights: ValueName, type: number): ValueName => {
  const e = s.emitter('masks');
  const keys = e.unsqueeze(retyped(e, weights, type), [1, 2]);
  const safe = s.plan.semantics === 'safe';
  const shown = safe ? e.cast(e.op('Greater', [e.unsqueeze(weights, [1, 2]), e.float(0)]), type) : keys;
  const mask = attention.mask?.seesSelf === true ? withSelf(e, attention, shown, type) : shown;
  return safe ? e.op('Mul', [mask, keys]) : mask;
};

/** eps / N anew: where the scores are small it decides, and the model may have its N from anywhere. */
const carryFloor = (s: Insertion, attention: Attention): void => {
  const floor = attention.mask?.floor;
  if (floor === undefined) return;
  // Its own type: an exponential may be float32 among float16.
  const type = shapesOf(s.u.model).of(floor.node.inputs[floor.input] ?? '')?.dataType ?? DataType.FLOAT;
  const e = s.emitter('masks');
  const keys = e.squeeze(e.length(attention.product.outputs[0] ?? '', 3), [0]);
  s.editor.setInput(floor.node, floor.input, e.op('Div', [retyped(e, e.float(floor.eps), type), e.cast(keys, type)]));
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
  if (attention.rank !== 4)
    throw new CompileError(
      say.maskNotUnderstood('its scores are not [batch, heads, queries, keys]', { node: attention.product.name }),
    );
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
    mask.kind === 'additive' ? { entry, value: additiveMask(s, attention, weights, minimum, type) } : undefined,
  );
  if (mask.kind === 'where') carryWhere(s, attention, attention.mask as AttentionMask, weights, type);
  else if (mask.kind === 'multiplicative') {
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
