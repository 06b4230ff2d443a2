/**
 * Attention as exporters write it: three projections or a fused one, heads split and merged with shapes that are
 * constants, computed on the spot or shared by all layers, the scale in its places, masks in their forms.
 */
import { DataType } from '../../src/graph/model.ts';
import { tensorAttr, int64Tensor } from '../../src/graph/tensors.ts';
import type { Writing, Written } from './graph.ts';
import { countOf, maskFormOf, type LaneName } from './recipe.ts';

/** [batch, tokens, ...rest] for a value with these runs, in the recipe's way of writing shapes, and the reshape. */
const reshaped = (w: Writing, x: Written, value: string, rest: readonly number[]): string => {
  const { s, recipe } = w;
  const tokens = w.fixed(x.runs);
  const batch = recipe.batchOpen ? undefined : recipe.batch;
  const way = recipe.spelling.shapes;
  if (way === 'zeros') return s.reshape(value, s.ints([0, 0, ...rest]));
  if ((way === 'static' || way === 'minus-one') && tokens !== undefined) {
    if (batch === undefined) return s.reshape(value, s.ints([-1, tokens, ...rest]), true);
    return s.reshape(value, s.ints([batch, way === 'static' ? tokens : -1, ...rest]));
  }
  const constant = rest.map((d) => s.ints([d]));
  if (way === 'shared') {
    const key = `shape:${x.runs.join()}:${rest.join()}`;
    const first = batch === undefined ? w.batch() : s.ints([batch]);
    const second = tokens === undefined ? w.counted(x.runs) : s.ints([tokens]);
    const shape = w.once(key, () => s.op('Concat', [first, second, ...constant], { axis: 0 }));
    return s.reshape(value, shape, true);
  }
  // TorchScript: sizes read off the value at hand.
  const second = way === 'minus-one' ? s.ints([-1]) : s.size(value, 1);
  return s.reshape(value, s.op('Concat', [s.size(value, 0), second, ...constant], { axis: 0 }));
};

/** [B, H, T, d] each, keys also as [B, T, H, d] where they were split that way. */
interface Heads {
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly unturned?: string;
}

const projections = (w: Writing, name: string, x: Written, y: Written): Heads => {
  const { s, recipe } = w;
  const { heads, headWidth, width, spelling } = recipe;
  const size = heads * headWidth;
  const parts = ['query', 'key', 'value'].map((part) => `${name}.${part}`);
  const before = (value: string): string =>
    spelling.scale === 'query-before-split' ? s.op('Div', [value, s.float(Math.sqrt(headWidth))]) : value;
  const turned = (value: string): string => s.transpose(value, [0, 2, 1, 3]);
  const headed = (from: Written, value: string): string => reshaped(w, from, value, [heads, headWidth]);
  if (x !== y || spelling.qkv === 'three') {
    const [q, k, v] = parts.map((part, i) => w.linear(i === 0 ? x : y, part, width, size)) as [string, string, string];
    const unturned = headed(y, k);
    return {
      query: turned(headed(x, before(q))),
      key: spelling.keys === 'one-step' ? '' : turned(unturned),
      value: turned(headed(y, v)),
      unturned,
    };
  }
  // One product for all three: the weights side by side.
  const all = w.fused(x, parts, width, size);
  if (spelling.qkv === 'fused-split-width') {
    const [q, k, v] = s.split(all, 2, [size, size, size]) as [string, string, string];
    const unturned = headed(x, k);
    return {
      query: turned(headed(x, before(q))),
      key: spelling.keys === 'one-step' ? '' : turned(unturned),
      value: turned(headed(x, v)),
      unturned,
    };
  }
  const five = s.transpose(reshaped(w, x, all, [3, heads, headWidth]), [2, 0, 3, 1, 4]);
  const [q, k, v] = (
    spelling.qkv === 'fused-gather'
      ? [0, 1, 2].map((i) => s.op('Gather', [five, s.int(i)], { axis: 0 }))
      : s.split(five, 0, [1, 1, 1]).map((part) => s.squeeze(part, [0]))
  ) as [string, string, string];
  return { query: before(q), key: k, value: v };
};

/** Keys as the product needs them: [B, H, d, T]. */
const transposedKeys = (w: Writing, y: Written, { key, unturned }: Heads): string => {
  const { s, recipe } = w;
  const { heads, headWidth: d, spelling } = recipe;
  if (spelling.keys === 'one-step' && unturned !== undefined) return s.transpose(unturned, [0, 2, 3, 1]);
  if (spelling.keys !== 'reshaped') return s.transpose(key, [0, 1, 3, 2]);
  const tokens = w.fixed(y.runs);
  if (tokens !== undefined && !recipe.batchOpen) {
    const flat = s.transpose(s.reshape(key, s.ints([-1, tokens, d])), [0, 2, 1]);
    return s.reshape(flat, s.ints([recipe.batch, heads, d, tokens]));
  }
  const shape = s.op('Shape', [key]);
  const cut = (from: number, to: number): string => s.slice(shape, 0, s.ints([from]), s.ints([to]));
  const [lead, rows, last] = [cut(0, 2), cut(2, 3), cut(3, 4)];
  const flat = s.reshape(key, s.op('Concat', [s.ints([-1]), rows, last], { axis: 0 }));
  return s.reshape(s.transpose(flat, [0, 2, 1]), s.op('Concat', [lead, last, rows], { axis: 0 }));
};

/** 1 for keys to be seen: int64 [B, keys]. */
const shownKeys = (w: Writing, keys: readonly LaneName[]): string => {
  const { s, recipe } = w;
  const ones = (lane: LaneName): string => {
    const n = w.fixed([lane]);
    if (!recipe.batchOpen && n !== undefined && recipe.spelling.shapes !== 'local')
      return s.ints(
        Array.from({ length: recipe.batch * n }, () => 1),
        [recipe.batch, n],
      );
    const shape = s.op('Concat', [w.batch(), n === undefined ? w.counted([lane]) : s.ints([n])], { axis: 0 });
    if (recipe.spelling.constants === 'nodes')
      return s.op('ConstantOfShape', [shape], { value: tensorAttr(int64Tensor([1], [1])) });
    return s.op('Expand', [s.ints([1]), shape]);
  };
  const parts = keys.map((lane) =>
    lane === 'text' ? 'attention_mask' : lane === 'image' && recipe.image.mask === 'input' ? 'image_mask' : ones(lane),
  );
  return parts.length === 1 ? parts[0]! : s.op('Concat', parts, { axis: 1 });
};

/** A bool or int64 mask [B, keys] with a row for every query: [B, 1, queries, keys]. */
const expanded = (w: Writing, mask: string, x: Written, y: Written): string => {
  const { s } = w;
  const sizes = [w.batch(), s.ints([1]), w.lengthOf(x), w.lengthOf(y)];
  return s.op('Expand', [s.unsqueeze(mask, [1, 2]), s.op('Concat', sizes, { axis: 0 })]);
};

type Masked = (scores: string) => string;

const maskOf = (w: Writing, x: Written, y: Written): Masked => {
  const { s, recipe } = w;
  const { mask } = recipe;
  const form = maskFormOf(recipe, y.runs);
  if (form === 'none') return (scores) => scores;
  const minimum = mask.minimum === '-inf' ? -Infinity : mask.minimum;
  const key = `mask:${y.runs.join()}:${mask.manyRows ? x.runs.join() : ''}`;
  const made = (make: () => string): string => (mask.rebuilt ? make() : w.once(key, make));
  const rows = (value: string): string => (mask.manyRows ? expanded(w, value, x, y) : s.unsqueeze(value, [1, 2]));
  switch (form) {
    case 'constant': {
      const n = w.fixed(y.runs)!;
      const zeros = made(() =>
        s.floats(
          [1, 1, 1, n],
          Array.from({ length: n }, () => 0),
        ),
      );
      return (scores) => s.op('Add', [scores, zeros]);
    }
    case 'additive': {
      const bias = made(() => {
        const seen = s.cast(rows(shownKeys(w, y.runs)), DataType.FLOAT);
        return s.op('Mul', [s.op('Sub', [s.float(1), seen]), s.float(minimum)]);
      });
      return (scores) => s.op('Add', [scores, bias]);
    }
    case 'expanded':
    case 'guarded': {
      const bias = made(() => {
        const seen = rows(s.cast(shownKeys(w, y.runs), DataType.BOOL));
        return s.op('Where', [seen, s.float(0), s.float(minimum)]);
      });
      return (scores) => s.op('Add', [scores, bias]);
    }
    case 'where': {
      const hidden = made(() => rows(s.op('Equal', [shownKeys(w, y.runs), s.int(0)])));
      return (scores) => s.op('Where', [hidden, s.float(minimum), scores]);
    }
    case 'where-swapped': {
      const seen = made(() => rows(s.cast(shownKeys(w, y.runs), DataType.BOOL)));
      return (scores) => s.op('Where', [seen, scores, s.float(minimum)]);
    }
  }
};

/** [B, queries, H * d]. `block`: the layer, for what a recipe poisons there. */
export const writeAttention = (w: Writing, name: string, x: Written, y: Written, block?: number): string => {
  const { s, recipe } = w;
  const { heads, headWidth: d, spelling } = recipe;
  const h = projections(w, name, x, y);
  const root = Math.sqrt(Math.sqrt(d));
  let query = h.query;
  let keys = transposedKeys(w, y, h);
  if (spelling.scale === 'query-after-split') query = s.op('Mul', [query, s.float(1 / Math.sqrt(d))]);
  if (spelling.scale === 'both') {
    query = s.op('Mul', [query, s.float(1 / root)]);
    keys = s.op('Mul', [keys, s.float(1 / root)]);
  }
  let scores = s.op('MatMul', [query, keys]);
  if (spelling.scale === 'div') scores = s.op('Div', [scores, s.float(Math.sqrt(d))]);
  if (spelling.scale === 'mul') scores = s.op('Mul', [scores, s.float(1 / Math.sqrt(d))]);
  const poison = recipe.poison?.layer === block ? recipe.poison?.kind : undefined;
  if (poison === 'causal') {
    const [rows, columns] = [x, y].map(({ runs }) => runs.reduce((n, lane) => n + countOf(recipe, lane), 0));
    const triangle = Array.from({ length: rows! * columns! }, (_, i) =>
      i % columns! > Math.floor(i / columns!) ? -10000 : 0,
    );
    scores = s.op('Add', [scores, s.floats([1, 1, rows!, columns!], triangle)]);
  }
  if (poison !== 'other-mask') scores = maskOf(w, x, y)(scores);
  let probs = s.op('Softmax', [scores], { axis: s.opset < 13 ? 3 : -1 });
  if (recipe.mask.form === 'guarded') probs = s.op('Where', [s.op('IsNaN', [probs]), s.float(0), probs]);
  const context = s.transpose(s.op('MatMul', [probs, h.value]), [0, 2, 1, 3]);
  return reshaped(w, x, context, [heads * d]);
};
