/**
 * What is added to attention scores on behalf of tokens' weights: log(weight) where they count for more than one,
 * the model's own minimum where they are hidden. Which attention gets what is masks.ts' business.
 */
import type { Attention } from '../../src/analysis/attention.ts';
import { dimText } from '../../src/analysis/dim.ts';
import type { ScoresLayout } from '../../src/analysis/layout.ts';
import { isQuantised } from '../../src/analysis/number-types.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { perKey, softmaxLayoutOf } from './layout.ts';
import { once, type Insertion } from './session.ts';

/** `perKey`, noted down as that. */
export const notedPerKey = (s: Insertion, e: Emitter, keys: ValueName, layout: ScoresLayout): ValueName => {
  const value = perKey(e, keys, layout);
  s.perKey.add(value);
  return value;
};

/** Where a model has no minimum of its own. */
export const defaultMinimum = -10_000;

/** A float32 value in the type of the scores. */
export const retyped = (e: Emitter, value: ValueName, type: number): ValueName =>
  type === DataType.FLOAT ? value : e.cast(value, type);

export const layoutKey = ({ heads, headsFirst, folded }: ScoresLayout): string =>
  folded ? `:${headsFirst}:${dimText(heads)}` : headsFirst ? ':first' : '';

/**
 * log(weight) laid out as the scores, in their type, one entry per key; `minimum` where the weight is 0. `scaleBehind`:
 * what it will be multiplied with on its way to the softmax.
 */
export const logBias = (
  s: Insertion,
  weights: ValueName,
  minimum: number,
  type: number,
  layout: ScoresLayout,
  scaleBehind = 1,
): ValueName =>
  once(s, `bias:${weights}:${minimum}:${type}:${scaleBehind}${layoutKey(layout)}`, () => {
    const e = s.emitter('masks');
    const log = e.op('Log', [weights]);
    const shown = Math.abs(scaleBehind - 1) < 1e-6 ? log : e.op('Div', [log, e.float(scaleBehind)]);
    const bias = e.op('Where', [e.op('Greater', [weights, e.float(0)]), shown, e.float(minimum)]);
    return notedPerKey(s, e, retyped(e, bias, type), layout);
  });

/** 0, or `minimum` where the weight is 0, laid out the same way. */
export const hiddenBias = (
  s: Insertion,
  weights: ValueName,
  minimum: number,
  type: number,
  layout: ScoresLayout,
): ValueName =>
  once(s, `hidden:${weights}:${minimum}:${type}${layoutKey(layout)}`, () => {
    const e = s.emitter('masks');
    const bias = e.op('Where', [e.op('Greater', [weights, e.float(0)]), e.float(0), e.float(minimum)]);
    return notedPerKey(s, e, retyped(e, bias, type), layout);
  });

/**
 * Whether masked scores are quantised on their way to the softmax. The steps and limits of that were chosen for the
 * model's own scores: sizes are added behind it, where nothing rounds them away or caps them.
 */
export const isQuantisedBehind = (s: Insertion, { biasEntry }: Attention): boolean =>
  isQuantised(s.u.model, biasEntry.node.inputs[biasEntry.input] ?? '');

/** Adds log(weight) to the scores right in front of the softmax; nothing for weight 0, whose keys are hidden before. */
export const addSizes = (s: Insertion, attention: Attention, weights: ValueName, hidden: number): void => {
  const { node, input } = attention.biasEntry;
  const type = shapesOf(s.u.model).of(node.inputs[input] ?? '')?.dataType ?? DataType.FLOAT;
  const scores = s.editor.current(node)?.inputs[input] ?? '';
  s.editor.setInput(
    node,
    input,
    s.emitter('masks').op('Add', [scores, logBias(s, weights, hidden, type, softmaxLayoutOf(attention))]),
  );
};
