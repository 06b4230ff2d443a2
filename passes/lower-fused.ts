/**
 * Writes fused operators as standard ones, so that understanding, planning, insertion and the proof know standard
 * operators only. Keeps record of what stood where: `raise-untouched` puts back every operator whose parts nobody
 * changed. What cannot be lowered stays, with the reason.
 */
import { shapesOf } from '../src/analysis/shapes.ts';
import { GraphEditor } from '../src/graph/editor.ts';
import { emitterInto } from '../src/graph/emit.ts';
import { opsetOf, type Model, type Node, type ValueName } from '../src/graph/model.ts';
import { withGraph } from '../src/rewrite/pass.ts';
import { memoised } from '../src/support/memo.ts';
import { lowerings } from './lowerings/index.ts';
import type { Lowering, LoweringContext } from './lowerings/lowering.ts';

/** An operator of the original and the nodes that now do its work. */
export interface LoweredNode {
  readonly node: Node;
  readonly parts: readonly Node[];
  readonly streams: readonly number[];
  /** Its mask is a count of tokens for each row. */
  readonly counts: boolean;
}

/** An operator that is left as it is. */
export interface WholeNode {
  readonly node: Node;
  readonly why: string;
}

export interface LoweredModel {
  readonly original: Model;
  readonly model: Model;
  readonly lowered: readonly LoweredNode[];
  readonly whole: readonly WholeNode[];
}

const keyOf = (node: Node): string => (node.domain === '' ? node.op : `${node.domain}.${node.op}`);

/** Gives what was written the names of the node's outputs. */
const underOwnNames = (
  node: Node,
  parts: readonly Node[],
  written: readonly (ValueName | undefined)[],
): Node[] | undefined => {
  const names = new Map<ValueName, ValueName>();
  const copies: Node[] = [];
  const made = new Set(parts.flatMap((p) => p.outputs));
  for (const [i, output] of node.outputs.entries()) {
    if (output === '') continue;
    const value = written[i];
    if (value === undefined) return undefined;
    if (made.has(value) && !names.has(value)) names.set(value, output);
    else {
      const inputs = [names.get(value) ?? value];
      copies.push({ name: output, op: 'Identity', domain: '', inputs, outputs: [output], attrs: {}, captures: [] });
    }
  }
  const renamed = (v: ValueName): ValueName => names.get(v) ?? v;
  return [...parts.map((p) => ({ ...p, inputs: p.inputs.map(renamed), outputs: p.outputs.map(renamed) })), ...copies];
};

const lowerOne = (model: Model, editor: GraphEditor, node: Node, lowering: Lowering): LoweredNode | WholeNode => {
  const parts: Node[] = [];
  const shapes = shapesOf(model);
  const name = node.name === '' ? (node.outputs.find((o) => o !== '') ?? node.op) : node.name;
  const c: LoweringContext = {
    node,
    e: emitterInto(parts, opsetOf(model), (hint) => editor.fresh(`${name}/${hint}`)),
    input: (i) => node.inputs[i] ?? '',
    type: (i) => shapes.of(node.inputs[i] ?? '')?.dataType,
    dims: (i) => shapes.of(node.inputs[i] ?? '')?.dims,
    gives: (i) => (node.outputs[i] ?? '') !== '',
  };
  const written = lowering.lower(c);
  if ('why' in written) return { node, why: written.why };
  const named = underOwnNames(node, parts, written);
  return named === undefined
    ? { node, why: 'one of its outputs is not known' }
    : { node, parts: named, streams: lowering.streams, counts: c.dims(lowering.mask ?? -1)?.length === 1 };
};

/** Computed once a model; the same model where nothing can be lowered. */
export const lowerFused: (model: Model) => LoweredModel = memoised((model) => {
  const editor = new GraphEditor(model.graph);
  const own = new Set(model.functions.map((f) => `${f.domain}.${f.name}`));
  const lowered: LoweredNode[] = [];
  const whole: WholeNode[] = [];
  for (const node of model.graph.nodes) {
    const lowering = lowerings.get(keyOf(node));
    if (lowering === undefined || own.has(`${node.domain}.${node.op}`)) continue;
    const found = lowerOne(model, editor, node, lowering);
    if ('why' in found) whole.push(found);
    else {
      editor.expandNode(node, found.parts);
      lowered.push(found);
    }
  }
  return { original: model, model: withGraph(model, editor.finish()), lowered, whole };
});
