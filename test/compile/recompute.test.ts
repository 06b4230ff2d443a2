/**
 * `--saliency recompute`: whatever a model does to its scores, sites decide as they do by its probabilities, nobody but
 * the attention itself reads those, and the reducer is handed queries and keys wherever that is all it takes.
 */
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/graph/model.ts';
import { usesOf } from '../../src/graph/uses.ts';
import { isTokenReduce } from '../../src/reduction/token-reduce/contract.ts';
import { distance, scaleOf } from '../conformance/compare.ts';
import { randomFrom } from '../reduction/harness.ts';
import {
  heads,
  modelOfTiny,
  scored,
  tensorsOf,
  tinyFeeds,
  tinyVilt,
  width,
  type Tiny,
  type TinyOptions,
} from '../support/tiny-vilt.ts';
import { compiledWith, outputsOf, withTargets } from './fixtures.ts';
import { bothLanes, imageOnly, joint } from './refusal-cases.ts';

interface Spelling {
  readonly lines: readonly string[];
  readonly values?: Tiny['values'];
  readonly before?: readonly string[];
  readonly options?: TinyOptions;
}

const d = width / heads;
const lowest = 'f[]:-3.4028234663852886e38';
const table = `f[1,${heads},${joint},${joint}]:${Array.from({ length: heads * joint * joint }, (_, i) => Math.sin(3 * i)).join()}`;
const said = { said: table };

/** Ways from `product` to `probs`; `scores` is the product times 0.5, `bias` and `padded` are masks. */
const simple: Readonly<Record<string, Spelling>> = {
  'no mask': { lines: ['probs$ = Softmax(scores$) axis=-1'], options: { mask: 'none' } },
  'a mask behind the scale': { lines: ['m$ = Add(bias, scores$)', 'probs$ = Softmax(m$) axis=-1'] },
  'a mask in front of the scale': {
    lines: ['m$ = Add(product$, bias)', 's$ = Div(m$, two)', 'probs$ = Softmax(s$) axis=-1'],
    values: { two: 'f[]:2' },
  },
  'a mask between two scales': {
    lines: ['m$ = Add(scores$, bias)', 's$ = Mul(four, m$)', 'probs$ = Softmax(s$) axis=-1'],
    values: { four: 'f[1]:4', scale: 'f[]:0.125' },
  },
  'a scale worked out of sizes': {
    lines: [
      'size$ = Shape(query$)',
      'width$ = Slice(size$, minus_one, end)',
      'width_f$ = Cast(width$) to=1',
      'root$ = Sqrt(width_f$)',
      's$ = Div(product$, root$)',
      'm$ = Add(s$, bias)',
      'probs$ = Softmax(m$) axis=-1',
    ],
    values: { minus_one: 'i[1]:-1', end: 'i[1]:9000000000000000000' },
  },
  'a position bias and a mask': {
    lines: ['r$ = Add(scores$, said)', 'm$ = Add(r$, bias)', 'probs$ = Softmax(m$) axis=-1'],
    values: said,
  },
  'a position bias added to the mask beforehand': {
    lines: ['r$ = Add(both, scores$)', 'probs$ = Softmax(r$) axis=-1'],
    values: said,
    before: ['both = Add(said, bias)'],
  },
  'the lowest number filled in': {
    lines: ['m$ = Where(padded, lowest, scores$)', 'probs$ = Softmax(m$) axis=-1'],
    values: { lowest },
  },
  '-Infinity filled in, the other way round': {
    lines: ['shown$ = Not(padded)', 'm$ = Where(shown$, scores$, never)', 'probs$ = Softmax(m$) axis=-1'],
    values: { never: 'f[]:-Infinity' },
  },
  'filled in over a position bias, scaled behind': {
    lines: [
      'r$ = Add(product$, said)',
      'm$ = Where(padded, lowest, r$)',
      's$ = Mul(m$, scale)',
      'probs$ = Softmax(s$) axis=-1',
    ],
    values: { ...said, lowest },
  },
  'less their largest': {
    lines: [
      'm$ = Add(scores$, bias)',
      'small$ = Div(m$, alpha)',
      'top$ = ReduceMax(small$) axes=[-1] keepdims=1',
      'shifted$ = Sub(small$, top$)',
      'large$ = Mul(shifted$, alpha)',
      'probs$ = Softmax(large$) axis=-1',
    ],
    values: { alpha: 'f[]:32' },
  },
  'a softmax in another type': {
    lines: ['m$ = Add(scores$, bias)', 'w$ = Cast(m$) to=11', 'p$ = Softmax(w$) axis=-1', 'probs$ = Cast(p$) to=1'],
  },
  'a mask of another type': {
    lines: ['w$ = Cast(scores$) to=11', 'm$ = Add(w$, bias_w)', 'p$ = Softmax(m$) axis=-1', 'probs$ = Cast(p$) to=1'],
    before: ['bias_w = Cast(bias) to=11'],
  },
  'opset 11': {
    lines: ['m$ = Add(scores$, bias)', 'probs$ = Softmax(m$) axis=3'],
    options: { opset: 11, norm: false },
  },
};

/** What the reducer cannot be told in queries, keys, a scale and a bias. */
const other: Readonly<Record<string, Spelling>> = {
  'a number filled in that scores could be below': {
    lines: ['m$ = Where(padded, minimum, scores$)', 'probs$ = Softmax(m$) axis=-1'],
  },
  'a cast that loses digits': {
    lines: ['h$ = Cast(scores$) to=10', 'w$ = Cast(h$) to=1', 'm$ = Add(w$, bias)', 'probs$ = Softmax(m$) axis=-1'],
  },
  'one head of keys for all': {
    lines: ['m$ = Add(scores$, bias)', 'probs$ = Softmax(m$) axis=-1'],
  },
};

const built = ({ lines, values = {}, before = [], options = {} }: Spelling): Tiny =>
  scored(tinyVilt({ seed: 5, ...options }), lines, values, before);

/** One head's keys meet the queries of all. */
const oneHeadOfKeys = (tiny: Tiny): Tiny => ({
  ...tiny,
  nodes: tiny.nodes.flatMap((line) => {
    const k = /^k(\d)_r = /.exec(line)?.[1];
    if (k === undefined) return [line];
    return [`k${k}_cut = Slice(k${k}, first, one_head, features)`, `k${k}_r = Reshape(k${k}_cut, to_one)`];
  }),
  values: { ...tiny.values, to_one: `i[4]:0,0,1,${d}`, one_head: `i[1]:${d}`, features: 'i[1]:2' },
});

const imageCalls = (model: Model): string[] =>
  model.graph.nodes.filter((n) => isTokenReduce(n) && n.name.includes('/image/')).map((n) => n.op);

/** Readers of the probabilities the model itself computes, by operator. */
const readersOfProbabilities = (model: Model): string[] =>
  model.graph.nodes
    .filter((n) => n.op === 'Softmax' && !n.name.startsWith('pumer/'))
    .flatMap((n) => usesOf(model.graph).consumers(n.outputs[0]!))
    .map(({ node }) => node.op);

const compare = async (original: Model, semantics: 'safe' | 'pumer', called: string, share = 1e-6): Promise<void> => {
  const options = { ...bothLanes, semantics };
  const cut = compiledWith(original, options).model;
  const again = compiledWith(original, { ...options, saliency: 'recompute' }).model;
  expect(imageCalls(cut)).toEqual(['TokenReduce', 'TokenReduce']);
  expect(imageCalls(again)).toEqual([called, called]);
  expect(again.functions.map((f) => f.name)).toEqual([...new Set(['TokenReduce', called])]);
  expect(readersOfProbabilities(cut)).toContain('Slice');
  expect(readersOfProbabilities(again)).not.toContain('Slice');
  const inline = compiledWith(original, { ...options, saliency: 'recompute', ops: 'inline' }).model;
  expect(inline.graph.nodes.every((n) => n.domain === '')).toBe(true);
  const feeds = tensorsOf(tinyFeeds(randomFrom(12), [0, 3, 6, 1]));
  const [a, b] = [await outputsOf(withTargets(cut), feeds), await outputsOf(withTargets(again), feeds)];
  for (const [name, tensor] of a)
    if (name.endsWith('/target')) expect(b.get(name)!.data, name).toEqual(tensor.data);
    else expect(distance(b.get(name)!, tensor).max).toBeLessThanOrEqual(share * scaleOf(tensor));
  expect(await outputsOf(inline, feeds)).toEqual(await outputsOf(again, feeds));
};

describe.each(['safe', 'pumer'] as const)('--saliency recompute, %s', (semantics) => {
  it.each(Object.entries(simple))('queries and keys go to the reducer: %s', async (_, spelling) => {
    await compare(modelOfTiny(built(spelling)), semantics, 'TokenReduceQK');
  });
  it.each(Object.entries(other))('rows are computed in the graph: %s', async (name, spelling) => {
    const tiny = name.startsWith('one head') ? oneHeadOfKeys(built(spelling)) : built(spelling);
    await compare(modelOfTiny(tiny), semantics, 'TokenReduce');
  });
});

it('a model without calls of TokenReduce holds no function of that name', () => {
  const options = { ...imageOnly, saliency: 'recompute' } as const;
  const { model } = compiledWith(modelOfTiny(tinyVilt()), options);
  expect(model.functions.map((f) => f.name)).toEqual(['TokenReduceQK']);
  expect(model.opsets.get('ai.pumer')).toBe(1);
});
