/**
 * Finds where the number of tokens itself is computed with: x / T, scores * log(T). After a reduction such a number
 * is another one, and whether the model means the old or the new one nobody can tell from the graph.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { anyShortened, isShortened } from './labels.ts';
import type { Lanes } from './lanes.ts';

/** Operators that compute on sizes; anything else that reads a size reads it as a size. */
const arithmetic = new Set(
  'Add Sub Mul Div Mod Neg Abs Pow Sqrt Reciprocal Log Exp Floor Ceil Round Min Max Sum Mean Cast Identity'.split(' '),
);
const movers = new Set('Gather Slice Squeeze Unsqueeze Concat Reshape ReduceProd ReduceSum'.split(' '));

/** Nodes that mix a size of a shortened value into shortened tokens, with the value that carries the size. */
export const sizesUsedAsData = (model: Model, lanes: Lanes): readonly { node: Node; value: ValueName }[] => {
  const sizes = new Set<ValueName>();
  const found: { node: Node; value: ValueName }[] = [];
  for (const node of model.graph.nodes) {
    if (node.op === 'Shape' || node.op === 'Size') {
      if (lanes.of(node.inputs[0] ?? '')?.some(isShortened)) for (const output of node.outputs) sizes.add(output);
      continue;
    }
    const value = node.inputs.find((v) => sizes.has(v));
    if (value === undefined) continue;
    const onTokens = node.inputs.some((v) => anyShortened(lanes.of(v)));
    if (arithmetic.has(node.op) && onTokens) found.push({ node, value });
    else if ((arithmetic.has(node.op) || movers.has(node.op)) && !onTokens)
      for (const output of node.outputs) sizes.add(output);
  }
  return found;
};
