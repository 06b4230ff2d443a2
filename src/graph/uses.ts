/**
 * Who makes and who reads each value of a graph. A fact of the graph, computed once.
 */
import { memoised } from '../support/memo.ts';
import type { Graph, Model, Node, ValueName } from './model.ts';
import { constantOf } from './tensors.ts';
import type { Tensor } from './model.ts';

export interface Use {
  readonly node: Node;
  /** Input index, or -1 where a sub-graph of the node captures the value. */
  readonly input: number;
}

export interface Uses {
  readonly producer: (value: ValueName) => Node | undefined;
  readonly consumers: (value: ValueName) => readonly Use[];
  readonly isGraphOutput: (value: ValueName) => boolean;
  readonly isGraphInput: (value: ValueName) => boolean;
}

const none: readonly Use[] = [];

export const usesOf: (graph: Graph) => Uses = memoised((graph) => {
  const producers = new Map<ValueName, Node>();
  const consumers = new Map<ValueName, Use[]>();
  const add = (value: ValueName, use: Use): void => {
    const list = consumers.get(value);
    if (list === undefined) consumers.set(value, [use]);
    else list.push(use);
  };
  for (const node of graph.nodes) {
    for (const output of node.outputs) if (output !== '') producers.set(output, node);
    node.inputs.forEach((value, input) => {
      if (value !== '') add(value, { node, input });
    });
    for (const value of node.captures) add(value, { node, input: -1 });
  }
  const outputs = new Set(graph.outputs.map((o) => o.name));
  const inputs = new Set(graph.inputs.map((i) => i.name));
  return {
    producer: (value) => producers.get(value),
    consumers: (value) => consumers.get(value) ?? none,
    isGraphOutput: (value) => outputs.has(value),
    isGraphInput: (value) => inputs.has(value),
  };
});

/**
 * The tensor a value always is, looking through Identity: an initializer (unless the caller may override it, which
 * ONNX allows from IR 4 for initializers that are also graph inputs) or a Constant node.
 */
export const constantTensor = (model: Model, value: ValueName): Tensor | undefined => {
  const uses = usesOf(model.graph);
  for (let name = value; ;) {
    const stored = model.graph.constants.get(name);
    if (stored !== undefined) return model.irVersion >= 4 && uses.isGraphInput(name) ? undefined : stored;
    const node = uses.producer(name);
    if (node === undefined) return undefined;
    if (node.op === 'Identity' && node.domain === '') name = node.inputs[0] ?? '';
    else return constantOf(node);
  }
};
