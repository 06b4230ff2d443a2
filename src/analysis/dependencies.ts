/**
 * Which graph inputs a value's elements come from. Reading only the shape of an input is not a dependency.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { usesOf } from '../graph/uses.ts';
import { memoised } from '../support/memo.ts';

const shapeOnly = new Set(['Shape', 'Size']);
const empty: ReadonlySet<ValueName> = new Set();

/** Graph inputs whose elements can reach the value. */
export const inputsBehind: (model: Model) => (value: ValueName) => ReadonlySet<ValueName> = memoised((model) => {
  const behind = new Map<ValueName, ReadonlySet<ValueName>>();
  for (const input of model.graph.inputs)
    if (!model.graph.constants.has(input.name)) behind.set(input.name, new Set([input.name]));
  for (const node of model.graph.nodes) {
    if (shapeOnly.has(node.op) && node.domain === '') continue;
    const sets = [...node.inputs, ...node.captures].map((v) => behind.get(v) ?? empty).filter((s) => s.size > 0);
    const first = sets[0];
    if (first === undefined) continue;
    const all = sets.every((s) => s === first) ? first : new Set(sets.flatMap((s) => [...s]));
    for (const output of node.outputs) behind.set(output, all);
  }
  return (value) => behind.get(value) ?? empty;
});

/** Values whose elements depend on `from` (itself included), shapes not counted. */
export const valuesAfter = (model: Model, from: Iterable<ValueName>): ReadonlySet<ValueName> => {
  const reached = new Set(from);
  for (const node of model.graph.nodes) {
    if (shapeOnly.has(node.op) && node.domain === '') continue;
    if (node.inputs.some((v) => reached.has(v)) || node.captures.some((v) => reached.has(v)))
      for (const output of node.outputs) reached.add(output);
  }
  return reached;
};

/** Nodes a value is made from, shapes counted. */
export const nodesBehind = (model: Model, value: ValueName): ReadonlySet<Node> => {
  const uses = usesOf(model.graph);
  const found = new Set<Node>();
  const queue = [value];
  for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
    const node = uses.producer(at);
    if (node === undefined || found.has(node)) continue;
    found.add(node);
    queue.push(...node.inputs, ...node.captures);
  }
  return found;
};

/** Nodes that some graph output needs, shapes counted. */
export const liveNodes: (model: Model) => ReadonlySet<Node> = memoised((model) => {
  const live = new Set<Node>();
  const needed = new Set(model.graph.outputs.map((o) => o.name));
  for (const node of [...model.graph.nodes].reverse()) {
    if (!node.outputs.some((o) => needed.has(o))) continue;
    live.add(node);
    for (const value of [...node.inputs, ...node.captures]) needed.add(value);
  }
  return live;
});
