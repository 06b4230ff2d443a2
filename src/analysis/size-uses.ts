/**
 * Finds where the number of tokens itself is computed with: x / T, pooled / sqrt(T), a table's row T, an output that
 * is T. After a reduction such a number is another one, and whether the model means the old or the new one nobody can
 * tell from the graph. Sizes that only shape other values (Reshape, Expand, Slice, ...) are no such use; what they
 * shape without coming from the tokens has a length of its own, and a sum over that is the number again.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { intOf } from '../graph/tensors.ts';
import { inputsBehind, liveNodes } from './dependencies.ts';
import { dimValue } from './dim.ts';
import { anyShortened, isShortened } from './labels.ts';
import type { Lanes } from './lanes.ts';
import { shapesOf } from './shapes.ts';

/** Which elements of a value are numbers of tokens. */
type Elements = 'all' | ReadonlySet<number>;

const words = (text: string): ReadonlySet<string> => new Set(text.split(' '));

/** Element by element. */
const arithmetic = words(
  'Add Sub Mul Div Mod Neg Abs Pow Sqrt Reciprocal Log Exp Floor Ceil Round Min Max Sum Mean Cast CastLike Identity ' +
    'Equal Greater GreaterOrEqual Less LessOrEqual Not And Or Where Clip Sign',
);
/** Move elements or put a few together. */
const gathers = words(
  'Gather Slice Squeeze Unsqueeze Concat Reshape Flatten Split ReduceProd ReduceSum ReduceMax ReduceMin',
);
/** The inputs that say a shape, a bound or a count and nothing of elements. */
const shaping: Readonly<Record<string, readonly number[]>> = {
  Reshape: [1],
  Expand: [1],
  ConstantOfShape: [0],
  Slice: [1, 2, 3, 4],
  Split: [1],
  Tile: [1],
  Pad: [1],
  OneHot: [1],
  Resize: [2, 3],
};
/** Carry an axis of their own along and add nothing up. */
const keepsExtent = words(
  'Add Sub Mul Div Mod Neg Abs Pow Sqrt Min Max Cast CastLike Identity Equal Greater GreaterOrEqual Less LessOrEqual Not ' +
    'And Or Xor Where Clip Unsqueeze Squeeze Transpose Reshape Expand Slice Concat Tile Gather EyeLike Trilu',
);

export interface SizeUse {
  readonly node?: Node;
  readonly value: ValueName;
}

/**
 * Nodes (or, without a node, graph outputs) in which a number of shortened tokens is more than a size. `trusted` nodes
 * may do what they like: attention itself, and what insertion wrote.
 */
export const sizesUsedAsData = (model: Model, lanes: Lanes, trusted: (node: Node) => boolean): readonly SizeUse[] => {
  const numbers = new Map<ValueName, Elements>();
  /** Values with an axis as long as the shortened tokens that are not those tokens. */
  const extents = new Set<ValueName>();
  const found: SizeUse[] = [];
  const shapes = shapesOf(model);
  const behind = inputsBehind(model);
  const live = liveNodes(model);
  const isShort = (value: ValueName): boolean => anyShortened(lanes.of(value));
  const set = (node: Node, elements: Elements): void => {
    for (const output of node.outputs) if (output !== '') numbers.set(output, elements);
  };
  const extend = (node: Node): void => {
    for (const output of node.outputs) if (output !== '' && !isShort(output)) extents.add(output);
  };

  for (const node of model.graph.nodes) {
    if (!live.has(node) || trusted(node)) continue;
    if (node.op === 'Shape' || node.op === 'Size') {
      const source = node.inputs[0] ?? '';
      const axes = (lanes.of(source) ?? []).flatMap((axis, i) => (isShortened(axis) ? [i] : []));
      if (extents.has(source) || (node.op === 'Size' && axes.length > 0)) set(node, 'all');
      else if (axes.length > 0) {
        const start = intOf(node, 'start', 0);
        const rank = lanes.of(source)?.length ?? 0;
        set(node, new Set(axes.map((a) => a - (start < 0 ? Math.max(start + rank, 0) : start))));
      }
      continue;
    }
    const parameters = shaping[node.op] ?? [];
    const data = node.inputs.filter((v, i) => v !== '' && !parameters.includes(i));
    const value = data.find((v) => numbers.has(v)) ?? node.captures.find((v) => numbers.has(v) || extents.has(v));
    const onTokens = node.inputs.some(isShort);
    const longer =
      (!onTokens && data.some((v) => extents.has(v))) ||
      parameters.some((i) => hasAny(numbers.get(node.inputs[i] ?? ''))) ||
      (node.op === 'Range' && value !== undefined) ||
      (node.op === 'EyeLike' && onTokens);
    if (longer) {
      extend(node);
      // Whatever adds up over such an axis counts it.
      if (!keepsExtent.has(node.op) && shaping[node.op] === undefined && node.op !== 'Range') set(node, 'all');
    }
    if (value === undefined) continue;
    const elements = outcome(model, node, numbers, (v) => shapes.of(v)?.ints?.values.map(dimValue));
    if (elements !== 'none' && !hasAny(elements)) continue;
    const others = data.filter((v) => !numbers.has(v) && !extents.has(v));
    const withData = others.some((v) => behind(v).size > 0);
    const readsToken = node.op === 'Gather' && node.inputs[0] !== value && isShort(node.inputs[0] ?? '');
    if (readsToken) continue;
    if (elements === 'none' || onTokens || withData || node.captures.includes(value)) found.push({ node, value });
    else set(node, elements);
  }
  for (const { name } of model.graph.outputs)
    if (hasAny(numbers.get(name)) || extents.has(name)) found.push({ value: name });
  return found;
};

const hasAny = (elements: Elements | undefined): boolean =>
  elements !== undefined && (elements === 'all' || elements.size > 0);

/** Which elements of the results are numbers of tokens; 'none' where the operator has no business with them. */
const outcome = (
  model: Model,
  node: Node,
  numbers: ReadonlyMap<ValueName, Elements>,
  ints: (value: ValueName) => readonly (number | undefined)[] | undefined,
): Elements | 'none' => {
  if (node.domain !== '') return 'none';
  const rankOf = (v: ValueName): number => shapesOf(model).of(v)?.dims?.length ?? 2;
  const lengthOf = (v: ValueName): number | undefined => {
    const dims = shapesOf(model).of(v)?.dims;
    return dims?.length === 0 ? 1 : dims?.length === 1 && dims[0] ? dimValue(dims[0]) : undefined;
  };
  const [first = '', second = ''] = node.inputs;
  const at = numbers.get(first);
  if (node.op === 'Range') return 'all';
  if (node.op === 'Gather') {
    const index = ints(second);
    const length = lengthOf(first);
    if (numbers.has(second)) return 'none';
    if (at === undefined || at === 'all' || index === undefined || length === undefined) return 'all';
    return new Set(index.flatMap((i, k) => (i === undefined || at.has(i < 0 ? i + length : i) ? [k] : [])));
  }
  if (node.op === 'Slice') {
    const [start, step] = [ints(second)?.[0], node.inputs[4] ? ints(node.inputs[4])?.[0] : 1];
    const length = lengthOf(first);
    const out = lengthOf(node.outputs[0] ?? '');
    if (at === undefined || at === 'all' || start === undefined || step !== 1 || length === undefined) return 'all';
    const from = Math.min(start < 0 ? start + length : start, length);
    return new Set([...at].map((i) => i - from).filter((i) => i >= 0 && i < (out ?? length)));
  }
  if (node.op === 'Concat') {
    let offset = 0;
    const all = new Set<number>();
    for (const input of node.inputs) {
      const length = rankOf(input) === 1 ? lengthOf(input) : undefined;
      const own = numbers.get(input);
      if (length === undefined) return 'all';
      if (own === 'all') for (let i = 0; i < length; i++) all.add(offset + i);
      else for (const i of own ?? []) all.add(offset + i);
      offset += length;
    }
    return all;
  }
  if (['Squeeze', 'Unsqueeze', 'Reshape', 'Flatten', 'Cast', 'CastLike', 'Identity'].includes(node.op))
    return at ?? 'none';
  if (gathers.has(node.op)) return at === undefined ? 'none' : hasAny(at) ? 'all' : at;
  if (!arithmetic.has(node.op)) return 'none';
  const out = lengthOf(node.outputs[0] ?? '');
  const all = new Set<number>();
  for (const input of node.inputs) {
    const own = numbers.get(input);
    if (!hasAny(own) || own === undefined) continue;
    if (own === 'all' || out === undefined || lengthOf(input) !== out) return 'all';
    for (const i of own) all.add(i);
  }
  return all;
};
