/**
 * Drops what no output needs: nodes, initializers and annotations left over when shapes became local and masks were
 * rebuilt. Inputs and outputs are the user's and stay.
 */
import { GraphEditor } from '../src/graph/editor.ts';
import type { Graph, Node, ValueName } from '../src/graph/model.ts';
import { usesOf } from '../src/graph/uses.ts';
import { withGraph, type Pass } from '../src/rewrite/pass.ts';

const needed = (graph: Graph): { nodes: ReadonlySet<Node>; values: ReadonlySet<ValueName> } => {
  const uses = usesOf(graph);
  const nodes = new Set<Node>();
  const values = new Set<ValueName>();
  const queue = graph.outputs.map((o) => o.name);
  for (let value = queue.pop(); value !== undefined; value = queue.pop()) {
    if (value === '' || values.has(value)) continue;
    values.add(value);
    const node = uses.producer(value);
    if (node === undefined || nodes.has(node)) continue;
    nodes.add(node);
    queue.push(...node.inputs, ...node.captures, ...node.outputs);
  }
  return { nodes, values };
};

export const removeUnused: Pass = {
  name: 'remove-unused',
  summary: 'Remove nodes, initializers and annotations that no output needs.',
  run: (model) => {
    const { graph } = model;
    const { nodes, values } = needed(graph);
    const inputs = new Set(graph.inputs.map((i) => i.name));
    const editor = new GraphEditor(graph);
    for (const node of graph.nodes) if (!nodes.has(node)) editor.removeNode(node);
    for (const name of graph.constants.keys()) if (!values.has(name) && !inputs.has(name)) editor.removeConstant(name);
    const annotations = graph.annotations.filter((a) => values.has(a.name));
    if (annotations.length < graph.annotations.length) editor.setAnnotations(annotations);
    return withGraph(model, editor.finish());
  },
};
