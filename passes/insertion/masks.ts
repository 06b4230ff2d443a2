/**
 * Gives every attention behind a reduction the mask of its shortened keys: each key's exponential is weighed by its
 * token's weight (semantics.md, pumer 5 and safe 4). Additive masks become log(weight) with the model's own minimum
 * for weight 0, condition masks the same in their own form, multiplicative masks the weight itself.
 */
import type { Attention } from '../../src/analysis/attention.ts';
import type { Segment } from '../../src/analysis/labels.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { maskOf, once, plannedTokens, type Insertion } from './session.ts';
import { originalWeight } from './weights.ts';

/** Where a model has no minimum of its own. */
const defaultMinimum = -10_000;

/** Weights [B, Lk] of all keys of an attention, as they will be. */
const keyWeights = (s: Insertion, attention: Attention, tokens: readonly Segment[], number: number): ValueName => {
  const parts = tokens.map((segment, i) => {
    if (segment.version === '') return originalWeight(s, attention, attention.keyTokens, i);
    const state = s.states.get(segment.version);
    if (state === undefined || state.mask !== number)
      throw new CompileError(say.maskNotUnderstood('it masks the same tokens differently from the layer that was shortened', { node: attention.product.name }));
    return state.weight;
  });
  return once(s, `keys:${parts.join()}`, () => s.emitter('masks').concat(parts, 1));
};

/** Element type of what the mask meets: the mask's own, or for a condition (or no mask) the scores'. */
const scoreType = (s: Insertion, attention: Attention): number => {
  const { mask, biasEntry } = attention;
  const [entry] = mask?.entries ?? [];
  const met =
    mask === undefined || entry === undefined
      ? biasEntry.node.inputs[biasEntry.input]
      : mask.kind === 'where'
        ? entry.node.outputs[0]
        : entry.node.inputs[entry.input];
  return shapesOf(s.u.model).of(met ?? '')?.dataType ?? DataType.FLOAT;
};

const retyped = (e: Emitter, value: ValueName, type: number): ValueName => (type === DataType.FLOAT ? value : e.cast(value, type));

/** log(weight) [B, 1, 1, Lk] in the type of the scores, `minimum` where the weight is 0. */
const logBias = (s: Insertion, weights: ValueName, minimum: number, type: number): ValueName =>
  once(s, `bias:${weights}:${minimum}:${type}`, () => {
    const e = s.emitter('masks');
    const bias = e.op('Where', [e.op('Greater', [weights, e.float(0)]), e.op('Log', [weights]), e.float(minimum)]);
    return e.unsqueeze(retyped(e, bias, type), [1, 2]);
  });

const carryWhere = (s: Insertion, attention: Attention, weights: ValueName, type: number): void => {
  const [entry] = attention.mask?.entries ?? [];
  if (entry === undefined || attention.mask === undefined) return;
  const padded = attention.mask.paddedWhen === true;
  const condition = once(s, `condition:${weights}:${padded}`, () => {
    const e = s.emitter('masks');
    const shown = e.op('Greater', [weights, e.float(0)]);
    return e.unsqueeze(padded ? e.op('Not', [shown]) : shown, [1, 2]);
  });
  // Hidden keys are filled in behind, so their own bias only has to be finite.
  const bias = logBias(s, weights, defaultMinimum, type);
  const scores = padded ? 2 : 1;
  const e = s.emitter('masks');
  s.editor.setInput(entry.node, 0, condition);
  s.editor.setInput(entry.node, scores, e.op('Add', [s.editor.current(entry.node)?.inputs[scores] ?? '', bias]));
};

const carryMultiplicative = (s: Insertion, attention: Attention, weights: ValueName, type: number): void => {
  const e = s.emitter('masks');
  const { mask, wholeMask } = attention;
  const keys = once(s, `factor:${weights}:${type}`, () => e.unsqueeze(retyped(e, weights, type), [1, 2]));
  const safe = s.plan.semantics === 'safe';
  const shown = safe ? once(s, `shown:${weights}:${type}`, () => e.cast(e.op('Greater', [keys, retyped(e, e.float(0), type)]), type)) : keys;
  for (const { node, input } of mask?.entries ?? []) s.editor.setInput(node, input, shown);
  if (mask?.identity !== undefined) {
    // However the exporter made the identity matrix, its size may be a baked count.
    const eye = e.op('EyeLike', [e.op('ConstantOfShape', [e.slice(e.op('Shape', [attention.product.outputs[0] ?? '']), 0, 2)])]);
    s.editor.setInput(mask.identity.node, mask.identity.input, retyped(e, eye, type));
  }
  if (!safe || wholeMask === undefined) return;
  const whole = s.editor.current(wholeMask.node)?.inputs[wholeMask.input] ?? '';
  s.editor.setInput(wholeMask.node, wholeMask.input, e.op('Mul', [whole, keys]));
};

/** Rebuilds the mask of one attention if its keys will be shortened. Called once per attention, in graph order. */
export const carryMask = (s: Insertion, attention: Attention): void => {
  const tokens = plannedTokens(s, attention, 'key');
  if (!tokens.some((t) => t.version !== '')) return;
  const done = `carried:${attention.probabilities}`;
  if (s.shared.has(done)) return;
  s.shared.set(done, '');
  const mask = maskOf(s, attention);
  const type = scoreType(s, attention);
  const trivial = mask.kind === 'none' || (mask.kind === 'additive' && mask.minimum === undefined);
  const weights = keyWeights(s, attention, tokens, trivial ? -1 : mask.number);
  if (mask.kind === 'additive') {
    const bias = logBias(s, weights, mask.minimum ?? defaultMinimum, type);
    for (const { node, input } of attention.mask?.entries ?? []) s.editor.setInput(node, input, bias);
  } else if (mask.kind === 'where') carryWhere(s, attention, weights, type);
  else if (mask.kind === 'multiplicative') carryMultiplicative(s, attention, weights, type);
  else if (s.plan.semantics === 'safe') {
    // Without a mask every weight is a size of at least 1; `pumer` has nothing to say here.
    const { node, input } = attention.biasEntry;
    const scores = s.editor.current(node)?.inputs[input] ?? '';
    s.editor.setInput(node, input, s.emitter('masks').op('Add', [scores, logBias(s, weights, defaultMinimum, type)]));
  }
};
