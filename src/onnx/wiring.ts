/**
 * What connects an imported graph: which outer values sub-graphs read, that every value is made exactly once, and an
 * order in which it is made before it is read. Refuses graphs that ONNX Runtime refuses too.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import { duplicateValue, graphCycle, undefinedValue } from '../diagnostics/messages-onnx.ts';
import type { Node, ValueName } from '../graph/model.ts';
import { sortNodes } from '../graph/order.ts';
import type { GraphProto, NodeProto } from './proto.ts';

const bodiesOf = (node: NodeProto): readonly GraphProto[] =>
  (node.attribute ?? []).flatMap((attr) => [...(attr.g ? [attr.g] : []), ...(attr.graphs ?? [])]);

const outerValues = (graph: GraphProto): readonly ValueName[] => {
  const inside = new Set<ValueName>(['']);
  for (const input of graph.input ?? []) inside.add(input.name ?? '');
  for (const tensor of graph.initializer ?? []) inside.add(tensor.name ?? '');
  for (const sparse of graph.sparseInitializer ?? []) inside.add(sparse.values?.name ?? '');
  for (const node of graph.node ?? []) for (const output of node.output ?? []) inside.add(output);
  const outer = new Set<ValueName>();
  const read = (name: ValueName): void => {
    if (!inside.has(name)) outer.add(name);
  };
  for (const node of graph.node ?? []) {
    (node.input ?? []).forEach(read);
    capturesOf(node).forEach(read);
  }
  for (const output of graph.output ?? []) read(output.name ?? '');
  return [...outer];
};

/** Values that the node's sub-graphs, at any depth, read and do not make themselves. */
export const capturesOf = (node: NodeProto): readonly ValueName[] => {
  const bodies = bodiesOf(node);
  return bodies.length === 0 ? [] : [...new Set(bodies.flatMap(outerValues))];
};

const readsOf = (node: Node): readonly ValueName[] =>
  node.captures.length === 0 ? node.inputs : [...node.inputs, ...node.captures];

/** Whether every value made by one of the nodes is made before it is read. */
const isOrdered = (nodes: readonly Node[]): boolean => {
  const later = new Set(nodes.flatMap((node) => node.outputs));
  later.delete('');
  for (const node of nodes) {
    if (readsOf(node).some((value) => later.has(value))) return false;
    for (const output of node.outputs) later.delete(output);
  }
  return true;
};

/** A value and its reader on a cycle, or undefined where there is none. */
const findCycle = (nodes: readonly Node[]): { value: ValueName; node: Node } | undefined => {
  const producer = new Map<ValueName, Node>();
  for (const node of nodes) for (const output of node.outputs) if (output !== '') producer.set(output, node);
  const readers = new Map<Node, Node[]>();
  const waiting = new Map<Node, number>();
  for (const node of nodes) {
    const before = readsOf(node).flatMap((value) => producer.get(value) ?? []);
    waiting.set(node, before.length);
    for (const one of before) {
      const known = readers.get(one);
      if (known === undefined) readers.set(one, [node]);
      else known.push(node);
    }
  }
  const ready = nodes.filter((node) => waiting.get(node) === 0);
  for (let node = ready.pop(); node !== undefined; node = ready.pop()) {
    waiting.delete(node);
    for (const reader of readers.get(node) ?? []) {
      const left = (waiting.get(reader) ?? 0) - 1;
      waiting.set(reader, left);
      if (left === 0) ready.push(reader);
    }
  }
  // What is left lies on a cycle or behind one; going back from any of it ends up on the cycle.
  let node = [...waiting.keys()][0];
  const seen = new Set<Node>();
  while (node !== undefined) {
    const here: Node = node;
    const value = readsOf(here).find((v) => waiting.has(producer.get(v) as Node));
    if (value === undefined) return undefined;
    if (seen.has(here)) return { value, node: here };
    seen.add(here);
    node = producer.get(value);
  }
  return undefined;
};

/**
 * The nodes in an order where every value is made before it is read; the same list where it is in order already.
 * With `file`, a cycle is a CompileError that names it; without, the order is left as it is.
 */
export const inOrder = (nodes: readonly Node[], file?: string): readonly Node[] => {
  if (isOrdered(nodes)) return nodes;
  const cycle = findCycle(nodes);
  if (cycle === undefined) return sortNodes(nodes);
  if (file === undefined) return nodes;
  throw new CompileError(graphCycle(cycle.value, file, cycle.node));
};

/** Throws a CompileError where a value is made twice, or read and never made. */
export const checkValues = (
  nodes: readonly Node[],
  given: Iterable<ValueName>,
  outputs: readonly ValueName[],
  file: string,
): void => {
  const made = new Set<ValueName>(given);
  for (const node of nodes)
    for (const output of node.outputs) {
      if (output === '') continue;
      if (made.has(output)) throw new CompileError(duplicateValue(output, file, node));
      made.add(output);
    }
  for (const node of nodes)
    for (const value of readsOf(node))
      if (value !== '' && !made.has(value)) throw new CompileError(undefinedValue(value, file, node));
  for (const output of outputs) if (!made.has(output)) throw new CompileError(undefinedValue(output, file));
};
