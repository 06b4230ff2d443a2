/**
 * The text rows of a scoring attention on the image columns: cut from its probabilities, or (`recompute`) computed
 * again from the text queries alone, so that the attention itself may be fused. Softmax works row by row, so both
 * give the same numbers.
 */
import type { Attention } from '../../src/analysis/attention.ts';
import type { Segment } from '../../src/analysis/labels.ts';
import { dimValue } from '../../src/analysis/dim.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import type { Node, ValueName } from '../../src/graph/model.ts';
import { headsApart, layoutOf } from './layout.ts';
import { cutSegment, type Insertion } from './session.ts';

export type SaliencySource = 'probs' | 'recompute';

/** Nodes between the product of queries and keys and the probabilities as they are now, in graph order. */
const normalisation = (s: Insertion, attention: Attention): readonly Node[] => {
  const nodes = s.editor.nodes();
  const from = new Set<ValueName>(attention.product.outputs);
  const forward = nodes.filter((node) => {
    const reached = node.inputs.some((v) => from.has(v));
    if (reached) for (const output of node.outputs) from.add(output);
    return reached;
  });
  const needed = new Set<ValueName>([attention.probabilities]);
  return forward
    .reverse()
    .filter((node) => {
      const keep = node.outputs.some((o) => needed.has(o));
      if (keep) for (const v of node.inputs) needed.add(v);
      return keep;
    })
    .reverse();
};

/** A value from outside the normalisation, cut to the text rows where it has a row per query. */
const textRowsOf = (s: Insertion, e: Emitter, value: ValueName, rows: readonly Segment[], text: number): ValueName => {
  if (s.perQuery.has(value)) return cutSegment(s, e, value, 2, rows, text);
  const dims = shapesOf(s.u.model).of(value)?.dims;
  const queries = dims === undefined || dims.length < 2 ? undefined : dims[dims.length - 2];
  if (dims === undefined || queries === undefined || dimValue(queries) === 1) return value;
  return cutSegment(s, e, value, dims.length - 2, rows, text);
};

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

/** [B, H, text rows, image columns]. `rows` and `columns` are the lanes on the attention's two axes as they will be. */
export const saliencyRows = (
  s: Insertion,
  e: Emitter,
  source: SaliencySource,
  layer: number,
  attention: Attention,
  rows: readonly Segment[],
  columns: readonly Segment[],
): ValueName => {
  const text = rows.findIndex((t) => t.lane === 'text');
  const image = columns.findIndex((t) => t.lane === 'image');
  const layout = layoutOf(attention);
  const last = layout.folded ? 2 : 3;
  const textRows =
    source === 'probs'
      ? cutSegment(s, e, attention.probabilities, last - 1, rows, text)
      : recomputed(s, e, layer, attention, rows, text);
  return headsApart(e, cutSegment(s, e, textRows, last, columns, image), layout);
};
