/**
 * Two streams in which the text attends to the image that the same layer has just changed: that image is shortened,
 * for the next layer, after it was scored. Compiled and run against plain loops.
 */
import { describe, expect, it } from 'vitest';
import { DataType, type Model } from '../../src/graph/model.ts';
import { imageCounts } from '../../src/reduction/counts.ts';
import { reduceTokens } from '../../src/reduction/reference.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { randomFrom } from '../reduction/harness.ts';
import { modelOf } from '../support/model-text.ts';
import { compiledWith, outputsOf } from './fixtures.ts';

type Matrix = number[][];

const [width, heads, words, regions, layers] = [8, 2, 5, 12, 3];
const d = width / heads;
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

const random = randomFrom(77);
const weights = new Map<string, Matrix>();
const values: Record<string, string> = {
  ids: `i[batch,${words}]`,
  features: `f[batch,${regions},${width}]`,
  to_heads: `i[4]:0,0,${heads},${d}`,
  to_width: `i[3]:0,0,${width}`,
};
const weight = (name: string, rows: number): string => {
  const made = range(rows).map(() => range(width).map(() => Math.fround(0.5 * random.normal())));
  weights.set(name, made);
  values[name] = `f[${rows},${width}]:${made.flat().join()}`;
  return name;
};

/** `out` = x + attention of x to y. */
const attention = (out: string, x: string, y: string): string[] => [
  ...['q', 'k', 'v'].flatMap((part) => [
    `${out}_${part}m = MatMul(${part === 'q' ? x : y}, ${weight(`${out}_${part}`, width)})`,
    `${out}_${part}r = Reshape(${out}_${part}m, to_heads)`,
    `${out}_${part}t = Transpose(${out}_${part}r) perm=${part === 'k' ? '[0,2,3,1]' : '[0,2,1,3]'}`,
  ]),
  `${out}_s = MatMul(${out}_qt, ${out}_kt)`,
  `${out}_p = Softmax(${out}_s) axis=-1`,
  `${out}_c = MatMul(${out}_p, ${out}_vt)`,
  `${out}_ct = Transpose(${out}_c) perm=[0,2,1,3]`,
  `${out}_cr = Reshape(${out}_ct, to_width)`,
  `${out}_o = MatMul(${out}_cr, ${weight(`${out}_w`, width)})`,
  `${out} = Add(${out}_o, ${x})`,
];

const model = ((): Model => {
  const nodes = [`x0 = Gather(${weight('table', 20)}, ids) axis=0`, `y0 = MatMul(features, ${weight('embed', width)})`];
  for (const k of range(layers))
    nodes.push(...attention(`y${k + 1}`, `y${k}`, `x${k}`), ...attention(`x${k + 1}`, `x${k}`, `y${k + 1}`));
  const made = modelOf({ values, nodes });
  // y2 is what the second site shortens, and handed out at full length besides.
  const outputs = [`x${layers}`, 'y2'].map((name) => ({ name, type: { dataType: DataType.FLOAT } }));
  return { ...made, graph: { ...made.graph, outputs } };
})();

const times = (x: Matrix, name: string): Matrix =>
  x.map((row) => range(width).map((j) => row.reduce((s, v, i) => s + v * weights.get(name)![i]![j]!, 0)));

const attend = (out: string, x: Matrix, y: Matrix, sizes: number[]): { sum: Matrix; probs: Matrix[]; keys: Matrix } => {
  const [q, k, v] = [times(x, `${out}_q`), times(y, `${out}_k`), times(y, `${out}_v`)] as const;
  const probs = range(heads).map((h) =>
    q.map((row) => {
      const scores = k.map((key, j) =>
        range(d).reduce((s, c) => s + row[h * d + c]! * key[h * d + c]!, Math.log(sizes[j]!)),
      );
      const e = scores.map((score) => Math.exp(score - Math.max(...scores)));
      const total = e.reduce((a, b) => a + b, 0);
      return e.map((p) => p / total);
    }),
  );
  const context = x.map((_, i) =>
    range(width).map((c) => probs[Math.floor(c / d)]![i]!.reduce((s, p, j) => s + p * v[j]![c]!, 0)),
  );
  const sum = times(context, `${out}_w`).map((row, i) => row.map((o, c) => o + x[i]![c]!));
  return { sum, probs, keys: k.map((row) => range(d).map((c) => (row[c]! + row[c + d]!) / heads)) };
};

const byHand = (ids: number[], features: Matrix, sites: ReadonlyMap<number, readonly [number, number]>): Matrix => {
  let x = ids.map((id) => weights.get('table')![id]!);
  let y = times(features, 'embed');
  let sizes = y.map(() => 1);
  const ones = x.map(() => 1);
  for (const k of range(layers)) {
    y = attend(`y${k + 1}`, y, x, ones).sum;
    const { sum, probs, keys } = attend(`x${k + 1}`, x, y, sizes);
    const site = sites.get(k);
    if (site !== undefined) {
      const counts = imageCounts(y.length, site[0], site[1], { semantics: 'safe', protectedCount: 0 });
      const [row] = reduceTokens({
        semantics: 'safe',
        tokens: [y],
        attention: [probs],
        rowWeight: [ones],
        metric: [keys],
        weight: [sizes],
        protectedPositions: [],
        ...counts,
      });
      y = row!.tokens;
      sizes = row!.weight;
    }
    x = sum;
  }
  return x;
};

describe('text that attends to the image its layer has just changed', () => {
  it('shortens that image for the next layer', async () => {
    const sites = new Map([
      [0, [0.2, 0.25]],
      [1, [0.1, 0.3]],
    ] as const);
    const plan = {
      schema_version: 1,
      semantics: 'safe',
      sites: [...sites].map(([layer, [prune, merge]]) => ({ layer, prune, merge, mergeText: 0 })),
    } as const;
    const compiled = compiledWith(model, { plan, imageInput: 'features' });
    expect(compiled.resolved.sites.map((s) => s.lanes.map((l) => l.site.stream.value))).toEqual([['y1'], ['y2']]);
    const ids = [
      [3, 1, 7, 12, 5],
      [19, 2, 8, 4, 11],
    ];
    const features = ids.map(() => range(regions).map(() => range(width).map(() => Math.fround(random.normal()))));
    const feeds = new Map<string, TensorData>([
      ['ids', { dataType: DataType.INT64, dims: [2, words], data: BigInt64Array.from(ids.flat(), BigInt) }],
      ['features', { dataType: DataType.FLOAT, dims: [2, regions, width], data: Float32Array.from(features.flat(2)) }],
    ]);
    const outputs = await outputsOf(compiled.model, feeds);
    expect(outputs.get('y2')!.dims).toEqual([2, regions, width]);
    const ran = numbersOf(outputs.get(`x${layers}`)!);
    const expected = ids.map((row, b) => byHand(row, features[b]!, sites)).flat(2);
    const unreduced = ids.map((row, b) => byHand(row, features[b]!, new Map())).flat(2);
    expected.forEach((v, i) => expect(Math.abs(ran[i]! - v)).toBeLessThan(1e-4 * Math.max(1, Math.abs(v))));
    expect(Math.max(...expected.map((v, i) => Math.abs(v - unreduced[i]!)))).toBeGreaterThan(1e-2);
  });
});
