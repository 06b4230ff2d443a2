/**
 * Joins the casts and quantisers that own-wrappers copied where they still read the same value: of a model that is not
 * shortened nothing is left of the copies, of one that is only those that are needed. Touches no pair of the model's
 * own, however alike.
 */
import { isWrapper } from '../src/analysis/number-types.ts';
import { GraphEditor } from '../src/graph/editor.ts';
import type { Node, ValueName } from '../src/graph/model.ts';
import { withGraph, type Pass } from '../src/rewrite/pass.ts';
import { copyPrefix } from './own-wrappers.ts';

const isCopy = (node: Node): boolean => isWrapper(node) && node.name.startsWith(copyPrefix);

export const shareWrappers: Pass = {
  name: 'share-wrappers',
  summary: 'Join copies of casts and quantisers that still read the same value.',
  run: (model) => {
    const editor = new GraphEditor(model.graph);
    const kept = new Map<string, Node>();
    const renamed = new Map<ValueName, ValueName>();
    const now = (value: ValueName): ValueName => renamed.get(value) ?? value;
    const keyOf = (node: Node): string =>
      `${node.domain}.${node.op}(${node.inputs.map(now).join()})${JSON.stringify(node.attrs)}`;
    for (const node of model.graph.nodes) if (isWrapper(node) && !isCopy(node)) kept.set(keyOf(node), node);
    for (const node of model.graph.nodes) {
      const known = isCopy(node) ? kept.get(keyOf(node)) : undefined;
      if (known === undefined) {
        if (isCopy(node)) kept.set(keyOf(node), node);
        node.inputs.forEach((v, i) => {
          if (renamed.has(v)) editor.setInput(node, i, now(v));
        });
        continue;
      }
      node.outputs.forEach((output, i) => renamed.set(output, known.outputs[i] ?? ''));
      editor.removeNode(node);
    }
    return withGraph(model, editor.finish());
  },
};
