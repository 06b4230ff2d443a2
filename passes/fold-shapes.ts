/**
 * Integer arithmetic on shapes whose result is the same on every run becomes a constant:
 *
 *   s = Shape(x [2,89,64])   n = Gather(s, 1)   becomes   n = Constant 89
 *
 * Exact by construction (integers only); floating-point constants are left to the runtime.
 */
import { dimValue } from '../src/analysis/dim.ts';
import { shapesOf } from '../src/analysis/shapes.ts';
import { GraphEditor } from '../src/graph/editor.ts';
import { DataType, type Model, type Node } from '../src/graph/model.ts';
import { int64Tensor, tensorAttr } from '../src/graph/tensors.ts';
import { usesOf } from '../src/graph/uses.ts';
import { withGraph, type Pass } from '../src/rewrite/pass.ts';

const largest = 64;

const foldedValues = (model: Model, node: Node): { dims: readonly number[]; values: number[] } | undefined => {
  const [output, ...more] = node.outputs;
  if (output === undefined || more.length > 0 || node.op === 'Constant' || node.captures.length > 0) return undefined;
  if (usesOf(model.graph).isGraphOutput(output)) return undefined;
  const facts = shapesOf(model).of(output);
  if (facts?.dataType !== DataType.INT64 || facts.ints === undefined || facts.ints.values.length > largest)
    return undefined;
  const values = facts.ints.values.map(dimValue);
  return values.every((v) => v !== undefined && Number.isSafeInteger(v))
    ? { dims: facts.ints.dims, values: values as number[] }
    : undefined;
};

export const foldShapes: Pass = {
  name: 'fold-shapes',
  summary: 'Replace shape arithmetic that always gives the same integers by those integers.',
  run: (model) => {
    const editor = new GraphEditor(model.graph);
    for (const node of model.graph.nodes) {
      const folded = foldedValues(model, node);
      const output = node.outputs[0];
      if (folded === undefined || output === undefined) continue;
      const value = tensorAttr(int64Tensor(folded.dims, folded.values));
      editor.replaceNode(node, {
        name: node.name,
        op: 'Constant',
        domain: '',
        inputs: [],
        outputs: [output],
        attrs: { value },
        captures: [],
      });
    }
    return withGraph(model, editor.finish());
  },
};
