/**
 * The law of every lowering: ONNX Runtime's own operator and the standard ones written in its place give the same
 * outputs on random inputs, for every combination that is lowered. Combinations that are left whole say why. What
 * nobody changed is put back, byte for byte.
 */
import { describe, expect, it } from 'vitest';
import { lowerFused } from '../../passes/lower-fused.ts';
import { raiseUntouched } from '../../passes/raise-untouched.ts';
import { DataType, type Model } from '../../src/graph/model.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import { newReport } from '../../src/diagnostics/diagnostic.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { randomFrom } from '../reduction/harness.ts';
import { modelOf } from '../support/model-text.ts';
import { outputsOf } from '../compile/fixtures.ts';

/** Sizes of the runs, by the symbols of the cases. */
const sizes: Readonly<Record<string, number>> = { batch: 2, queries: 5, keys: 7 };

interface LawCase {
  readonly opset?: number;
  readonly values: Readonly<Record<string, string>>;
  readonly node: string;
  /** Integers that inputs hold; random ones from 0 to 1 otherwise. */
  readonly holds?: Readonly<Record<string, readonly number[]>>;
  readonly integers?: readonly string[];
}

const attention = { x: 'f[batch,queries,8]', w: 'f[8,24]', b: 'f[24]' };
const threeOperands = { q: 'f[batch,queries,8]', k: 'f[batch,keys,8]', v: 'f[batch,keys,8]' };
const fourAxes = { q: 'f[batch,4,queries,6]', k: 'f[batch,4,keys,6]', v: 'f[batch,4,keys,3]' };
const norm = { x: 'f[batch,queries,8]', skip: 'f[batch,queries,8]', gamma: 'f[8]', beta: 'f[8]', bias: 'f[8]' };
const tables = {
  ids: 'n[batch,queries]',
  words: 'f[9,8]',
  places: 'f[12,8]',
  kinds: 'f[2,8]',
  gamma: 'f[8]',
  beta: 'f[8]',
};

const ms = 'com.microsoft.';
const lowered: Readonly<Record<string, LawCase>> = {
  'Attention, plain': { values: attention, node: `y = ${ms}Attention(x, w, b) num_heads=2` },
  'Attention, opset 11': { opset: 11, values: attention, node: `y = ${ms}Attention(x, w, b) num_heads=2` },
  'Attention, scale': { values: attention, node: `y = ${ms}Attention(x, w, b) num_heads=2 scale=0.3` },
  'Attention, uneven widths': {
    values: { ...attention, w: 'f[8,20]', b: 'f[20]' },
    node: `y = ${ms}Attention(x, w, b) num_heads=2 qkv_hidden_sizes=[8,8,4]`,
  },
  'Attention, counts': {
    values: { ...attention, mask: 'n[batch]' },
    node: `y = ${ms}Attention(x, w, b, mask) num_heads=2`,
    holds: { mask: [3, 5] },
  },
  'Attention, ends and starts': {
    values: { ...attention, x: 'f[2,queries,8]', mask: 'n[4]' },
    node: `y = ${ms}Attention(x, w, b, mask) num_heads=2`,
    holds: { mask: [3, 5, 1, 2] },
  },
  'Attention, raw mask': {
    values: { ...attention, mask: 'n[batch,queries]' },
    node: `y = ${ms}Attention(x, w, b, mask) num_heads=2 mask_filter_value=-100.5`,
  },
  'Attention, mask per query': {
    values: { ...attention, mask: 'n[batch,queries,queries]' },
    node: `y = ${ms}Attention(x, w, b, mask) num_heads=2 mask_filter_value=-3.5`,
  },
  'Attention, bias': {
    values: { ...attention, mask: 'n[batch]', bias: 'f[1,2,queries,queries]' },
    node: `y = ${ms}Attention(x, w, b, mask, , bias) num_heads=2`,
    holds: { mask: [4, 5] },
  },
  'MultiHeadAttention, plain': { values: threeOperands, node: `y = ${ms}MultiHeadAttention(q, k, v) num_heads=2` },
  'MultiHeadAttention, biases': {
    values: { ...threeOperands, v: 'f[batch,keys,4]', b: 'f[20]' },
    node: `y = ${ms}MultiHeadAttention(q, k, v, b) num_heads=2 scale=0.2`,
  },
  'MultiHeadAttention, keys ready': {
    values: { ...threeOperands, k: 'f[batch,2,keys,4]', v: 'f[batch,2,keys,4]' },
    node: `y = ${ms}MultiHeadAttention(q, k, v) num_heads=2`,
  },
  'MultiHeadAttention, raw mask': {
    values: { ...threeOperands, mask: 'n[batch,keys]' },
    node: `y = ${ms}MultiHeadAttention(q, k, v, , mask) num_heads=2`,
  },
  'MultiHeadAttention, counts': {
    values: { ...threeOperands, mask: 'n[batch]' },
    node: `y = ${ms}MultiHeadAttention(q, k, v, , mask) num_heads=2`,
    holds: { mask: [7, 4] },
  },
  'MultiHeadAttention, mask per query': {
    values: { ...threeOperands, mask: 'n[batch,queries,keys]' },
    node: `y = ${ms}MultiHeadAttention(q, k, v, , mask) num_heads=2`,
  },
  'MultiHeadAttention, bias': {
    values: { ...threeOperands, bias: 'f[batch,1,queries,keys]' },
    node: `y = ${ms}MultiHeadAttention(q, k, v, , , bias) num_heads=2`,
  },
  'MultiHeadAttention, keys and values out': {
    values: { ...threeOperands, b: 'f[24]' },
    node: `y, pk, pv = ${ms}MultiHeadAttention(q, k, v, b) num_heads=2`,
  },
  'standard Attention, four axes': { opset: 23, values: fourAxes, node: 'y = Attention(q, k, v)' },
  'standard Attention, three axes': {
    opset: 23,
    values: threeOperands,
    node: 'y = Attention(q, k, v) q_num_heads=4 kv_num_heads=4 scale=0.7',
  },
  'standard Attention, fewer key heads': {
    opset: 23,
    values: { ...threeOperands, k: 'f[batch,keys,4]', v: 'f[batch,keys,6]' },
    node: 'y = Attention(q, k, v) q_num_heads=4 kv_num_heads=2',
  },
  'standard Attention, fewer key heads of four axes': {
    opset: 23,
    values: { ...fourAxes, k: 'f[batch,2,keys,6]', v: 'f[batch,2,keys,3]' },
    node: 'y = Attention(q, k, v)',
  },
  'standard Attention, truth mask': {
    opset: 23,
    values: { ...fourAxes, mask: 'b[batch,1,queries,keys]' },
    node: 'y = Attention(q, k, v, mask)',
  },
  'standard Attention, truth mask of two axes': {
    opset: 23,
    values: { ...fourAxes, mask: 'b[queries,keys]' },
    node: 'y = Attention(q, k, v, mask)',
  },
  'standard Attention, mask of numbers': {
    opset: 23,
    values: { ...fourAxes, mask: 'f[batch,4,queries,keys]' },
    node: 'y = Attention(q, k, v, mask)',
  },
  'standard Attention, everything out': {
    opset: 23,
    values: fourAxes,
    node: 'y, pk, pv, p = Attention(q, k, v) qk_matmul_output_mode=3',
  },
  'standard Attention, softmax in double': {
    opset: 23,
    values: fourAxes,
    node: 'y = Attention(q, k, v) softmax_precision=11',
  },
  'standard Attention, opset 24': { opset: 24, values: fourAxes, node: 'y = Attention(q, k, v)' },
  'standard Attention, counts': {
    opset: 24,
    values: { ...fourAxes, counts: 'i[batch]' },
    node: 'y = Attention(q, k, v, , , , counts)',
    holds: { counts: [7, 3] },
  },
  'SkipLayerNormalization, all inputs': {
    values: norm,
    node: `y, , , sum = ${ms}SkipLayerNormalization(x, skip, gamma, beta, bias) epsilon=0.001`,
  },
  'SkipLayerNormalization, opset 14': {
    opset: 14,
    values: norm,
    node: `y, , , sum = ${ms}SkipLayerNormalization(x, skip, gamma, beta) epsilon=0.001`,
  },
  'SkipLayerNormalization, no beta': { values: norm, node: `y = ${ms}SkipLayerNormalization(x, skip, gamma)` },
  'SkipLayerNormalization, no beta, opset 11': {
    opset: 11,
    values: norm,
    node: `y = ${ms}SkipLayerNormalization(x, skip, gamma)`,
  },
  'SkipLayerNormalization, one skip for all': {
    values: { ...norm, skip: 'f[1,queries,8]' },
    node: `y = ${ms}SkipLayerNormalization(x, skip, gamma, beta)`,
  },
  SkipSimplifiedLayerNormalization: {
    values: norm,
    node: `y, , , sum = ${ms}SkipSimplifiedLayerNormalization(x, skip, gamma, bias) epsilon=0.001`,
  },
  'SkipSimplifiedLayerNormalization, opset 23': {
    opset: 23,
    values: norm,
    node: `y = ${ms}SkipSimplifiedLayerNormalization(x, skip, gamma) epsilon=0.001`,
  },
  'EmbedLayerNormalization, all inputs': {
    values: { ...tables, segments: 'n[batch,queries]', mask: 'n[batch,queries]', at: 'n[batch,queries]' },
    node: `y, counts, sum = ${ms}EmbedLayerNormalization(ids, segments, words, places, kinds, gamma, beta, mask, at)`,
    integers: ['counts'],
  },
  'EmbedLayerNormalization, counting on': {
    values: tables,
    node: `y, counts = ${ms}EmbedLayerNormalization(ids, , words, places, , gamma, beta)`,
    integers: ['counts'],
  },
  'EmbedLayerNormalization, opset 11': {
    opset: 11,
    values: { ...tables, mask: 'n[batch,queries]' },
    node: `y, counts = ${ms}EmbedLayerNormalization(ids, , words, places, , gamma, beta, mask)`,
    integers: ['counts'],
  },
  'FusedMatMul, alpha': {
    values: { a: 'f[batch,queries,8]', c: 'f[8,keys]' },
    node: `y = ${ms}FusedMatMul(a, c) alpha=0.25`,
  },
  'FusedMatMul, both transposed': {
    values: { a: 'f[batch,3,8,queries]', c: 'f[batch,3,keys,8]' },
    node: `y = ${ms}FusedMatMul(a, c) transA=1 transB=1`,
  },
  'FusedMatMul, batches behind': {
    values: { a: 'f[queries,batch,8]', c: 'f[8,batch,keys]' },
    node: `y = ${ms}FusedMatMul(a, c) transBatchA=1 transBatchB=1 alpha=2.5`,
  },
  'FusedMatMul, batches behind and transposed': {
    values: { a: 'f[8,batch,queries]', c: 'f[keys,batch,8]' },
    node: `y = ${ms}FusedMatMul(a, c) transBatchA=1 transA=1 transBatchB=1 transB=1`,
  },
  'FusedGemm, tanh': {
    values: { a: 'f[batch,8]', c: 'f[4,8]', bias: 'f[4]' },
    node: `y = ${ms}FusedGemm(a, c, bias) transB=1 alpha=0.5 activation="Tanh"`,
  },
  'FusedGemm, leaky': {
    values: { a: 'f[batch,8]', c: 'f[8,4]' },
    node: `y = ${ms}FusedGemm(a, c) activation="LeakyRelu" activation_alpha=0.3`,
  },
  'FusedConv, relu': {
    values: { a: 'f[batch,3,8,8]', c: 'f[4,3,2,2]', bias: 'f[4]' },
    node: `y = ${ms}FusedConv(a, c, bias) strides=[2,2] activation="Relu"`,
  },
  'FusedConv, sum': {
    values: { a: 'f[batch,3,8,8]', c: 'f[4,3,2,2]', bias: 'f[4]', z: 'f[batch,4,4,4]' },
    node: `y = ${ms}FusedConv(a, c, bias, z) strides=[2,2] activation="Sigmoid"`,
  },
  'QAttention, counts': {
    values: {
      x: 'u[batch,queries,8]',
      w: 'c[8,24]',
      b: 'f[24]',
      xs: 'f[]:0.02',
      ws: 'f[]:0.03',
      mask: 'n[batch]',
      xz: 'u[]:3',
      wz: 'c[]:0',
    },
    node: `y = ${ms}QAttention(x, w, b, xs, ws, mask, xz, wz) num_heads=2`,
    holds: { mask: [3, 5] },
  },
  'QAttention, a scale for each column': {
    values: { x: 'u[batch,queries,8]', w: 'c[8,24]', b: 'f[24]', xs: 'f[]:0.02', ws: 'f[24]:0.03' },
    node: `y = ${ms}QAttention(x, w, b, xs, ws) num_heads=2`,
  },
};

const modelFor = ({ opset = 17, values, node, integers = [] }: LawCase): Model => {
  const model = modelOf({ opset, values, nodes: [node] });
  const outputs = (model.graph.nodes[0]?.outputs ?? [])
    .filter((o) => o !== '')
    .map((name) => ({ name, type: { dataType: integers.includes(name) ? DataType.INT32 : DataType.FLOAT } }));
  return { ...model, graph: { ...model.graph, outputs } };
};

const tensorFrom = (dataType: DataType, dims: readonly number[], numbers: readonly number[]): TensorData => {
  const made: Readonly<Record<number, () => TensorData['data']>> = {
    [DataType.FLOAT]: () => Float32Array.from(numbers),
    [DataType.INT64]: () => BigInt64Array.from(numbers, BigInt),
    [DataType.INT32]: () => Int32Array.from(numbers),
    [DataType.INT8]: () => Int8Array.from(numbers),
  };
  return { dataType, dims, data: made[dataType]?.() ?? Uint8Array.from(numbers) };
};

const feedsFor = (model: Model, { holds = {} }: LawCase, seed: number): Map<string, TensorData> => {
  const random = randomFrom(seed);
  return new Map(
    model.graph.inputs.map(({ name, type }) => {
      const dims = (type?.dims ?? []).map((d) => (typeof d === 'number' ? d : (sizes[`${d}`] ?? 4)));
      const count = dims.reduce((n, d) => n * d, 1);
      const isFloat = type?.dataType === DataType.FLOAT;
      const numbers =
        holds[name] ?? Array.from({ length: count }, () => (isFloat ? random.normal() : random.int(0, 1)));
      return [name, tensorFrom(type?.dataType ?? 0, dims, numbers)];
    }),
  );
};

describe('the standard operators give what the fused one gives', () => {
  it.each(Object.entries(lowered))('%s', async (_name, law) => {
    const model = modelFor(law);
    const result = lowerFused(model);
    expect(result.whole.map((w) => w.why)).toEqual([]);
    expect(result.model.graph.nodes.every((n) => n.domain === '')).toBe(true);
    for (const seed of [1, 2]) {
      const feeds = feedsFor(model, law, seed);
      const theirs = await outputsOf(model, feeds);
      const ours = await outputsOf(result.model, feeds);
      expect([...ours.keys()]).toEqual([...theirs.keys()]);
      for (const [name, tensor] of theirs) {
        expect(ours.get(name)!.dims).toEqual(tensor.dims);
        const numbers = numbersOf(tensor);
        expect(numbers.every(Number.isFinite)).toBe(true);
        numbersOf(ours.get(name)!).forEach((v, i) => expect(Math.abs(v - numbers[i]!)).toBeLessThan(2e-5));
      }
    }
  });

  it.each(Object.entries(lowered))('%s: shapes are known', (_name, law) => {
    const model = modelFor(law);
    const result = lowerFused(model);
    for (const node of result.model.graph.nodes)
      for (const output of node.outputs) {
        const facts = shapesOf(result.model).of(output);
        expect(facts?.dims, output).toBeDefined();
        const own = shapesOf(model).of(output);
        if (own !== undefined) expect(facts?.dataType, output).toBe(own.dataType);
      }
  });

  it.each(Object.entries(lowered))('%s: put back as it was', (_name, law) => {
    const model = modelFor(law);
    const result = lowerFused(model);
    expect(result.model).not.toBe(model);
    const raised = raiseUntouched(result).run(result.model, newReport());
    expect(raised.graph).toBe(model.graph);
    expect(encodeModel(raised)).toEqual(encodeModel(model));
  });
});

/** Combinations whose meaning is not known or depends on where tokens stand. */
const whole: readonly (readonly [string, LawCase, string])[] = [
  ['causal', { values: attention, node: `y = ${ms}Attention(x, w, b) num_heads=2 unidirectional=1` }, 'causal'],
  ['rotary', { values: attention, node: `y = ${ms}Attention(x, w, b) num_heads=2 do_rotary=1` }, 'by their position'],
  [
    'packed sequences',
    {
      values: { ...attention, x: 'f[2,queries,8]', mask: 'n[8]' },
      node: `y = ${ms}Attention(x, w, b, mask) num_heads=2`,
    },
    'neither one count',
  ],
  [
    'a past',
    { values: { ...attention, past: 'f[2,batch,2,3,4]' }, node: `y, p = ${ms}Attention(x, w, b, , past) num_heads=2` },
    'the past',
  ],
  [
    'packed operands',
    { values: { q: 'f[batch,queries,2,3,4]' }, node: `y = ${ms}MultiHeadAttention(q) num_heads=2` },
    'packed together',
  ],
  [
    'scores asked for',
    { opset: 23, values: fourAxes, node: 'y, , , p = Attention(q, k, v) qk_matmul_output_mode=0' },
    'gives its scores',
  ],
  ['a cap', { opset: 23, values: fourAxes, node: 'y = Attention(q, k, v) softcap=5.5' }, 'caps its scores'],
  ['causal, standard', { opset: 23, values: fourAxes, node: 'y = Attention(q, k, v) is_causal=1' }, 'causal'],
  ['means of rows', { values: norm, node: `y, m = ${ms}SkipLayerNormalization(x, skip, gamma)` }, 'means'],
];

describe('what stays whole, with the reason', () => {
  it.each(whole)('%s', (_name, law, why) => {
    const model = modelFor(law);
    const result = lowerFused(model);
    expect(result.model).toBe(model);
    expect(result.whole.map((w) => w.node)).toEqual(model.graph.nodes);
    expect(result.whole[0]?.why).toContain(why);
  });
});
