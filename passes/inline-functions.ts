/**
 * Calls of model-local functions become the nodes of their bodies, so that lanes can be traced through them. A call
 * is left alone where its body could mean something else outside: another operator set, overloads, sub-graphs that
 * read the function's values. Our own reducer stays a call.
 */
import { GraphEditor } from '../src/graph/editor.ts';
import type { Attr, FunctionBody, Model, Node } from '../src/graph/model.ts';
import { liftBody } from '../src/rewrite/lift.ts';
import { withGraph, type Pass } from '../src/rewrite/pass.ts';
import { TOKEN_REDUCE } from '../src/reduction/token-reduce/contract.ts';

const keyOf = ({ domain, name }: { domain: string; name: string }): string => `${domain}::${name}`;
const called = (node: Node): string => keyOf({ domain: node.domain, name: node.op });

/** Functions whose bodies mean the same outside, by what calls them. */
const inlinable = (model: Model): ReadonlyMap<string, FunctionBody> => {
  const count = new Map<string, number>();
  for (const f of model.functions) count.set(keyOf(f), (count.get(keyOf(f)) ?? 0) + 1);
  const fits = (f: FunctionBody): boolean =>
    f.domain !== TOKEN_REDUCE.domain &&
    count.get(keyOf(f)) === 1 &&
    f.nodes.every((n) => f.opsets.get(n.domain) === model.opsets.get(n.domain) && model.opsets.has(n.domain));
  return new Map(model.functions.filter(fits).map((f) => [keyOf(f), f]));
};

/** Attributes of a body's node, with those of the call where it refers to them; absent ones stay absent. */
const attrsFor =
  (call: Node, body: FunctionBody) =>
  (node: Node): Readonly<Record<string, Attr>> =>
    Object.fromEntries(
      Object.entries(node.attrs).flatMap(([name, attr]) => {
        const given = attr.kind === 'reference' ? (call.attrs[attr.value] ?? body.defaults?.[attr.value]) : attr;
        return given === undefined ? [] : [[name, given] as const];
      }),
    );

/** Nodes at any depth, bodies of If and loops included. */
const withBodies = (nodes: readonly Node[]): readonly Node[] =>
  nodes.flatMap((node) => [
    node,
    ...Object.values(node.attrs).flatMap((a) => (a.kind === 'body' ? withBodies(a.value.nodes) : [])),
  ]);

/** Functions that nothing calls any more go, if the file's calls were what held them. */
const withoutUncalled = (model: Model, inlined: ReadonlySet<FunctionBody>): Model => {
  const hidden = withBodies(model.graph.nodes).some((n) => Object.values(n.attrs).some((a) => a.kind === 'opaque'));
  if (hidden) return model;
  const needed = new Set<string>();
  const queue = withBodies(model.graph.nodes).map(called);
  for (let key = queue.pop(); key !== undefined; key = queue.pop()) {
    if (needed.has(key)) continue;
    needed.add(key);
    for (const f of model.functions) if (keyOf(f) === key) queue.push(...withBodies(f.nodes).map(called));
  }
  return { ...model, functions: model.functions.filter((f) => !inlined.has(f) || needed.has(keyOf(f))) };
};

export const inlineFunctions: Pass = {
  name: 'inline-functions',
  summary: 'Write the bodies of model-local functions in place of their calls.',
  run: (original) => {
    const functions = inlinable(original);
    const inlined = new Set<FunctionBody>();
    let model = original;
    // Bodies call functions too; ONNX allows no recursion, so this ends.
    for (let depth = 0; depth <= original.functions.length; depth++) {
      const calls = model.graph.nodes.filter((n) => functions.has(called(n)));
      if (calls.length === 0) break;
      const editor = new GraphEditor(model.graph);
      for (const call of calls) {
        const body = functions.get(called(call)) as FunctionBody;
        const bound = new Map(body.inputs.map((name, i) => [name, call.inputs[i] ?? '']));
        const prefix = call.name === '' ? (call.outputs.find((o) => o !== '') ?? call.op) : call.name;
        if (!liftBody(editor, body, bound, call.outputs, prefix, attrsFor(call, body))) continue;
        editor.removeNode(call);
        inlined.add(body);
      }
      const next = withGraph(model, editor.finish());
      if (next === model) break;
      model = next;
    }
    return model === original ? original : withoutUncalled(model, inlined);
  },
};
