/**
 * A ViLT small enough to read: 8 words (or as many as come) and 16 patches with a CLS of their own, three layers of
 * width 8 with two heads, written as model text, so that a test is this model and one edit. Weights are seeded and
 * kept as numbers for tests that compute the model themselves. Answers nothing.
 */
import type { Model } from '../../src/graph/model.ts';
import { DataType } from '../../src/graph/model.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import { randomFrom, type Random } from '../reduction/harness.ts';
import { modelOf } from './model-text.ts';

export const width = 8;
export const heads = 2;
export const patches = 16;
/** Patches and the image's CLS. */
export const imageTokens = patches + 1;
export const words = 8;
export const answers = 5;
export const hidden = 12;
export const vocabulary = 20;

export interface TinyOptions {
  readonly opset?: number;
  readonly layers?: number;
  /** Text length: a number or a symbol. */
  readonly text?: number | string;
  readonly seed?: number;
  /** How PAD is kept out of the softmax. `none`: not at all. */
  readonly mask?: 'additive' | 'where' | 'none';
  /** LayerNormalization needs opset 17; without, layers add up bare. */
  readonly norm?: boolean;
}

/** The model as text, to be edited, and the numbers of its weights. */
export interface Tiny {
  readonly opset: number;
  readonly layers: number;
  readonly values: Readonly<Record<string, string>>;
  readonly nodes: readonly string[];
  readonly outputs: readonly string[];
  readonly weights: ReadonlyMap<string, readonly number[]>;
}

const count = (dims: readonly number[]): number => dims.reduce((n, d) => n * d, 1);

/** Values `x0`, `x1`, ... are the tokens entering each layer, `sum0`, ... those after its attention. */
export const tinyVilt = (options: TinyOptions = {}): Tiny => {
  const { opset = 17, layers = 3, text = words, seed = 1, mask = 'additive', norm = true } = options;
  const random = randomFrom(seed);
  const weights = new Map<string, readonly number[]>();
  const values: Record<string, string> = {
    input_ids: `i[batch,${text}]`,
    attention_mask: `i[batch,${text}]`,
    pixel_values: 'f[batch,3,16,16]',
    first: 'i[1]:0',
    second: 'i[1]:1',
    one: 'f[]:1',
    minimum: 'f[]:-10000',
    scale: 'f[]:0.5',
    cls_at: 'i[]:0',
    cls_tail: `i[2]:1,${width}`,
    image_length: `i[1]:${imageTokens}`,
    to_rows: `i[3]:0,${width},-1`,
    to_heads: `i[4]:0,0,${heads},${width / heads}`,
    to_width: `i[3]:0,0,${width}`,
    to_keys: 'i[4]:0,1,1,-1',
  };
  const nodes: string[] = [];
  const weight = (name: string, dims: readonly number[], spread = norm ? 0.6 : 0.25): string => {
    const numbers = Array.from({ length: count(dims) }, () => Math.fround(spread * random.normal()));
    weights.set(name, numbers);
    values[name] = `f[${dims.join()}]:${numbers.join()}`;
    return name;
  };
  const normed = (x: string, name: string): string => {
    if (!norm) return x;
    nodes.push(
      `${name} = LayerNormalization(${x}, ${weight(`${name}_g`, [width])}, ${weight(`${name}_b`, [width], 0.2)}) axis=-1 epsilon=0.00001`,
    );
    return name;
  };
  const dense = (x: string, name: string, from: number, to: number): string => {
    nodes.push(
      `${name}_m = MatMul(${x}, ${weight(`${name}_w`, [from, to])})`,
      `${name} = Add(${name}_m, ${weight(`${name}_c`, [to], 0.2)})`,
    );
    return name;
  };

  nodes.push(`word = Gather(${weight('table', [vocabulary, width], 1)}, input_ids) axis=0`);
  if (typeof text === 'number') nodes.push(`text = Add(word, ${weight('text_position', [1, text, width], 0.4)})`);
  else nodes.push(`text = Add(word, ${weight('text_position', [1, 1, width], 0.4)})`);
  nodes.push(
    `patch = Conv(pixel_values, ${weight('conv_w', [width, 3, 4, 4], 0.2)}, ${weight('conv_b', [width], 0.2)}) kernel_shape=[4,4] strides=[4,4]`,
    'rows = Reshape(patch, to_rows)',
    'sequence = Transpose(rows) perm=[0,2,1]',
    'picture = Shape(pixel_values)',
    'batch_size = Slice(picture, first, second)',
    'cls_shape = Concat(batch_size, cls_tail) axis=0',
    `cls = Expand(${weight('cls_token', [1, 1, width], 1)}, cls_shape)`,
    'with_cls = Concat(cls, sequence) axis=1',
    `image = Add(with_cls, ${weight('image_position', [1, imageTokens, width], 0.4)})`,
    'x0 = Concat(text, image) axis=1',
    'image_mask_shape = Concat(batch_size, image_length) axis=0',
    'image_mask = ConstantOfShape(image_mask_shape) value=i[1]:1',
    'mask = Concat(attention_mask, image_mask) axis=1',
    'mask_float = Cast(mask) to=1',
    'mask_keys = Reshape(mask_float, to_keys)',
    'inverse = Sub(one, mask_keys)',
    'bias = Mul(inverse, minimum)',
    'padded = Cast(inverse) to=9',
  );
  for (let k = 0; k < layers; k++) {
    const n = normed(`x${k}`, `before${k}`);
    for (const part of ['q', 'k', 'v']) {
      dense(n, `${part}${k}`, width, width);
      nodes.push(`${part}${k}_r = Reshape(${part}${k}, to_heads)`);
    }
    nodes.push(
      `query${k} = Transpose(q${k}_r) perm=[0,2,1,3]`,
      `key${k} = Transpose(k${k}_r) perm=[0,2,3,1]`,
      `value${k} = Transpose(v${k}_r) perm=[0,2,1,3]`,
      `product${k} = MatMul(query${k}, key${k})`,
      `scores${k} = Mul(product${k}, scale)`,
      ...(mask === 'additive'
        ? [`masked${k} = Add(scores${k}, bias)`]
        : mask === 'where'
          ? [`masked${k} = Where(padded, minimum, scores${k})`]
          : []),
      `probs${k} = Softmax(${mask === 'none' ? 'scores' : 'masked'}${k}) axis=-1`,
      `context${k} = MatMul(probs${k}, value${k})`,
      `context${k}_t = Transpose(context${k}) perm=[0,2,1,3]`,
      `context${k}_r = Reshape(context${k}_t, to_width)`,
    );
    nodes.push(`sum${k} = Add(${dense(`context${k}_r`, `out${k}`, width, width)}, x${k})`);
    dense(normed(`sum${k}`, `after${k}`), `up${k}`, width, hidden);
    nodes.push(`act${k} = Tanh(up${k})`);
    nodes.push(`x${k + 1} = Add(${dense(`act${k}`, `down${k}`, hidden, width)}, sum${k})`);
  }
  nodes.push(
    `pooled = Gather(${normed(`x${layers}`, 'final')}, cls_at) axis=1`,
    `logits = Gemm(pooled, ${weight('head_w', [width, answers])}, ${weight('head_b', [answers])})`,
  );
  return { opset, layers, values, nodes, outputs: ['logits'], weights };
};

export interface Edit {
  /** The new nodes stand right behind the one that makes this value. */
  readonly after: string;
  readonly nodes: readonly string[];
  /** Readers of `after` behind the new nodes read this value instead. */
  readonly instead?: string;
  readonly values?: Readonly<Record<string, string>>;
  readonly outputs?: readonly string[];
}

const makes = (line: string, value: string): boolean => (line.split(' = ')[0] ?? '').split(', ').includes(value);

export const edited = (tiny: Tiny, edit: Edit): Tiny => {
  const at = tiny.nodes.findIndex((line) => makes(line, edit.after));
  if (at < 0) throw new Error(`no node makes ${edit.after}`);
  const reader = new RegExp(`(?<=[(, ])${edit.after}(?=[,)])`, 'g');
  const rewired = (line: string): string => (edit.instead === undefined ? line : line.replace(reader, edit.instead));
  return {
    ...tiny,
    values: { ...tiny.values, ...edit.values },
    nodes: [...tiny.nodes.slice(0, at + 1), ...edit.nodes, ...tiny.nodes.slice(at + 1).map(rewired)],
    outputs: edit.outputs ?? tiny.outputs,
  };
};

/** What stands between `scores` and `probs` of every layer; `$` is the number of the layer. */
export const scored = (
  tiny: Tiny,
  lines: readonly string[],
  values: Tiny['values'],
  before: readonly string[] = [],
): Tiny => {
  const first = tiny.nodes.findIndex((line) => line.startsWith('before0') || line.startsWith('q0'));
  const nodes = [...tiny.nodes.slice(0, first), ...before, ...tiny.nodes.slice(first)];
  return {
    ...tiny,
    values: { ...tiny.values, ...values },
    nodes: nodes.flatMap((line) => {
      if (/^masked\d = /.test(line)) return [];
      const k = /^probs(\d) = /.exec(line)?.[1];
      return k === undefined ? [line] : lines.map((l) => l.replaceAll('$', k));
    }),
  };
};

/** The model as one that was read from a file. Outputs are float32 of unknown shape unless told otherwise. */
export const modelOfTiny = (tiny: Tiny, outputType: DataType = DataType.FLOAT): Model => {
  const model = modelOf({ opset: tiny.opset, values: tiny.values, nodes: tiny.nodes });
  const outputs = tiny.outputs.map((name) => ({ name, type: { dataType: outputType } }));
  return { ...model, graph: { ...model.graph, outputs } };
};

export const encodeTiny = (tiny: Tiny): Uint8Array => encodeModel(modelOfTiny(tiny));

export interface TinyFeeds {
  readonly ids: readonly (readonly number[])[];
  /** 1 for words, 0 for PAD. */
  readonly mask: readonly (readonly number[])[];
  /** [B][3 * 16 * 16] */
  readonly pixels: readonly (readonly number[])[];
}

const shuffled = (random: Random, n: number): number[] => {
  const order = Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const j = random.int(0, i);
    [order[i], order[j]] = [order[j] ?? 0, order[i] ?? 0];
  }
  return order;
};

/** `padding`: PAD at the end of each row's text; one entry a row. No word occurs twice in a row: no ties. */
export const tinyFeeds = (random: Random, padding: readonly number[], text = words): TinyFeeds => ({
  ids: padding.map(() => shuffled(random, vocabulary).slice(0, text)),
  mask: padding.map((pad) => Array.from({ length: text }, (_, i) => (i < text - pad ? 1 : 0))),
  pixels: padding.map(() => Array.from({ length: 3 * 16 * 16 }, () => Math.fround(random.normal()))),
});

export const tensorsOf = ({ ids, mask, pixels }: TinyFeeds): Map<string, TensorData> => {
  const ints = (rows: readonly (readonly number[])[]): TensorData => ({
    dataType: DataType.INT64,
    dims: [rows.length, rows[0]?.length ?? 0],
    data: BigInt64Array.from(rows.flat(), BigInt),
  });
  return new Map([
    ['input_ids', ints(ids)],
    ['attention_mask', ints(mask)],
    [
      'pixel_values',
      { dataType: DataType.FLOAT, dims: [pixels.length, 3, 16, 16], data: Float32Array.from(pixels.flat()) },
    ],
  ]);
};
