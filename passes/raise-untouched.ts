/**
 * Puts fused operators back wherever their parts still are what `lower-fused` wrote: the same operators, wired the
 * same, with nobody else reading what flows between them. Only the tokens that enter may be others, for none of these
 * operators knows a number of tokens. Where anything else was changed (a mask, the probabilities read) parts stay.
 */
import { GraphEditor } from '../src/graph/editor.ts';
import type { Attr, Graph, Model, Node, ValueName } from '../src/graph/model.ts';
import { usesOf } from '../src/graph/uses.ts';
import { withGraph, type Pass } from '../src/rewrite/pass.ts';
import type { LoweredModel, LoweredNode } from './lower-fused.ts';

const sameAttrs = (a: Readonly<Record<string, Attr>>, b: Readonly<Record<string, Attr>>): boolean =>
  a === b || (Object.keys(a).length === Object.keys(b).length && Object.keys(a).every((name) => a[name] === b[name]));

/** The parts as they are now, and what each value that enters them has become. */
interface Untouched {
  readonly parts: readonly Node[];
  readonly entering: ReadonlyMap<ValueName, ValueName>;
}

const untouched = (model: Model, { node, parts, streams }: LoweredNode): Untouched | undefined => {
  const uses = usesOf(model.graph);
  const inside = new Set(parts.flatMap((p) => p.outputs));
  const tokens = new Set(streams.flatMap((i) => node.inputs[i] ?? []));
  const entering = new Map<ValueName, ValueName>();
  const now: Node[] = [];
  for (const part of parts) {
    const is = uses.producer(part.outputs[0] ?? '');
    // Parts that no output needs are gone.
    if (is === undefined) continue;
    if (is.op !== part.op || is.domain !== part.domain || !sameAttrs(is.attrs, part.attrs)) return undefined;
    if (is.outputs.join('\n') !== part.outputs.join('\n') || is.inputs.length !== part.inputs.length) return undefined;
    for (const [i, was] of part.inputs.entries()) {
      const value = is.inputs[i] as ValueName;
      if (inside.has(was) || !tokens.has(was)) {
        if (value !== was) return undefined;
      } else if ((entering.get(was) ?? value) !== value) return undefined;
      else entering.set(was, value);
    }
    now.push(is);
  }
  const own = new Set(now);
  const outputs = new Set(node.outputs);
  const closed = now.every((part) =>
    part.outputs.every(
      (value) =>
        outputs.has(value) || (!uses.isGraphOutput(value) && uses.consumers(value).every((use) => own.has(use.node))),
    ),
  );
  return closed && now.length > 0 ? { parts: now, entering } : undefined;
};

const isSame = (a: Graph, b: Graph): boolean =>
  a.nodes.length === b.nodes.length &&
  a.nodes.every((node, i) => node === b.nodes[i]) &&
  a.outputs === b.outputs &&
  a.annotations === b.annotations &&
  a.constants.size === b.constants.size &&
  [...a.constants].every(([name, tensor]) => b.constants.get(name) === tensor);

/** For what became of `lowered.model`, what nobody reads removed. */
export const raiseUntouched = ({ original, lowered }: LoweredModel): Pass => ({
  name: 'raise-untouched',
  summary: 'Put fused operators back where their parts were left as they are.',
  run: (model) => {
    const editor = new GraphEditor(model.graph);
    for (const one of lowered) {
      const found = untouched(model, one);
      const [first] = found?.parts ?? [];
      if (found === undefined || first === undefined) continue;
      const inputs = one.node.inputs.map((v) => found.entering.get(v) ?? v);
      const same = inputs.every((v, i) => v === one.node.inputs[i]);
      for (const part of found.parts) editor.removeNode(part);
      editor.expandNode(first, [same ? one.node : { ...one.node, inputs }]);
    }
    const graph = editor.finish();
    return withGraph(model, isSame(graph, original.graph) ? original.graph : graph);
  },
});
