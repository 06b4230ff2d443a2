/**
 * Decoders. A naive rewriter shortens what a cache carries from call to call, or picks image tokens by what all words
 * say of them where a word may know only the words before it. Both are refused, by name.
 */
import { describe, expect, it } from 'vitest';
import { keyValueCache } from '../../src/analysis/kv-cache.ts';
import { DataType, type Model } from '../../src/graph/model.ts';
import { refusalOf } from '../compile/refusal-cases.ts';
import { modelOf } from '../support/model-text.ts';

const [width, heads, words, regions] = [8, 2, 5, 12];
const d = width / heads;

/** `out` = x + attention of x to y; `mask` is added to the scores. */
const attention = (out: string, x: string, y: string, mask?: string): string[] => [
  ...['q', 'k', 'v'].flatMap((part) => [
    `${out}_${part}m = MatMul(${part === 'q' ? x : y}, w)`,
    `${out}_${part}r = Reshape(${out}_${part}m, to_heads)`,
    `${out}_${part}t = Transpose(${out}_${part}r) perm=${part === 'k' ? '[0,2,3,1]' : '[0,2,1,3]'}`,
  ]),
  `${out}_s = MatMul(${out}_qt, ${out}_kt)`,
  ...(mask === undefined ? [] : [`${out}_m = Add(${out}_s, ${mask})`]),
  `${out}_p = Softmax(${mask === undefined ? `${out}_s` : `${out}_m`}) axis=-1`,
  `${out}_c = MatMul(${out}_p, ${out}_vt)`,
  `${out}_ct = Transpose(${out}_c) perm=[0,2,1,3]`,
  `${out}_cr = Reshape(${out}_ct, to_width)`,
  `${out}_o = MatMul(${out}_cr, w)`,
  `${out} = Add(${out}_o, ${x})`,
];

const withOutputs = (model: Model, names: readonly string[]): Model => ({
  ...model,
  graph: { ...model.graph, outputs: names.map((name) => ({ name, type: { dataType: DataType.FLOAT } })) },
});

/** Words that look at words, then at the image, twice. */
const captioner = (mask: readonly number[]): Model => {
  const values = {
    ids: `i[batch,${words}]`,
    features: `f[batch,${regions},${width}]`,
    table: `f[20,${width}]:0.1`,
    w: `f[${width},${width}]:0.3`,
    to_heads: `i[4]:0,0,${heads},${d}`,
    to_width: `i[3]:0,0,${width}`,
    mask: `f[1,1,${mask.length / words},${words}]:${mask.join()}`,
  };
  const nodes = [
    'x0 = Gather(table, ids) axis=0',
    'y = MatMul(features, w)',
    ...[0, 1].flatMap((k) => [
      ...attention(`t${k}`, `x${k}`, `x${k}`, 'mask'),
      ...attention(`x${k + 1}`, `t${k}`, 'y'),
    ]),
  ];
  return withOutputs(modelOf({ values, nodes }), ['x2']);
};

const causal = Array.from({ length: words * words }, (_, i) => (i % words > Math.floor(i / words) ? -10000 : 0));

describe('words that see only the words before them', () => {
  it('are not asked which image tokens matter', () => {
    const refusal = refusalOf(captioner(causal), { layers: [0], merge: 0.3, prune: 0.2 });
    expect(refusal?.code).toBe('layer-not-reducible');
    expect(refusal?.at?.node).toMatch(/^node_t[01]_s$/);
    expect(refusal?.message).toContain('causal');
  });
  it('while words that all see each other are', () => {
    const padding = Array.from({ length: words }, (_, i) => (i === words - 1 ? -10000 : 0));
    expect(refusalOf(captioner(padding), { layers: [0], merge: 0.3, prune: 0.2 })).toBeUndefined();
  });
});

describe('caches of keys and values', () => {
  const values = { past: `f[batch,${heads},before,${d}]`, fresh: `f[batch,${heads},${words},${d}]`, q: 'f[batch,1,8]' };
  it.each([
    ['joined in the open', ['present = Concat(past, fresh) axis=2'], ['present']],
    [
      'inside a fused operator',
      ['y = com.microsoft.GroupQueryAttention(q, q, q, past, past) num_heads=2 kv_num_heads=2'],
      ['y'],
    ],
    ['inside the standard one', ['y = Attention(q, q, q, , past, past) q_num_heads=2 kv_num_heads=2'], ['y']],
  ])('%s', (_, nodes, outputs) => {
    const model = withOutputs(modelOf({ values, nodes }), outputs);
    const refusal = refusalOf(model, {});
    expect(refusal?.code).toBe('kv-cache');
    expect(refusal?.message).toContain('"past"');
  });
  it('inside the bodies of a branch between first and later calls', () => {
    const plain = modelOf({ values, nodes: ['present = Concat(fresh, fresh) axis=2'] });
    const nodes = plain.graph.nodes.map((n) =>
      n.op === 'Concat' ? { ...n, op: 'If', inputs: [], attrs: {}, captures: ['past'] } : n,
    );
    const outputs = [{ name: 'present', type: { dataType: DataType.FLOAT, dims: ['batch', heads, 'all', d] } }];
    expect(keyValueCache({ ...plain, graph: { ...plain.graph, nodes, outputs } })?.input).toBe('past');
  });
  it('a picture joined to another is none', () => {
    const pictures = { a: 'f[batch,3,16,16]', b: 'f[batch,3,16,16]' };
    expect(
      keyValueCache(
        withOutputs(modelOf({ values: pictures, nodes: ['y = Concat(a, b) axis=1', 'z = Relu(y)'] }), ['z']),
      ),
    ).toBeUndefined();
  });
});
