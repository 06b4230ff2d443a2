/**
 * Named checks that a graph is well formed. Run after every pass, so that a broken pass is blamed by name.
 */
import type { Graph, Model, Node, ValueName } from './model.ts';

type Check = readonly [name: string, broken: (graph: Graph, model: Model) => string | undefined];

const given = (graph: Graph): Set<ValueName> =>
  new Set([...graph.inputs.map((i) => i.name), ...graph.constants.keys()]);

const reads = (node: Node): readonly ValueName[] => [...node.inputs.filter((v) => v !== ''), ...node.captures];

const checks: readonly Check[] = [
  [
    'single-definition',
    (graph) => {
      const made = given(graph);
      for (const node of graph.nodes)
        for (const output of node.outputs) {
          if (output === '') continue;
          if (made.has(output)) return `value "${output}" is made twice, again by node "${node.name}"`;
          made.add(output);
        }
      return undefined;
    },
  ],
  [
    'defined-before-use',
    (graph) => {
      const made = given(graph);
      for (const node of graph.nodes) {
        for (const value of reads(node))
          if (!made.has(value)) return `node "${node.name}" (${node.op}) reads "${value}" before it is made`;
        for (const output of node.outputs) made.add(output);
      }
      const missing = graph.outputs.find((o) => !made.has(o.name));
      return missing && `graph output "${missing.name}" is made by no node`;
    },
  ],
  [
    'known-opset',
    (graph, model) => {
      const stranger = graph.nodes.find((n) => !model.opsets.has(n.domain));
      return stranger && `node "${stranger.name}" is of domain "${stranger.domain}", which the model does not import`;
    },
  ],
];

/** The first broken rule as a sentence, or undefined for a well-formed model. */
export const brokenRule = (model: Model): string | undefined => {
  for (const [name, broken] of checks) {
    const fault = broken(model.graph, model);
    if (fault !== undefined) return `${name}: ${fault}`;
  }
  return undefined;
};
