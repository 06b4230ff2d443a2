/**
 * Behind a reduction what the file said of inner shapes is no longer true, and ONNX Runtime refuses such files:
 * annotations of everything that depends on a TokenReduce call go, sizes included. Inputs and outputs keep theirs.
 */
import { GraphEditor } from '../src/graph/editor.ts';
import type { ValueName } from '../src/graph/model.ts';
import { TOKEN_REDUCE } from '../src/reduction/token-reduce/contract.ts';
import { withGraph, type Pass } from '../src/rewrite/pass.ts';

export const dropStaleAnnotations: Pass = {
  name: 'drop-stale-annotations',
  summary: 'Drop value annotations behind the reductions.',
  run: (model) => {
    const behind = new Set<ValueName>();
    for (const node of model.graph.nodes)
      if (node.domain === TOKEN_REDUCE.domain || [...node.inputs, ...node.captures].some((v) => behind.has(v)))
        for (const output of node.outputs) behind.add(output);
    const annotations = model.graph.annotations.filter((a) => !behind.has(a.name));
    if (annotations.length === model.graph.annotations.length) return model;
    const editor = new GraphEditor(model.graph);
    editor.setAnnotations(annotations);
    return withGraph(model, editor.finish());
  },
};
