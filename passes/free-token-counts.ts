/**
 * Reshapes behind the first cross-modal layer stop naming token counts, so that nothing downstream assumes a length:
 *
 *   Reshape(x [B,89,64], [2,89,4,16])   becomes   Reshape(x, [0,0,4,16])
 *
 * Exporters bake counts as constants, compute them from graph inputs, or share one shape among all layers; the new
 * target is private and local (0 copies, -1 infers). A Reshape whose tokens cannot be followed is left alone: should
 * shortened tokens reach it, prove-lanes refuses.
 */
import { axisDim, isLabelled, type Axis, type Factor, type Labels } from '../src/analysis/labels.ts';
import { followReshape } from '../src/analysis/lane-rules/layout.ts';
import { lanesOf, type LaneEvent, type Lanes } from '../src/analysis/lanes.ts';
import type { LaneHints } from '../src/analysis/lane-births.ts';
import { dimValue, sameDim } from '../src/analysis/dim.ts';
import { shapesOf } from '../src/analysis/shapes.ts';
import { GraphEditor } from '../src/graph/editor.ts';
import type { Model, Node, ValueName } from '../src/graph/model.ts';
import { opsetOf } from '../src/graph/model.ts';
import { intOf, readNumbers } from '../src/graph/tensors.ts';
import { constantTensor, usesOf } from '../src/graph/uses.ts';
import { inputsBehind } from '../src/analysis/dependencies.ts';
import { withGraph, type Pass } from '../src/rewrite/pass.ts';

/** A number, an element of the old target, or the size of an axis of the value itself or of what it is made from. */
type Element = number | { readonly operand: number } | Place;

interface Place {
  readonly value: ValueName;
  readonly axis: number;
}

const sameAxis = (a: Axis, b: Axis): boolean =>
  a.length === b.length &&
  a.every((f, i) => {
    const g = b[i];
    const lanes = (of: Factor): string => of.tokens?.map((t) => t.lane).join() ?? '';
    return g !== undefined && sameDim(f.dim, g.dim) && isLabelled([f]) === isLabelled([g]) && lanes(f) === lanes(g);
  });

/** 0 copies the input's size at the same place, whatever it will be. */
const copies = (here: Axis | undefined, axis: Axis): boolean =>
  here !== undefined && sameAxis(here, axis) && dimValue(axisDim(axis)) !== 0;

/** Nodes that make each token from itself alone, or lay it out anew, from input 0 and weights. */
const local = new Set(['MatMul', 'Gemm', 'Add', 'Reshape', 'Transpose', 'Cast', 'Identity']);

/** The nearest place behind a value where an axis lies by itself: T of [T*B, C] is an axis of what was flattened. */
const placeOf = (model: Model, lanes: Lanes, from: ValueName, axis: Axis): Place | undefined => {
  for (let value = from; ;) {
    const at = lanes.of(value)?.findIndex((here) => sameAxis(here, axis)) ?? -1;
    if (at >= 0) return { value, axis: at };
    const node = usesOf(model.graph).producer(value);
    const computed = node?.inputs.filter((v) => inputsBehind(model)(v).size > 0) ?? [];
    const [input] = node?.op === 'Reshape' ? node.inputs : computed;
    if (node === undefined || !local.has(node.op) || node.domain !== '' || input === undefined) return undefined;
    if (node.op !== 'Reshape' && computed.length > 1) return undefined;
    value = input;
  }
};

/**
 * The target shape of one Reshape, element by element; undefined where it cannot be local. `elsewhere` finds tokens
 * that are not at the same place in the value: [B*H, T, d] to [B, H, T, d].
 */
const localTarget = (
  model: Model,
  node: Node,
  data: Labels,
  out: Labels,
  elsewhere: (axis: Axis) => Place | undefined,
): readonly Element[] | undefined => {
  const operand = shapesOf(model).of(node.inputs[1] ?? '')?.ints?.values;
  let inferred = 0;
  const tokensInferred = out.some((axis, j) => isLabelled(axis) && !copies(data[j], axis));
  const elements = out.map((on, j): Element => {
    const size = dimValue(axisDim(on));
    if (!isLabelled(on) && size !== undefined && size > 0) return size;
    if (copies(data[j], on)) return 0;
    const found = isLabelled(on) ? elsewhere(on) : undefined;
    if (found !== undefined) return found;
    const said = operand?.[j];
    const literal = said && dimValue(said);
    if (!isLabelled(on) && tokensInferred && said !== undefined && (literal === undefined || literal > 0))
      return { operand: j };
    inferred++;
    return -1;
  });
  return inferred > 1 ? undefined : elements;
};

/** Constant targets that copy or infer every token axis already. */
const isLocal = (model: Model, node: Node, data: Labels, out: Labels): boolean => {
  const tensor = constantTensor(model, node.inputs[1] ?? '');
  const said = tensor && readNumbers(tensor, 16);
  return (
    said?.length === out.length &&
    intOf(node, 'allowzero', 0) === 0 &&
    out.every((axis, j) => !isLabelled(axis) || said[j] === -1 || (said[j] === 0 && copies(data[j], axis)))
  );
};

/** Values behind the context of the first cross-modal layers. */
export interface FreeingScope {
  readonly hints: LaneHints;
  readonly behind: (model: Model) => ReadonlySet<ValueName>;
}

const isTorn = (events: readonly LaneEvent[], node: Node): boolean =>
  events.some((e) => e.node === node && e.kind === 'lost');

export const freeTokenCounts = (scope: FreeingScope): Pass => ({
  name: 'free-token-counts',
  summary: 'Rewrite Reshape targets so that no token count is baked in or computed elsewhere.',
  run: (model) => {
    const lanes = lanesOf(model, scope.hints);
    const behind = scope.behind(model);
    const shapes = shapesOf(model);
    const editor = new GraphEditor(model.graph);
    for (const node of model.graph.nodes) {
      const [dataName, shapeName] = node.inputs;
      if (node.op !== 'Reshape' || node.domain !== '' || dataName === undefined || shapeName === undefined) continue;
      const data = lanes.of(dataName);
      const dims = shapes.of(node.outputs[0] ?? '')?.dims;
      if (data?.some(isLabelled) !== true || dims === undefined || !behind.has(dataName) || isTorn(lanes.events, node))
        continue;
      const out = followReshape(data, dims)?.[0];
      if (out === undefined || isLocal(model, node, data, out)) continue;
      const target =
        localTarget(model, node, data, out, () => undefined) ??
        localTarget(model, node, data, out, (axis) => placeOf(model, lanes, dataName, axis));
      if (target === undefined) continue;
      const e = editor.emitter(opsetOf(model), `pumer/${node.name || node.outputs[0]}`);
      const shape = target.every((x) => typeof x === 'number')
        ? e.int64s(target)
        : e.concat(
            target.map((x) =>
              typeof x === 'number'
                ? e.int64s([x])
                : 'axis' in x
                  ? e.length(x.value, x.axis)
                  : e.slice(shapeName, 0, x.operand, x.operand + 1),
            ),
            0,
          );
      const attrs = Object.fromEntries(Object.entries(node.attrs).filter(([name]) => name !== 'allowzero'));
      editor.replaceNode(node, { ...node, inputs: [dataName, shape], attrs });
    }
    return withGraph(model, editor.finish());
  },
});
