/**
 * Models that the judge once found compiled wrongly, or refused for no reason, as recipes of their own: they stay
 * whatever becomes of the generator.
 */
import { expect, it } from 'vitest';
import { runtime } from '../compile/fixtures.ts';
import type { Recipe } from './recipe.ts';
import { judge } from './verdict.ts';

const ones = (rows: number, n: number): number[][] =>
  Array.from({ length: rows }, () => Array.from({ length: n }, () => 1));

const base: Recipe = {
  seed: 1,
  opset: 17,
  batch: 2,
  batchOpen: true,
  width: 8,
  heads: 4,
  headWidth: 2,
  hidden: 8,
  layers: 4,
  text: {
    length: 7,
    open: false,
    masked: true,
    shown: [
      [1, 1, 1, 1, 1, 0, 0],
      [1, 1, 1, 1, 1, 1, 1],
    ],
    positions: 'table',
    types: 'none',
    norm: false,
  },
  image: {
    from: 'regions',
    rows: 1,
    columns: 9,
    cls: false,
    count: 9,
    open: true,
    mask: 'ones',
    shown: ones(2, 9),
    norm: false,
  },
  family: { kind: 'joint', order: ['text', 'image'] },
  towers: { text: 0, image: 0 },
  norm: { place: 'pre', kind: 'layer', final: true },
  mask: { form: 'additive', minimum: -10000, rebuilt: false, manyRows: false },
  spelling: {
    shapes: 'local',
    constants: 'nodes',
    linear: 'bias-first',
    qkv: 'three',
    scale: 'div',
    keys: 'one-step',
    norm: 'operator',
    act: 'gelu-half-last',
    noise: false,
  },
  outputs: [{ kind: 'pool', stream: 'joint', at: 0, slice: false }],
  plan: { semantics: 'safe', sites: [] },
};
const site = (layer: number, prune: number, merge: number, mergeText: number): Recipe['plan']['sites'][number] => ({
  layer,
  prune,
  merge,
  mergeText,
});
const boxes = (count: number, hidden: number): Recipe['image'] => ({
  ...base.image,
  columns: count,
  count,
  mask: 'input',
  shown: Array.from({ length: 2 }, () => Array.from({ length: count }, (_, i) => Number(i < count - hidden))),
});
const pair = { kind: 'pair', imageReads: 'updated', text: 'cross-self', image: 'cross-self', shared: false } as const;
const bothRead: Recipe['outputs'] = [
  { kind: 'pool', stream: 'image', at: 0, slice: false },
  { kind: 'pool', stream: 'text', at: 0, slice: false },
];

const recipes: Readonly<Record<string, Recipe>> = {
  'open boxes at three sites': {
    ...base,
    plan: { semantics: 'safe', sites: [site(0, 0.2, 0.2, 0.2), site(1, 0.1, 0.2, 0), site(2, 0.2, 0.1, 0)] },
  },
  'a pumer site that prunes nothing': {
    ...base,
    outputs: [{ kind: 'stream', stream: 'joint', project: false }],
    plan: { semantics: 'pumer', sites: [site(0, 0, 0.3, 0.4), site(1, 0.2, 0.2, 0.3)] },
  },
  'a pumer site that a run finds idle, with hidden boxes and text of fixed length': {
    ...base,
    image: boxes(6, 2),
    outputs: [{ kind: 'stream', stream: 'joint', project: false }],
    plan: { semantics: 'pumer', sites: [site(0, 0.05, 0.3, 0.4), site(1, 0.3, 0.2, 0.3), site(2, 0.05, 0.3, 0.4)] },
  },
  'a token of nobody in front of both lanes': {
    ...base,
    family: { kind: 'joint', order: ['other', 'text', 'image'] },
    plan: { semantics: 'safe', sites: [site(0, 0.2, 0.2, 0), site(1, 0.2, 0.2, 0.2)] },
  },
  'self-attention behind a norm behind the cross-attention': {
    ...base,
    layers: 2,
    family: pair,
    outputs: bothRead,
    plan: { semantics: 'safe', sites: [site(0, 0.2, 0.2, 0.3)] },
  },
  'no attention to text before the one that scores': {
    ...base,
    layers: 2,
    family: { ...pair, imageReads: 'old' },
    outputs: bothRead,
    plan: { semantics: 'safe', sites: [site(0, 0.3, 0.2, 0)] },
  },
  'masks laid out for text and image queries': {
    ...base,
    layers: 2,
    family: pair,
    mask: { form: 'where', minimum: -1e9, rebuilt: true, manyRows: true },
    outputs: bothRead,
    plan: { semantics: 'safe', sites: [site(0, 0.2, 0.2, 0.3), site(1, 0.2, 0.2, 0.3)] },
  },
  'Gemm between streams': {
    ...base,
    batch: 2,
    batchOpen: false,
    layers: 3,
    image: { ...base.image, open: false },
    family: { kind: 'keys', every: 1, from: 0 },
    spelling: { ...base.spelling, linear: 'gemm', shapes: 'static' },
    outputs: [{ kind: 'pool', stream: 'text', at: 0, slice: false }],
    plan: { semantics: 'safe', sites: [site(0, 0.2, 0.2, 0.3), site(1, 0.2, 0.2, 0)] },
  },
};

it.each(Object.entries(recipes))('%s', async (_, recipe) => {
  let effect = 0;
  for (const seed of [1, 2]) {
    const verdict = await judge(await runtime(), { ...recipe, seed });
    expect(verdict.kind === 'wrong' ? verdict.what : verdict.kind).toMatch(/^(right|near tie)$/);
    if (verdict.kind === 'right') effect = Math.max(effect, verdict.effect);
  }
  expect(effect).toBeGreaterThan(1e-3);
});
