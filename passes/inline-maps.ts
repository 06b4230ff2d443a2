/**
 * Writes standard operators in place of every TokenMap: the call stands in the graph only for the proof, which knows
 * what it follows. Unlike the reducer it is never left as a call: it decides nothing a kernel could do better.
 */
import { shapesOf } from '../src/analysis/shapes.ts';
import { GraphEditor } from '../src/graph/editor.ts';
import { opsetOf, type Node } from '../src/graph/model.ts';
import { usesOf } from '../src/graph/uses.ts';
import type { Semantics } from '../src/reduction/plan.ts';
import { TOKEN_MAP } from '../src/reduction/token-reduce/contract.ts';
import { emitTokenMap } from '../src/reduction/token-reduce/map.ts';
import { withGraph, type Pass } from '../src/rewrite/pass.ts';

const isCall = (node: Node): boolean => node.op === TOKEN_MAP.name && node.domain === TOKEN_MAP.domain;

export const inlineMaps = (semantics: Semantics): Pass => ({
  name: 'inline-maps',
  summary: 'Write what values joined to shortened tokens become in standard operators.',
  run: (model) => {
    if (!model.graph.nodes.some(isCall)) return model;
    const editor = new GraphEditor(model.graph);
    const uses = usesOf(model.graph);
    for (const node of model.graph.nodes.filter(isCall)) {
      const call = editor.current(node) ?? node;
      const [tokens = '', weight = '', target = '', position = ''] = call.inputs;
      const dataType = shapesOf(model).of(node.inputs[0] ?? '')?.dataType ?? 1;
      const e = editor.emitter(opsetOf(model), node.name);
      const mapped = emitTokenMap(e, { tokens, weight, target, position }, { semantics, dataType });
      for (const use of uses.consumers(node.outputs[0] ?? '')) editor.setInput(use.node, use.input, mapped);
      editor.removeNode(node);
    }
    return withGraph(model, editor.finish());
  },
});
