/**
 * Gives the keys and values of every text-to-image attention casts and quantisers of their own where they share them
 * with other readers:
 *
 *   x -> quantise -> keys 1, keys 2, image layer     becomes     x -> quantise -> keys 1    x -> quantise -> keys 2 ...
 *
 * A site shortens the image for all but the attention that scores it, and needs a place between the two. What the
 * copies compute is the same; share-wrappers joins those again that still read the same value.
 */
import type { Attention } from '../src/analysis/attention.ts';
import { dataReaders, isWrapper } from '../src/analysis/number-types.ts';
import { climbToProjection, type Projection } from '../src/analysis/projection.ts';
import { GraphEditor } from '../src/graph/editor.ts';
import type { Graph, Model, Node, ValueName } from '../src/graph/model.ts';
import { usesOf } from '../src/graph/uses.ts';
import { withGraph, type Pass } from '../src/rewrite/pass.ts';

/** How copies are called. */
export const copyPrefix = 'pumer/own/';

interface Input {
  readonly node: Node;
  readonly input: number;
}

const onlyReader = (model: Model, value: ValueName): Input | undefined => {
  const [use, ...more] = usesOf(model.graph).consumers(value);
  return more.length > 0 ? undefined : use;
};

const inputOf = (node: Node | undefined, value: ValueName | undefined): Input | undefined => {
  const input = value === undefined || node === undefined ? -1 : node.inputs.indexOf(value);
  return node === undefined || input < 0 ? undefined : { node, input };
};

/** Where the result of an integer product is multiplied by the scale of its own quantiser. */
const rescaling = (model: Model, product: Node, scale: ValueName | undefined): Input | undefined => {
  const fused = inputOf(product, scale);
  if (fused !== undefined) return fused;
  const cast = onlyReader(model, product.outputs[0] ?? '')?.node;
  const mul = cast?.op === 'Cast' ? onlyReader(model, cast.outputs[0] ?? '')?.node : undefined;
  if (cast === undefined || mul?.op !== 'Mul') return undefined;
  const direct = inputOf(mul, scale);
  if (direct !== undefined) return direct;
  const scales = mul.inputs.find((v) => v !== cast.outputs[0]) ?? '';
  const both = usesOf(model.graph).producer(scales);
  return both?.op === 'Mul' && onlyReader(model, scales) !== undefined ? inputOf(both, scale) : undefined;
};

/** Wrappers between a projection and what it projects, innermost first. */
const wrappersOf = (model: Model, projection: Projection): readonly Node[] => {
  const found: Node[] = [];
  for (let at = projection.node.inputs[0] ?? ''; at !== projection.input;) {
    const node = usesOf(model.graph).producer(at);
    if (node === undefined) return [];
    found.push(node);
    at = node.inputs[0] ?? '';
  }
  return found;
};

/** Every input of the projection's own that reads an output of its innermost wrapper; undefined where one is missing. */
const readsOf = (
  model: Model,
  { node }: Projection,
  wrapper: Node,
): readonly (Input & { output: number })[] | undefined => {
  const data = { node, input: 0, output: 0 };
  if (wrapper.op !== 'DynamicQuantizeLinear') return [data];
  const scale = rescaling(model, node, wrapper.outputs[1]);
  const zero = inputOf(node, wrapper.outputs[2]);
  return scale && zero && [data, { ...scale, output: 1 }, { ...zero, output: 2 }];
};

/** Copies a projection's wrappers for it; `copies` are those its attention already has. */
const own = (model: Model, editor: GraphEditor, projection: Projection, copies: Map<Node, Node>): void => {
  const wrappers = wrappersOf(model, projection);
  const [innermost] = wrappers;
  const reads = innermost && readsOf(model, projection, innermost);
  if (innermost === undefined || reads === undefined) return;
  for (const wrapper of wrappers.toReversed()) {
    if (copies.has(wrapper)) continue;
    const [data = '', ...parameters] = wrapper.inputs;
    const before = copies.get(usesOf(model.graph).producer(data) as Node);
    const outputs = wrapper.outputs.map((o) => (o === '' ? '' : editor.fresh(`${copyPrefix}${o}`)));
    const copy = { ...wrapper, name: editor.fresh(`${copyPrefix}${wrapper.name}`), outputs };
    const inputs = [before?.outputs[0] ?? data, ...parameters];
    copies.set(wrapper, { ...copy, inputs });
    editor.add({ ...copy, inputs });
    // A size is the same in any number type, and must not depend on which readers get shortened tokens.
    for (const { node, input } of usesOf(model.graph).consumers(wrapper.outputs[0] ?? ''))
      if (node.op === 'Shape' && input === 0) editor.setInput(node, 0, projection.input);
  }
  const copy = copies.get(innermost);
  for (const { node, input, output } of reads) editor.setInput(node, input, copy?.outputs[output] ?? '');
};

/** Originals that nobody reads any more would pass for readers of what they quantise. */
const withoutUnread = (graph: Graph, originals: ReadonlySet<Node>): Graph => {
  const uses = usesOf(graph);
  const editor = new GraphEditor(graph);
  const gone = new Set<Node>();
  for (const node of graph.nodes.toReversed()) {
    const isRead = (value: ValueName): boolean =>
      uses.isGraphOutput(value) || uses.consumers(value).some((u) => !gone.has(u.node));
    if (!originals.has(node) || node.outputs.some(isRead)) continue;
    gone.add(node);
    editor.removeNode(node);
  }
  return editor.finish();
};

export const ownWrappers = (attentions: readonly Attention[]): Pass => ({
  name: 'own-wrappers',
  summary: 'Give keys and values of text-to-image attention casts and quantisers of their own.',
  run: (model) => {
    const editor = new GraphEditor(model.graph);
    const copied = new Set<Node>();
    for (const attention of attentions) {
      const copies = new Map<Node, Node>();
      const both = [attention.key, attention.value].flatMap((v) => climbToProjection(model, v) ?? []);
      const isOwn = (node: Node): boolean => both.some((p) => p.node === node);
      for (const projection of both) {
        const { use } = projection;
        const shared = isWrapper(use.node) && dataReaders(model, use.node.outputs[0] ?? '').some((r) => !isOwn(r.node));
        if (shared) own(model, editor, projection, copies);
      }
      for (const node of copies.keys()) copied.add(node);
    }
    return withGraph(model, withoutUnread(editor.finish(), copied));
  },
});
