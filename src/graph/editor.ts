/**
 * The only way from one graph to another: records changes, then `finish` sorts and returns a new graph, or the same
 * one where nothing changed. Knows nothing of what the changes mean.
 */
import { emitterInto, type Emitter } from './emit.ts';
import type { Graph, GraphValue, Node, Tensor, ValueName } from './model.ts';
import { sortNodes } from './order.ts';

export class GraphEditor {
  readonly graph: Graph;
  readonly #names: Set<ValueName>;
  readonly #added: Node[] = [];
  readonly #replaced = new Map<Node, Node | undefined>();
  readonly #expanded = new Map<Node, readonly Node[]>();
  readonly #constants: Map<ValueName, Tensor>;
  #inputs: readonly GraphValue[];
  #outputs: readonly GraphValue[];
  #annotations: readonly GraphValue[];
  #changed = false;

  constructor(graph: Graph) {
    this.graph = graph;
    this.#constants = new Map(graph.constants);
    this.#inputs = graph.inputs;
    this.#outputs = graph.outputs;
    this.#annotations = graph.annotations;
    this.#names = new Set([
      ...graph.constants.keys(),
      ...graph.inputs.map((i) => i.name),
      ...graph.outputs.map((o) => o.name),
    ]);
    for (const node of graph.nodes) {
      this.#names.add(node.name);
      for (const value of [...node.outputs, ...node.captures]) this.#names.add(value);
    }
  }

  /** A name no value or node of the graph has. */
  fresh(hint: string): ValueName {
    let name = hint;
    for (let i = 1; this.#names.has(name); i++) name = `${hint}_${i}`;
    this.#names.add(name);
    return name;
  }

  /** Writes operators whose results are named `prefix/Op`, and tells of every name. */
  emitter(opset: number, prefix: string, named?: (name: ValueName) => void): Emitter {
    this.#changed = true;
    return emitterInto(this.#added, opset, (hint) => {
      const name = this.fresh(`${prefix}/${hint}`);
      named?.(name);
      return name;
    });
  }

  add(node: Node): void {
    this.#changed = true;
    this.#added.push(node);
  }

  addConstant(name: ValueName, tensor: Tensor): void {
    this.#changed = true;
    this.#constants.set(name, tensor);
  }

  /** What `node`, a node of the original graph, has become so far; undefined once removed. */
  current(node: Node): Node | undefined {
    return this.#replaced.has(node) ? this.#replaced.get(node) : node;
  }

  replaceNode(node: Node, by: Node): void {
    this.#changed = true;
    this.#replaced.set(node, by);
  }

  removeNode(node: Node): void {
    this.#changed = true;
    this.#replaced.set(node, undefined);
  }

  /** Puts several nodes, in order, where `node` stood. They are not followed up: `current` knows nothing of them. */
  expandNode(node: Node, by: readonly Node[]): void {
    this.removeNode(node);
    this.#expanded.set(node, by);
  }

  /** Makes `node` (of the original graph) read `value` at `input`. */
  setInput(node: Node, input: number, value: ValueName): void {
    const now = this.current(node);
    if (now === undefined || now.inputs[input] === value) return;
    const inputs = [...now.inputs];
    inputs[input] = value;
    this.replaceNode(node, { ...now, inputs });
  }

  /** Renames a value where it is made and wherever it is read so far, added nodes too; not among the graph's outputs. */
  renameValue(from: ValueName, to: ValueName): void {
    const renamed = (node: Node): Node => {
      if (!node.inputs.includes(from) && !node.outputs.includes(from)) return node;
      const names = (values: readonly ValueName[]): ValueName[] => values.map((v) => (v === from ? to : v));
      return { ...node, inputs: names(node.inputs), outputs: names(node.outputs) };
    };
    for (const node of this.graph.nodes) {
      const now = this.current(node);
      if (now !== undefined && renamed(now) !== now) this.replaceNode(node, renamed(now));
    }
    this.#added.forEach((node, i) => {
      this.#added[i] = renamed(node);
    });
  }

  /** A new input, behind those that are there. */
  addInput(input: GraphValue): void {
    this.#changed = true;
    this.#names.add(input.name);
    this.#inputs = [...this.#inputs, input];
  }

  setOutputs(outputs: readonly GraphValue[]): void {
    this.#changed = true;
    this.#outputs = outputs;
  }

  setAnnotations(annotations: readonly GraphValue[]): void {
    this.#changed = true;
    this.#annotations = annotations;
  }

  removeConstant(name: ValueName): void {
    this.#changed = true;
    this.#constants.delete(name);
  }

  /** All nodes as they are so far, in order. */
  nodes(): readonly Node[] {
    return sortNodes([
      ...this.graph.nodes.flatMap((node) => this.#expanded.get(node) ?? this.current(node) ?? []),
      ...this.#added,
    ]);
  }

  finish(): Graph {
    if (!this.#changed) return this.graph;
    return {
      ...this.graph,
      nodes: this.nodes(),
      constants: this.#constants,
      inputs: this.#inputs,
      outputs: this.#outputs,
      annotations: this.#annotations,
    };
  }
}
