/**
 * How the text rows of a scoring attention look at the image columns: cut from its probabilities, or (`recompute`)
 * computed again from the text queries alone, so that the attention itself may be fused. Softmax works row by row, so
 * both give the same numbers. The reducer does that by itself where scores are scaled and added to and nothing else;
 * anything else between product and probabilities is copied for the text rows.
 */
import type { Attention } from '../../src/analysis/attention.ts';
import type { Segment } from '../../src/analysis/labels.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import type { ValueName } from '../../src/graph/model.ts';
import type { Looks } from '../../src/reduction/token-reduce/contract.ts';
import { headsApart, layoutOf } from './layout.ts';
import { queryLooks } from './query-looks.ts';
import { normalisation, textRowsOf } from './score-chain.ts';
import { cutSegment, type Insertion } from './session.ts';

export type SaliencySource = 'probs' | 'recompute';

const recomputed = (
  s: Insertion,
  e: Emitter,
  layer: number,
  attention: Attention,
  rows: readonly Segment[],
  text: number,
): ValueName => {
  if (text !== 0 && attention.mask?.kind === 'multiplicative')
    throw new CompileError(
      say.recomputeNotPossible(layer, 'its softmax sees where each query stands, and text does not stand first'),
    );
  const chain = normalisation(s, attention);
  if ((layoutOf(attention).folded || attention.entryLayout?.folded === true) && chain.some((n) => n.op === 'Reshape'))
    throw new CompileError(
      say.recomputeNotPossible(layer, 'its scores are reshaped on their way, to a shape that names all queries'),
    );
  const queries = cutSegment(s, e, attention.query, layoutOf(attention).folded ? 1 : 2, rows, text);
  const copies = new Map<ValueName, ValueName>([
    [attention.product.outputs[0] ?? '', e.op('MatMul', [queries, attention.key])],
  ]);
  for (const node of chain) {
    const inputs = node.inputs.map((v) => (v === '' ? v : (copies.get(v) ?? textRowsOf(s, e, v, rows, text))));
    e.node(node.op, inputs, node.attrs, node.outputs.length, node.domain).forEach((copy, i) => {
      copies.set(node.outputs[i] ?? '', copy);
      // A row's own softmax over all its keys: proven where the attention it copies is.
      s.settled.written.add(copy);
    });
  }
  return copies.get(attention.probabilities) ?? '';
};

/** `rows` and `columns` are the lanes on the attention's two axes as they will be. */
export const looksOf = (
  s: Insertion,
  e: Emitter,
  source: SaliencySource,
  layer: number,
  attention: Attention,
  rows: readonly Segment[],
  columns: readonly Segment[],
): Looks => {
  const asked = source === 'recompute' ? queryLooks(s, e, attention, rows, columns) : undefined;
  if (asked !== undefined) return asked;
  const text = rows.findIndex((t) => t.lane === 'text');
  const image = columns.findIndex((t) => t.lane === 'image');
  const layout = layoutOf(attention);
  const last = layout.folded ? 2 : 3;
  const textRows =
    source === 'probs'
      ? cutSegment(s, e, attention.probabilities, last - 1, rows, text)
      : recomputed(s, e, layer, attention, rows, text);
  return { attention: headsApart(e, cutSegment(s, e, textRows, last, columns, image), layout) };
};
