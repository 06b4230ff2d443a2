/**
 * Key-value caches of decoders: keys or values of earlier calls come in, are joined with this call's, and go out again.
 * Whoever calls such a model counts on every layer's length, so none may change.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { shapesOf } from './shapes.ts';

export interface KeyValueCache {
  readonly node: Node;
  /** The graph input with the keys or values of earlier calls. */
  readonly input: ValueName;
}

/** Operators that join what they are given as the past by themselves, and where it comes in. */
const pastInputs: ReadonlyMap<string, readonly number[]> = new Map([
  ['Attention', [4, 5]],
  ['com.microsoft.Attention', [4]],
  ['com.microsoft.QAttention', [8]],
  ['com.microsoft.MultiHeadAttention', [6, 7]],
  ['com.microsoft.DecoderMaskedMultiHeadAttention', [5, 6]],
  ['com.microsoft.GroupQueryAttention', [3, 4]],
  ['com.microsoft.SparseAttention', [3, 4]],
]);

/** The first cache of a model, in graph order. [batch, heads, tokens, width] each, or [2, batch, heads, tokens, width]. */
export const keyValueCache = (model: Model): KeyValueCache | undefined => {
  const { graph } = model;
  // Of what comes out of a body the file itself says the rank.
  const declared = new Map(graph.outputs.map((o) => [o.name, o.type?.dims?.length ?? 0]));
  const rank = (value: ValueName): number => shapesOf(model).of(value)?.dims?.length ?? declared.get(value) ?? 0;
  const past = new Set(
    graph.inputs.filter((i) => !graph.constants.has(i.name) && rank(i.name) >= 4).map((i) => i.name),
  );
  for (const node of past.size === 0 ? [] : graph.nodes) {
    const listed = pastInputs.get(node.domain === '' ? node.op : `${node.domain}.${node.op}`);
    const joins = node.op === 'Concat' && node.domain === '' ? node.inputs.slice(0, 1) : [];
    const given = listed === undefined ? joins : listed.map((i) => node.inputs[i] ?? '');
    // Bodies of one operator (a first call and later ones) read the past and hand the new one out.
    const input = [...given, ...node.captures].find((v) => past.has(v));
    const handsOut = node.outputs.some((o) => declared.has(o) && rank(o) >= 4);
    if (input !== undefined && (listed !== undefined || handsOut)) return { node, input };
  }
  return undefined;
};
