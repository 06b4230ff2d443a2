/**
 * From queries, keys or values as attention reads them back to the projection that made them.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { constantTensor, usesOf } from '../graph/uses.ts';

const movers = new Set([
  'Transpose',
  'Reshape',
  'Cast',
  'Identity',
  'Squeeze',
  'Unsqueeze',
  'Gather',
  'Split',
  'Slice',
]);

/** The MatMul (or Gemm) by constant weights and the value it projects; undefined where there is none. */
export const climbToProjection = (model: Model, from: ValueName): { node: Node; input: ValueName } | undefined => {
  const uses = usesOf(model.graph);
  for (let value = from; ;) {
    const node = uses.producer(value);
    if (node === undefined || node.domain !== '') return undefined;
    const fixed = (i: number): boolean => constantTensor(model, node.inputs[i] ?? '') !== undefined;
    if (node.op === 'MatMul' || node.op === 'Gemm') return fixed(1) ? { node, input: node.inputs[0] ?? '' } : undefined;
    if (node.op === 'Add' || node.op === 'Mul' || node.op === 'Div') {
      if (fixed(0)) value = node.inputs[1] ?? '';
      else if (fixed(1)) value = node.inputs[0] ?? '';
      else return undefined;
    } else if (movers.has(node.op)) value = node.inputs[0] ?? '';
    else return undefined;
  }
};
