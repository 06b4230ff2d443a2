/**
 * Whether the first axis of queries or keys, as attention reads them, is the batch axis of what they were projected
 * from. Sizes tell it unless the batch has as many rows as there are heads; then the axis is followed back.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { intOf, intsOf } from '../graph/tensors.ts';
import { usesOf } from '../graph/uses.ts';
import { dimValue } from './dim.ts';
import { isParameter, isWrapper } from './number-types.ts';
import { productOf } from './projection.ts';
import { matchReshape } from './reshape-map.ts';
import { shapesOf } from './shapes.ts';

/** The input axis that output axis `at` of a node is; undefined where it is made anew or cannot be told. */
const axisBefore = (model: Model, node: Node, input: ValueName, at: number): number | undefined => {
  const shapes = shapesOf(model);
  const [before, after] = [input, node.outputs[0] ?? ''].map((v) => shapes.of(v)?.dims);
  switch (node.op) {
    case 'Transpose':
      return intsOf(node, 'perm')?.[at];
    case 'Reshape': {
      const group = before && after && matchReshape(before, after)?.find((g) => g.out.includes(at));
      return group?.in.length === 1 && group.out.length === 1 ? group.in[0] : undefined;
    }
    case 'Gather': {
      // One of q, k and v picked off a common projection: that axis is gone.
      const axis = intOf(node, 'axis', 0);
      const picks = shapes.of(node.inputs[1] ?? '')?.dims?.length === 0 && axis >= 0;
      return picks ? (at >= axis ? at + 1 : at) : undefined;
    }
    case 'Split':
      return [at, at - (before?.length ?? 0)].includes(intOf(node, 'axis', 0)) ? undefined : at;
    case 'Squeeze': {
      const [only, ...more] = intsOf(node, 'axes') ?? shapes.of(node.inputs[1] ?? '')?.ints?.values.map(dimValue) ?? [];
      return only !== undefined && only >= 0 && more.length === 0 ? (at >= only ? at + 1 : at) : undefined;
    }
    case 'Add':
    case 'Mul':
    case 'Div':
      return before?.length === after?.length ? at : undefined;
    default:
      return undefined;
  }
};

/** True only where the first axis of `from` is proven to be the first axis of the value its projection reads. */
export const startsWithBatch = (model: Model, from: ValueName): boolean => {
  const uses = usesOf(model.graph);
  let at = 0;
  for (let value = from; ;) {
    const node = uses.producer(value);
    if (node === undefined) return false;
    if (isWrapper(node)) {
      value = node.inputs[0] ?? '';
      continue;
    }
    // Rows of a Gemm may be anything; a product of a higher rank keeps its first axis.
    if (productOf(model, node) !== undefined) return node.op !== 'Gemm' && at === 0;
    if (node.domain !== '') return false;
    const fixed = (i: number): boolean => isParameter(model, node.inputs[i] ?? '');
    const binary = node.op === 'Add' || node.op === 'Mul' || node.op === 'Div';
    if (binary && fixed(0) === fixed(1)) return false;
    const input = node.inputs[binary && fixed(0) ? 1 : 0] ?? '';
    const before = axisBefore(model, node, input, at);
    if (before === undefined) return false;
    at = before;
    value = input;
  }
};
