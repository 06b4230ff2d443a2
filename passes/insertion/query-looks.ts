/**
 * Text queries, all keys and what is added to their scores, as ai.pumer::TokenReduceQK takes them. Undefined where the
 * attention does more to its scores than scale and add, or where that is not proven.
 */
import type { Attention } from '../../src/analysis/attention.ts';
import type { Segment } from '../../src/analysis/labels.ts';
import { isStandard, type ScoresLayout } from '../../src/analysis/layout.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { floatTensor } from '../../src/graph/tensors.ts';
import type { Looks } from '../../src/reduction/token-reduce/contract.ts';
import { headsApart, layoutOf, maskApart } from './layout.ts';
import { retyped } from './score-bias.ts';
import { textRowsOf } from './score-chain.ts';
import { scoreTerms, type ScoreTerms } from './score-terms.ts';
import { cutSegment, sizeValue, startOf, type Insertion } from './session.ts';

/** -Infinity, or the lowest float32: that plus any score is itself, so adding it fills it in. */
const FILL = -3.4028234663852886e38;

/** What is added to the scaled scores, and its type. */
interface Bias {
  readonly value: ValueName;
  readonly type: DataType;
}

const biasOf = (
  s: Insertion,
  e: Emitter,
  { type, terms }: ScoreTerms,
  textRows: (value: ValueName, layout: ScoresLayout) => ValueName,
): Bias => {
  const zero = e.constant(floatTensor([1, 1, 1, 1], [0]));
  const [only, ...more] = terms;
  if (only === undefined) return { value: retyped(e, zero, type), type };
  // A single term goes in as it is; sums are made in float32, where masks of several thousands do not run over.
  const isWhole = Math.abs((only.kind === 'added' ? only.factor : 0) - 1) < 1e-6;
  const asItIs = more.length === 0 && only.kind === 'added' && only.type === type && isWhole;
  const to = asItIs ? type : DataType.FLOAT;
  let sum: ValueName | undefined;
  for (const term of terms) {
    const value = textRows(term.value, term.layout);
    if (term.kind === 'filled') {
      const fill = e.float(term.fill === -Infinity ? -Infinity : FILL);
      const shown = sum ?? e.float(0);
      sum = e.op('Where', term.when ? [value, fill, shown] : [value, shown, fill]);
      continue;
    }
    const single = term.type === to ? value : e.cast(value, to);
    const scaled = Math.abs(term.factor - 1) < 1e-6 ? single : e.op('Mul', [single, e.float(term.factor)]);
    sum = sum === undefined ? scaled : e.op('Add', [sum, scaled]);
  }
  const [first] = terms;
  const rank = more.length === 0 && first !== undefined ? shapesOf(s.u.model).of(first.value)?.dims?.length : undefined;
  const value = sum as ValueName;
  return { value: rank === 4 ? value : e.op('Add', [value, retyped(e, zero, to)]), type: to };
};

const scaleOf = (e: Emitter, { scale, sized }: ScoreTerms): ValueName => {
  if (sized === undefined) return e.floats([scale]);
  const value = e.op('Reshape', [e.cast(sized.value, DataType.FLOAT), e.int64s([1])]);
  return e.op(sized.divides ? 'Div' : 'Mul', [e.floats([scale]), value]);
};

/** `rows` and `columns` are the lanes on the attention's two axes as they will be. */
export const queryLooks = (
  s: Insertion,
  e: Emitter,
  attention: Attention,
  rows: readonly Segment[],
  columns: readonly Segment[],
): Looks | undefined => {
  const read = scoreTerms(s, attention);
  if (read === undefined) return undefined;
  const text = rows.findIndex((t) => t.lane === 'text');
  const image = columns.findIndex((t) => t.lane === 'image');
  const layout = layoutOf(attention);
  const bias = biasOf(s, e, read, (value, met) => {
    const cut = textRowsOf(s, e, value, rows, text);
    const dims = shapesOf(s.u.model).of(value)?.dims;
    if (dims !== undefined) return maskApart(e, cut, dims, met).row;
    return isStandard(met) ? cut : headsApart(e, cut, met);
  });
  const typed = (value: ValueName): ValueName => (bias.type === read.type ? value : e.cast(value, bias.type));
  const queries = cutSegment(s, e, attention.query, layout.folded ? 1 : 2, rows, text);
  return {
    queries: headsApart(e, typed(queries), layout),
    keys: headsApart(e, typed(attention.key), layout),
    bias: bias.value,
    scale: scaleOf(e, read),
    first: sizeValue(e, startOf(s, columns, image)),
  };
};
