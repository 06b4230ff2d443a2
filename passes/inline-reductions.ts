/**
 * `--ops inline`: writes the body of every TokenReduce call in its place, for tools that dislike functions. The
 * equations are the function's own (emitTokenReduce). Runs after prove-lanes, which knows the call, not its body.
 */
import { shapesOf } from '../src/analysis/shapes.ts';
import { GraphEditor } from '../src/graph/editor.ts';
import { opsetOf, type ValueName } from '../src/graph/model.ts';
import { usesOf } from '../src/graph/uses.ts';
import type { Semantics } from '../src/reduction/plan.ts';
import { emitTokenReduce } from '../src/reduction/token-reduce/body.ts';
import { isTokenReduce, TOKEN_REDUCE, tokenReduceInputs } from '../src/reduction/token-reduce/contract.ts';
import type { Pass } from '../src/rewrite/pass.ts';

export const inlineReductions = (semantics: Semantics): Pass => ({
  name: 'inline-reductions',
  summary: 'Write the reducer in standard operators in place of every call.',
  run: (model) => {
    if (!model.graph.nodes.some(isTokenReduce)) return model;
    const editor = new GraphEditor(model.graph);
    const uses = usesOf(model.graph);
    for (const node of model.graph.nodes.filter(isTokenReduce)) {
      const call = editor.current(node) ?? node;
      const inputs = tokenReduceInputs(call);
      const dataType = shapesOf(model).of(node.inputs[0] ?? '')?.dataType ?? 1;
      const made = emitTokenReduce(editor.emitter(opsetOf(model), node.name), inputs, { semantics, dataType });
      [made.reduced, made.weight, made.target, made.position].forEach((value: ValueName, i) => {
        for (const use of uses.consumers(node.outputs[i] ?? ''))
          if (use.input >= 0) editor.setInput(use.node, use.input, value);
      });
      editor.removeNode(node);
    }
    const opsets = new Map([...model.opsets].filter(([domain]) => domain !== TOKEN_REDUCE.domain));
    return {
      ...model,
      opsets,
      graph: editor.finish(),
      functions: model.functions.filter((f) => f.domain !== TOKEN_REDUCE.domain),
    };
  },
});
