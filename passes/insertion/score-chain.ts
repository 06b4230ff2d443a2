/**
 * What stands between the product of queries and keys and the probabilities by now, masks of shortened keys included,
 * and what enters there from outside, cut to the text rows.
 */
import type { Attention } from '../../src/analysis/attention.ts';
import { dimValue } from '../../src/analysis/dim.ts';
import type { Segment } from '../../src/analysis/labels.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import type { Node, ValueName } from '../../src/graph/model.ts';
import { cutSegment, type Insertion } from './session.ts';

interface Behind {
  /** In graph order. */
  readonly nodes: readonly Node[];
  readonly values: ReadonlySet<ValueName>;
}

/** All that depends on the product as the graph is now, and its own output. */
export const behindProduct = (s: Insertion, attention: Attention): Behind => {
  const values = new Set<ValueName>(attention.product.outputs);
  const nodes = s.editor.nodes().filter((node) => {
    const reached = node.inputs.some((v) => values.has(v));
    if (reached) for (const output of node.outputs) values.add(output);
    return reached;
  });
  return { nodes, values };
};

/** Nodes between the product of queries and keys and the probabilities as they are now, in graph order. */
export const normalisation = (s: Insertion, attention: Attention): readonly Node[] => {
  const needed = new Set<ValueName>([attention.probabilities]);
  return [...behindProduct(s, attention).nodes]
    .reverse()
    .filter((node) => {
      const keep = node.outputs.some((o) => needed.has(o));
      if (keep) for (const v of node.inputs) needed.add(v);
      return keep;
    })
    .reverse();
};

/** A value from outside the normalisation, cut to the text rows where it has a row per query. */
export const textRowsOf = (
  s: Insertion,
  e: Emitter,
  value: ValueName,
  rows: readonly Segment[],
  text: number,
): ValueName => {
  if (s.perQuery.has(value)) return cutSegment(s, e, value, 2, rows, text);
  const dims = shapesOf(s.u.model).of(value)?.dims;
  const queries = dims === undefined || dims.length < 2 ? undefined : dims[dims.length - 2];
  if (dims === undefined || queries === undefined || dimValue(queries) === 1) return value;
  return cutSegment(s, e, value, dims.length - 2, rows, text);
};
