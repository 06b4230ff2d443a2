/**
 * An If whose condition follows from shapes alone becomes the branch that is always taken. Exporters write one where
 * PyTorch squeezes an axis only if its size is 1: If(Shape(x)[1] == 1, Squeeze(x), x). Folded with the lengths of the
 * original, for those decide what the model means; an If that a run decides stays, and refuses shortened tokens.
 */
import { dimValue, subDims, type Dim } from '../src/analysis/dim.ts';
import { shapesOf } from '../src/analysis/shapes.ts';
import { GraphEditor } from '../src/graph/editor.ts';
import type { Model, ValueName } from '../src/graph/model.ts';
import { constantTensor, usesOf } from '../src/graph/uses.ts';
import { liftBody } from '../src/rewrite/lift.ts';
import { withGraph, type Pass } from '../src/rewrite/pass.ts';

const passesOn = new Set(['Cast', 'Identity', 'Squeeze', 'Unsqueeze', 'Reshape']);

/** True where a size is never 0, whatever its symbols: declared sizes may be 0 (an empty cache), but never less. */
const neverZero = (d: Dim): boolean => {
  const constant = d.terms.get('') ?? 0;
  const sizes = [...d.terms].every(([m, c]) => m === '' || (!m.includes('(') && Math.sign(c) === Math.sign(constant)));
  return constant !== 0 && sizes;
};

/** The one value a condition has on every run. */
const settled = (model: Model, value: ValueName): boolean | undefined => {
  const only = (name: ValueName): Dim | undefined => {
    const ints = shapesOf(model).of(name)?.ints?.values;
    return ints?.length === 1 ? ints[0] : undefined;
  };
  const node = usesOf(model.graph).producer(value);
  const constant = constantTensor(model, value) === undefined ? undefined : only(value);
  if (constant !== undefined) return dimValue(constant) !== 0;
  const [first = '', second = ''] = node?.inputs ?? [];
  if (node === undefined || node.domain !== '') return undefined;
  if (passesOn.has(node.op)) return settled(model, first);
  if (node.op === 'Not') {
    const inner = settled(model, first);
    return inner === undefined ? undefined : !inner;
  }
  const [a, b] = [only(first), only(second)];
  if (node.op !== 'Equal' || a === undefined || b === undefined) return undefined;
  const difference = subDims(a, b);
  const number = dimValue(difference);
  return number !== undefined ? number === 0 : neverZero(difference) ? false : undefined;
};

const folded = (model: Model): Model => {
  const editor = new GraphEditor(model.graph);
  for (const node of model.graph.nodes) {
    if (node.op !== 'If' || node.domain !== '') continue;
    const condition = settled(model, node.inputs[0] ?? '');
    if (condition === undefined) continue;
    const branch = node.attrs[condition ? 'then_branch' : 'else_branch'];
    if (branch?.kind !== 'body') continue;
    const prefix = node.name === '' ? (node.outputs.find((o) => o !== '') ?? 'If') : node.name;
    if (liftBody(editor, branch.value, new Map(), node.outputs, prefix)) editor.removeNode(node);
  }
  return withGraph(model, editor.finish());
};

export const foldBranches: Pass = {
  name: 'fold-branches',
  summary: 'Replace every If whose condition follows from shapes by the branch it takes.',
  run: (model) => {
    // What one branch yields may settle the next condition.
    for (let before = model; ;) {
      const after = folded(before);
      if (after === before) return after;
      before = after;
    }
  },
};
