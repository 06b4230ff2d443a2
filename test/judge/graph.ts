/**
 * A recipe as an ONNX model in the spelling it asks for: embeddings, streams, layers, heads. Attention and its masks
 * are written by `attention-graph.ts`. Must mean what `interpreter.ts` computes without sites; the judge checks that.
 */
import { DataType, type Model } from '../../src/graph/model.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import { writeAttention } from './attention-graph.ts';
import { epsilon } from './arithmetic.ts';
import { answers, channels, features, inputsOf, longestText, patch, vocabulary, weightsOf } from './numbers.ts';
import { attendsAt, countOf, nameOf, type LaneName, type Recipe, type StreamName } from './recipe.ts';
import { Sheet, toEnd } from './sheet.ts';

/** A value [batch, tokens, width] and the runs along it. */
export interface Written {
  readonly value: string;
  readonly runs: readonly LaneName[];
}

/** What the parts of the writer share. */
export interface Writing {
  readonly s: Sheet;
  readonly recipe: Recipe;
  readonly weight: (name: string, dims: readonly number[]) => string;
  readonly linear: (x: Written, name: string, from: number, to: number) => string;
  readonly norm: (x: string, name: string) => string;
  /** Tokens of runs as a number, undefined where the file leaves it open. */
  readonly fixed: (runs: readonly LaneName[]) => number | undefined;
  /** Tokens of runs, and the batch, as int64[1] values rooted at the graph's inputs. */
  readonly counted: (runs: readonly LaneName[]) => string;
  readonly batch: () => string;
  /** The length of a value's axis 1 as int64[1], in the recipe's way of writing shapes. */
  readonly lengthOf: (x: Written) => string;
  /** Queries, keys and values in one product. */
  readonly fused: (x: Written, parts: readonly string[], from: number, to: number) => string;
  /** Written the first time it is asked for. */
  readonly once: (key: string, make: () => string) => string;
}

const opened = (w: { recipe: Recipe }, lane: LaneName): boolean =>
  lane === 'text' ? w.recipe.text.open : lane === 'image' && w.recipe.image.open;

const begin = (recipe: Recipe): Writing => {
  const { spelling, opset, width, text, image } = recipe;
  const s = new Sheet(opset, spelling.constants === 'nodes');
  const numbers = weightsOf(recipe);
  const weight = (name: string, dims: readonly number[]): string => s.weight(name, dims, numbers(name, dims));
  const rows = recipe.batchOpen ? 'batch' : recipe.batch;
  const words = text.open ? 'words' : text.length;
  s.input('input_ids', DataType.INT64, [rows, words]);
  s.input('attention_mask', DataType.INT64, [rows, words]);
  s.input('token_type_ids', DataType.INT64, [rows, words]);
  if (image.from === 'pixels')
    s.input('pixels', DataType.FLOAT, [rows, channels, image.rows * patch, image.columns * patch]);
  else s.input('regions', DataType.FLOAT, [rows, image.open ? 'boxes' : image.count - (image.cls ? 1 : 0), features]);
  s.input('image_mask', DataType.INT64, [rows, image.open && !image.cls ? 'boxes' : image.open ? 'seen' : image.count]);

  const fixed = (runs: readonly LaneName[]): number | undefined =>
    runs.some((lane) => opened({ recipe }, lane)) ? undefined : runs.reduce((n, lane) => n + countOf(recipe, lane), 0);
  const cache = new Map<string, string>();
  const once = (key: string, make: () => string): string => {
    const made = cache.get(key) ?? make();
    cache.set(key, made);
    return made;
  };
  const counted = (runs: readonly LaneName[]): string =>
    once(`count:${runs.join()}`, () => {
      const closed = runs.filter((lane) => !opened({ recipe }, lane));
      const parts = runs
        .filter((lane) => opened({ recipe }, lane))
        .map((lane) => {
          if (lane === 'text') return s.size('input_ids', 1);
          const seen = s.size('regions', 1);
          return image.cls ? s.op('Add', [seen, s.ints([1])]) : seen;
        });
      const rest = closed.reduce((n, lane) => n + countOf(recipe, lane), 0);
      const all = rest > 0 || parts.length === 0 ? [...parts, s.ints([rest])] : parts;
      return all.reduce((x, y) => s.op('Add', [x, y]));
    });
  const batch = (): string => once('batch', () => s.size('input_ids', 0));
  const lengthOf = (x: Written): string => {
    const tokens = x.runs.length === 0 ? undefined : fixed(x.runs);
    if (spelling.shapes === 'local') return s.size(x.value, 1);
    return tokens === undefined ? counted(x.runs) : s.ints([tokens]);
  };
  const fused = (x: Written, parts: readonly string[], from: number, to: number): string => {
    const side = (
      name: (part: string) => string,
      rows: number,
      dims: readonly number[],
      own: readonly number[],
    ): string => {
      const columns = parts.map((part) => numbers(name(part), own));
      const joined = Array.from({ length: rows }, (_, r) =>
        columns.flatMap((column) => [...column.subarray(r * to, (r + 1) * to)]),
      );
      return s.weight(parts.map(name).join('+'), dims, joined.flat());
    };
    const product = s.op('MatMul', [x.value, side((part) => part, from, [from, to * parts.length], [from, to])]);
    if (spelling.linear === 'no-bias') return product;
    const bias = side((part) => `${part}.bias`, 1, [to * parts.length], [to]);
    return s.op('Add', spelling.linear === 'bias-first' ? [bias, product] : [product, bias]);
  };

  const linear = (x: Written, name: string, from: number, to: number): string => {
    const w = weight(name, [from, to]);
    if (spelling.linear === 'no-bias') return s.op('MatMul', [x.value, w]);
    const bias = weight(`${name}.bias`, [to]);
    const tokens = x.runs.length === 0 ? undefined : fixed(x.runs);
    if (spelling.linear === 'gemm' && tokens !== undefined && !recipe.batchOpen) {
      const flat = s.reshape(x.value, s.ints([recipe.batch * tokens, from]));
      return s.reshape(s.op('Gemm', [flat, w, bias]), s.ints([recipe.batch, tokens, to]));
    }
    const product = s.op('MatMul', [x.value, w]);
    return s.op('Add', spelling.linear === 'bias-first' ? [bias, product] : [product, bias]);
  };
  const norm = (x: string, name: string): string => {
    const gamma = weight(`${name}.gamma`, [width]);
    const layer = recipe.norm.kind === 'layer';
    if (spelling.norm === 'operator' && (layer ? opset >= 17 : opset >= 23))
      return layer
        ? s.op('LayerNormalization', [x, gamma, weight(`${name}.beta`, [width])], {
            axis: -1,
            epsilon: { float: epsilon },
          })
        : s.op('RMSNormalization', [x, gamma], { axis: -1, epsilon: { float: epsilon } });
    const centred = layer ? s.op('Sub', [x, s.reduce('ReduceMean', x, [-1], true)]) : x;
    const power = s.reduce('ReduceMean', s.op('Pow', [centred, s.float(2)]), [-1], true);
    const deviation = s.op('Sqrt', [s.op('Add', [power, s.float(epsilon)])]);
    if (layer)
      return s.op('Add', [s.op('Mul', [s.op('Div', [centred, deviation]), gamma]), weight(`${name}.beta`, [width])]);
    return s.op('Mul', [s.op('Mul', [x, s.op('Div', [s.float(1), deviation])]), gamma]);
  };
  return { s, recipe, weight, linear, norm, fixed, counted, batch, lengthOf, fused, once };
};

const embedText = (w: Writing): string => {
  const { s, recipe } = w;
  const { text, width } = recipe;
  let x = s.op('Gather', [w.weight('words.table', [vocabulary, width]), 'input_ids'], { axis: 0 });
  const table = w.weight('positions.table', [longestText, width]);
  if (text.positions === 'table' && !text.open)
    x = s.op('Add', [x, s.slice(table, 0, s.ints([0]), s.ints([text.length]))]);
  else if (text.positions === 'sliced-table')
    x = s.op('Add', [x, s.slice(table, 0, s.ints([0]), s.size('input_ids', 1))]);
  else {
    const all = s.ints(
      Array.from({ length: longestText }, (_, i) => i),
      [1, longestText],
    );
    const ids = s.slice(all, 1, s.ints([0]), s.size('input_ids', 1));
    x = s.op('Add', [x, s.op('Gather', [table, ids], { axis: 0 })]);
  }
  if (text.types !== 'none') {
    const types = w.weight('types.table', [2, width]);
    const zeros =
      text.types === 'input' ? 'token_type_ids' : s.op('Expand', [s.ints([0], [1, 1]), s.op('Shape', ['input_ids'])]);
    x = s.op('Add', [x, s.op('Gather', [types, zeros], { axis: 0 })]);
  }
  return text.norm ? w.norm(x, 'words.norm') : x;
};

const learned = (w: Writing, name: string): string => {
  const { s, recipe } = w;
  const shape = recipe.batchOpen
    ? s.op('Concat', [w.batch(), s.ints([1]), s.ints([recipe.width])], { axis: 0 })
    : s.ints([recipe.batch, 1, recipe.width]);
  const token = s.reshape(w.weight(`${name}.token`, [1, recipe.width]), s.ints([1, 1, recipe.width]));
  return s.op('Expand', [token, shape]);
};

const embedImage = (w: Writing): string => {
  const { s, recipe } = w;
  const { image, width } = recipe;
  let x: string;
  if (image.from === 'pixels') {
    const kernel = w.weight('patches', [width, channels, patch, patch]);
    const map = s.op('Conv', ['pixels', kernel, w.weight('patches.bias', [width])], {
      kernel_shape: [patch, patch],
      strides: [patch, patch],
    });
    x = s.transpose(s.reshape(map, s.ints([0, width, -1])), [0, 2, 1]);
  } else {
    const seen = image.count - (image.cls ? 1 : 0);
    const regions = { value: 'regions', runs: ['image'] as const };
    // The learned token is not among them yet: no lengths are written here.
    x = w.linear(seen === image.count ? regions : { ...regions, runs: [] }, 'region-map', features, width);
  }
  if (image.cls) x = s.op('Concat', [learned(w, 'image-cls'), x], { axis: 1 });
  if (image.from === 'pixels') x = s.op('Add', [x, w.weight('patch-positions.table', [image.count, width])]);
  return image.norm ? w.norm(x, 'image.norm') : x;
};

const act = (w: Writing, x: string): string => {
  const { s, recipe } = w;
  const erf = (): string => s.op('Add', [s.op('Erf', [s.op('Div', [x, s.float(Math.SQRT2)])]), s.float(1)]);
  switch (recipe.spelling.act) {
    case 'gelu-operator':
      if (s.opset >= 20) return s.op('Gelu', [x]);
      return s.op('Mul', [s.op('Mul', [x, erf()]), s.float(0.5)]);
    case 'gelu-half-last':
      return s.op('Mul', [s.op('Mul', [x, erf()]), s.float(0.5)]);
    case 'gelu-half-first':
      return s.op('Mul', [x, s.op('Mul', [s.float(0.5), erf()])]);
    case 'quick-gelu':
      return s.op('Mul', [x, s.op('Sigmoid', [s.op('Mul', [x, s.float(1.702)])])]);
    case 'tanh':
      return s.op('Tanh', [x]);
    case 'relu':
      return s.op('Relu', [x]);
  }
};

const noise = (w: Writing, x: string): string =>
  w.recipe.spelling.noise ? w.s.op('Identity', [w.s.cast(x, DataType.FLOAT)]) : x;

const attend = (w: Writing, name: string, x: Written, y: Written, block?: number): Written => {
  const pre = w.recipe.norm.place === 'pre';
  const from = pre ? { ...x, value: w.norm(x.value, `${name}.norm`) } : x;
  const context = writeAttention(w, name, from, x === y ? from : y, block);
  const { heads, headWidth, width } = w.recipe;
  const out = w.linear({ ...x, value: context }, `${name}.out`, heads * headWidth, width);
  const sum = w.s.op('Add', [out, noise(w, x.value)]);
  return { ...x, value: w.recipe.norm.place === 'post' ? w.norm(sum, `${name}.norm`) : sum };
};

const feedForward = (w: Writing, name: string, x: Written): Written => {
  const { width, hidden, norm } = w.recipe;
  const from = norm.place === 'pre' ? w.norm(x.value, `${name}.norm`) : x.value;
  const up = act(w, w.linear({ ...x, value: from }, `${name}.up`, width, hidden));
  const sum = w.s.op('Add', [w.linear({ ...x, value: up }, `${name}.down`, hidden, width), x.value]);
  return { ...x, value: norm.place === 'post' ? w.norm(sum, `${name}.norm`) : sum };
};

/** What must not meet shortened tokens. */
const poisoned = (w: Writing, x: Written, block: number): Written => {
  const { s, recipe } = w;
  if (recipe.poison?.layer !== block) return x;
  const tokens = w.fixed(x.runs);
  const value = x.value;
  switch (recipe.poison.kind) {
    case 'late-table':
      return { ...x, value: s.op('Add', [value, w.weight('late.table', [tokens!, recipe.width])]) };
    case 'flip':
      return { ...x, value: s.slice(value, 1, s.ints([-1]), s.ints([-toEnd]), -1) };
    case 'roll': {
      // Into a lane: behind a lone token in front it would be a cut between lanes, which may be followed.
      const by = x.runs[0] === 'other' ? 2 : 1;
      const first = s.slice(value, 1, s.ints([0]), s.ints([by]));
      return { ...x, value: s.op('Concat', [s.slice(value, 1, s.ints([by]), s.ints([toEnd])), first], { axis: 1 }) };
    }
    case 'shift': {
      const last = s.slice(value, 1, s.ints([-1]), s.ints([toEnd]));
      const most = s.slice(value, 1, s.ints([0]), s.ints([-1]));
      return { ...x, value: s.op('Add', [value, s.op('Concat', [last, most], { axis: 1 })]) };
    }
    case 'over-count': {
      const count = s.cast(s.op('Gather', [s.op('Shape', [value]), s.int(1)], { axis: 0 }), DataType.FLOAT);
      return { ...x, value: s.op('Div', [value, count]) };
    }
    case 'token-softmax':
      return { ...x, value: s.op('Mul', [value, s.op('Softmax', [value], { axis: 1 })]) };
    default:
      return x;
  }
};

const streamsOf = (w: Writing): Map<StreamName, Written> => {
  const { recipe, s } = w;
  const tower = (name: string, depth: number, x: Written): Written => {
    let out = x;
    for (let k = 0; k < depth; k++) {
      out = attend(w, `${name}${k}.self`, out, out);
      out = feedForward(w, `${name}${k}.ffn`, out);
    }
    return out;
  };
  let text = tower('text-tower', recipe.towers.text, { value: embedText(w), runs: ['text'] });
  let image = tower('image-tower', recipe.towers.image, { value: embedImage(w), runs: ['image'] });
  const { family } = recipe;
  if (family.kind === 'joint') {
    const parts = family.order.map((lane) =>
      lane === 'text' ? text.value : lane === 'image' ? image.value : learned(w, 'other'),
    );
    let x: Written = { value: s.op('Concat', parts, { axis: 1 }), runs: family.order };
    for (let k = 0; k < recipe.layers; k++) {
      x = poisoned(w, x, k);
      x = attend(w, `layer${k}.self`, x, x, k);
      x = feedForward(w, `layer${k}.ffn`, x);
    }
    return new Map([['joint', poisoned(w, x, recipe.layers)]]);
  }
  for (let k = 0; k < recipe.layers; k++) {
    const pair = family.kind === 'pair';
    const cross = (lane: string): string => (pair && family.shared ? `layer${k}.cross` : `layer${k}.${lane}.cross`);
    text = poisoned(w, text, k);
    const [oldText, oldImage] = [text, image];
    const self = (): void => {
      text = attend(w, `layer${k}.text.self`, text, text, k);
    };
    const ask = (): void => {
      if (pair || attendsAt(recipe, k)) text = attend(w, cross('text'), text, oldImage, k);
    };
    if (pair && family.text === 'cross-self') {
      ask();
      self();
    } else {
      self();
      ask();
    }
    text = feedForward(w, `layer${k}.text.ffn`, text);
    if (!pair) continue;
    const reads = family.imageReads === 'old' ? oldText : text;
    for (const step of family.image.split('-'))
      image =
        step === 'self'
          ? attend(w, `layer${k}.image.self`, image, image, k)
          : attend(w, cross('image'), image, reads, k);
    image = feedForward(w, `layer${k}.image.ffn`, image);
  }
  return new Map([
    ['text', poisoned(w, text, recipe.layers)],
    ['image', image],
  ]);
};

const headOf = (w: Writing, streams: ReadonlyMap<StreamName, Written>, i: number): string => {
  const { s, recipe } = w;
  const head = recipe.outputs[i]!;
  const stream = streams.get(
    head.kind === 'lane' ? 'joint' : head.kind === 'word' ? (streams.has('joint') ? 'joint' : 'text') : head.stream,
  )!;
  const projected = (x: string, runs: readonly LaneName[] = []): string =>
    w.linear({ value: x, runs: runs.length === 0 ? ['other'] : runs }, `head${i}`, recipe.width, answers);
  const cut = (lane: LaneName): string => {
    const at = stream.runs.indexOf(lane);
    const before = stream.runs.slice(0, at);
    const known = w.fixed(before);
    const from = known === undefined ? w.counted(before) : s.ints([known]);
    const upTo = w.fixed(stream.runs.slice(0, at + 1));
    const end =
      at === stream.runs.length - 1
        ? s.ints([toEnd])
        : upTo === undefined
          ? w.counted(stream.runs.slice(0, at + 1))
          : s.ints([upTo]);
    return s.slice(stream.value, 1, from, end);
  };
  switch (head.kind) {
    case 'pool': {
      if (!head.slice) {
        const picked = s.op('Gather', [stream.value, s.int(head.at)], { axis: 1 });
        return s.squeeze(projected(s.unsqueeze(picked, [1])), [1]);
      }
      const part = s.slice(stream.value, 1, s.ints([head.at]), s.ints([head.at === -1 ? toEnd : head.at + 1]));
      return s.squeeze(projected(part), [1]);
    }
    case 'lane': {
      const part = cut(head.lane);
      return head.project ? projected(part, [head.lane]) : part;
    }
    case 'stream':
      return head.project ? projected(stream.value, stream.runs) : stream.value;
    case 'word': {
      const last = s.op('Sub', [s.reduce('ReduceSum', 'attention_mask', [1], true), s.ints([head.back])]);
      const index = s.op('Expand', [
        s.unsqueeze(last, [2]),
        s.op('Concat', [w.batch(), s.ints([1, recipe.width])], { axis: 0 }),
      ]);
      return s.squeeze(projected(s.op('GatherElements', [stream.value, index], { axis: 1 })), [1]);
    }
    case 'mean': {
      const from = head.lane === undefined ? stream.value : cut(head.lane);
      const pooled = s.reduce(head.op as 'ReduceMean', from, [1], false);
      return s.squeeze(projected(s.unsqueeze(pooled, [1])), [1]);
    }
  }
};

export const modelOfRecipe = (recipe: Recipe): Model => {
  const w = begin(recipe);
  let streams = streamsOf(w);
  if (recipe.norm.final)
    streams = new Map([...streams].map(([name, x]) => [name, { ...x, value: w.norm(x.value, `final-${name}`) }]));
  return w.s.model(recipe.outputs.map((head, i) => ({ name: nameOf(head, i), value: headOf(w, streams, i) })));
};

/** Inputs of all rows, for those inputs that the model has. */
export const feedsOfRecipe = (recipe: Recipe, model: Model): Map<string, TensorData> => {
  const { batch, text, image } = recipe;
  const { ids, types, picture } = inputsOf(recipe);
  const ints = (rows: readonly (readonly number[])[]): TensorData => ({
    dataType: DataType.INT64,
    dims: [batch, rows[0]!.length],
    data: BigInt64Array.from(rows.flat(), BigInt),
  });
  const seen = (dims: readonly number[]): TensorData => ({
    dataType: DataType.FLOAT,
    dims: [batch, ...dims],
    data: Float32Array.from(picture.flat()),
  });
  const all: Record<string, TensorData> = {
    input_ids: ints(ids),
    attention_mask: ints(text.shown),
    token_type_ids: ints(types),
    image_mask: ints(image.shown),
    ...(image.from === 'pixels'
      ? { pixels: seen([channels, image.rows * patch, image.columns * patch]) }
      : { regions: seen([image.count - (image.cls ? 1 : 0), features]) }),
  };
  return new Map(model.graph.inputs.map(({ name }) => [name, all[name]!]));
};
