/**
 * Writes the nodes of a function body or of a branch into the graph around it, under names of their own. Knows
 * nothing of why; the caller removes the node they replace.
 */
import type { GraphEditor } from '../graph/editor.ts';
import type { Attr, Node, Tensor, ValueName } from '../graph/model.ts';

export interface Lifted {
  readonly nodes: readonly Node[];
  readonly constants?: ReadonlyMap<ValueName, Tensor>;
  /** The body's own names for what it returns. */
  readonly outputs: readonly ValueName[];
}

/**
 * `bound` names what the body's inputs are outside, `results` what its outputs become ('' for one nobody asked for).
 * False, and nothing written, where a sub-graph inside reads a value that would change its name.
 */
export const liftBody = (
  editor: GraphEditor,
  body: Lifted,
  bound: ReadonlyMap<ValueName, ValueName>,
  results: readonly ValueName[],
  prefix: string,
  attrsOf: (node: Node) => Readonly<Record<string, Attr>> = (node) => node.attrs,
): boolean => {
  const names = new Map(bound);
  const made = [...body.nodes.flatMap((n) => n.outputs), ...(body.constants?.keys() ?? [])].filter((v) => v !== '');
  const inside = new Set([...made, ...bound.keys()]);
  if (body.nodes.some((n) => n.captures.some((v) => inside.has(v)))) return false;
  const byNode = new Set(body.nodes.flatMap((n) => n.outputs));
  body.outputs.forEach((name, i) => {
    const result = results[i] ?? '';
    if (result !== '' && byNode.has(name) && !names.has(name)) names.set(name, result);
  });
  for (const name of made) if (!names.has(name)) names.set(name, editor.fresh(`${prefix}/${name}`));
  const outer = (name: ValueName): ValueName => names.get(name) ?? name;
  for (const [name, tensor] of body.constants ?? []) editor.addConstant(outer(name), tensor);
  for (const node of body.nodes)
    editor.add({
      ...node,
      name: editor.fresh(node.name === '' ? `${prefix}/${node.op}` : node.name),
      inputs: node.inputs.map(outer),
      outputs: node.outputs.map(outer),
      attrs: attrsOf(node),
    });
  body.outputs.forEach((name, i) => {
    const result = results[i] ?? '';
    if (result === '' || outer(name) === result) return;
    editor.add({
      name: editor.fresh(`${prefix}/Identity`),
      op: 'Identity',
      domain: '',
      inputs: [outer(name)],
      outputs: [result],
      attrs: {},
      captures: [],
    });
  });
  return true;
};
