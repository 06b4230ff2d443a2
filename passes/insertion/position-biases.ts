/**
 * Position biases of shortened tokens: what the model says of a query and a key is said of the original tokens at
 * whose places they stand (a merged token: its destination's), so rows and columns are gathered by original positions,
 * row of the batch by row (semantics.md, Position biases). Each bias is gathered once for all attentions over the same
 * tokens, from the original. That it is a bias at all is proven before (pair-biases.ts).
 */
import type { AddedBias, Attention, Entry } from '../../src/analysis/attention.ts';
import { dimValue } from '../../src/analysis/dim.ts';
import { anyShortened } from '../../src/analysis/labels.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { intAttr } from '../../src/graph/tensors.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { onAxis } from './original-positions.ts';
import { lengthOf, once, plannedTokens, sizeValue, sumSizes, type Insertion } from './session.ts';

/** Where the pairs of each row of the batch begin, int64 [B, 1, 1]. */
const firstPairs = (s: Insertion, e: Emitter, bias: ValueName, pairs: ValueName): ValueName =>
  once(s, `first pairs:${bias}`, () => {
    const batch = e.length(bias, 0);
    const inEach = e.op('Div', [e.length(pairs, 0), batch]);
    const numbers = e.op('Range', [e.int64(0), e.squeeze(batch, [0]), e.int64(1)]);
    return e.unsqueeze(e.op('Mul', [numbers, inEach]), [1, 2]);
  });

/** [B, H or 1, Lq or 1, Lk] for the tokens left, from [B or 1, H or 1, Lq or 1, Lk], perhaps without leading axes. */
const gathered = (s: Insertion, attention: Attention, bias: ValueName): ValueName => {
  const queries = plannedTokens(s, attention, 'query');
  const keys = plannedTokens(s, attention, 'key');
  const tokens = [...queries, '/', ...keys].map((t) => (typeof t === 'string' ? t : `${t.lane}${t.version}`)).join();
  return once(s, `bias:${bias}:${tokens}`, () => {
    const e = s.emitter('biases');
    const dims = shapesOf(s.u.model).of(bias)?.dims ?? [];
    const size = (back: number): number | undefined => {
      const dim = dims[dims.length - back];
      return dim === undefined ? 1 : dimValue(dim);
    };
    const column = e.unsqueeze(onAxis(s, e, keys, attention.keyTokens), [1]);
    const stride = sumSizes(
      s,
      attention.keyTokens.map((t) => lengthOf(s, t)),
    );
    const rows =
      size(2) === 1
        ? column
        : e.op('Add', [
            e.unsqueeze(e.op('Mul', [onAxis(s, e, queries, attention.queryTokens), sizeValue(e, stride)]), [2]),
            column,
          ]);
    // All numbers of a pair side by side, one pair a row, whatever the batch.
    const heads = size(3) ?? 1;
    const pairs = once(s, `pairs:${bias}`, () => {
      const missing = Array.from({ length: 4 - dims.length }, (_, i) => i);
      const whole = missing.length === 0 ? bias : e.unsqueeze(bias, missing);
      return e.op('Reshape', [heads === 1 ? whole : e.transpose(whole, [0, 2, 3, 1]), e.int64s([-1, heads])]);
    });
    const index = size(4) === 1 ? rows : e.op('Add', [rows, firstPairs(s, e, bias, pairs)]);
    const found = e.op('Gather', [pairs, index], { axis: intAttr(0) });
    const value = e.transpose(found, [0, 3, 1, 2]);
    if (size(2) !== 1) s.perQuery.add(value);
    return value;
  });
};

/** Something to be added to scores through an entry, before which it is multiplied with `scale`. */
interface Term {
  readonly entry: Entry;
  readonly value: ValueName;
  readonly scale?: number;
}

/** The term as what stood in its entry: scaled, of the same type. */
const fitted = (s: Insertion, { entry, value, scale = 1 }: Term, type: number | undefined): ValueName => {
  const e = s.emitter('biases');
  const met = shapesOf(s.u.model).of(entry.node.inputs[entry.input] ?? '')?.dataType ?? type ?? DataType.FLOAT;
  const typed = type === undefined || type === met ? value : e.cast(value, met);
  const one = e.cast(e.float(scale), met);
  const result = scale === 1 ? typed : e.op('Mul', [typed, one]);
  for (const noted of [s.perQuery, s.perKey]) if (noted.has(value)) noted.add(result);
  return result;
};

const added = (s: Insertion, a: ValueName, b: ValueName): ValueName =>
  once(s, `sum of terms:${a}+${b}`, () => {
    const both = s.emitter('biases').op('Add', [a, b]);
    if (s.perQuery.has(a) || s.perQuery.has(b)) s.perQuery.add(both);
    return both;
  });

const biasTerm = (s: Insertion, attention: Attention, bias: AddedBias): ValueName => {
  if (anyShortened(s.plan.lanes.of(bias.value)))
    throw new CompileError(
      say.maskNotUnderstood(`what is added to its scores, "${bias.value}", is made of tokens that are shortened`, {
        node: attention.product.name,
      }),
    );
  const value = gathered(s, attention, bias.value);
  return fitted(s, { ...bias, value }, shapesOf(s.u.model).of(bias.value)?.dataType);
};

/**
 * Writes what is added to the scores of an attention behind a reduction: its biases gathered, and its mask as it is
 * now, of the type given (undefined: that of the scores).
 */
export const enterTerms = (s: Insertion, attention: Attention, mask?: Term, type?: number): void => {
  const terms = (attention.biases ?? []).map(({ entry }, i, all) => ({
    entry,
    value: biasTerm(s, attention, all[i] as AddedBias),
  }));
  if (mask !== undefined) terms.push({ entry: mask.entry, value: fitted(s, mask, type) });
  const left = [...terms];
  for (let first = left.shift(); first !== undefined; first = left.shift()) {
    const { entry } = first;
    let { value } = first;
    for (const other of left.filter((t) => sharesEntry(t.entry, entry))) {
      value = added(s, value, other.value);
      left.splice(left.indexOf(other), 1);
    }
    s.editor.setInput(entry.node, entry.input, value);
  }
};

/** Both are added up before they meet the scores. */
export const sharesEntry = (a: Entry, b: Entry): boolean => a.node === b.node && a.input === b.input;
