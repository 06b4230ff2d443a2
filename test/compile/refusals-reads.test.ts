/**
 * Reads by position and masks that say more than which tokens are PAD: refused behind a site (refusal-cases.ts).
 */
import { describe, it } from 'vitest';
import { beside, end, expectRefused, imageOnly, joint, through, type Case } from './refusal-cases.ts';

const byPosition: readonly Case[] = [
  {
    what: 'a token in the middle of the text',
    change: beside(['q = Gather(x2, at) axis=1'], { at: 'i[]:3' }),
    semantics: ['pumer'],
    code: 'read-by-position',
    node: 'node_q',
  },
  {
    what: 'the last token',
    change: beside(['q = Gather(x2, at) axis=1'], { at: 'i[]:-1' }),
    semantics: ['pumer'],
    code: 'read-by-position',
    node: 'node_q',
  },
  {
    what: 'a list of patches',
    change: beside(['some = Gather(x2, at) axis=1', 'q = ReduceMean(some) axes=[1] keepdims=0'], {
      at: 'i[3]:9,12,20',
    }),
    code: 'read-by-position',
    node: 'node_some',
  },
  {
    what: 'half of the picture',
    change: beside(['half = Slice(x2, from, to, second)', 'q = ReduceMean(half) axes=[1] keepdims=0'], {
      from: 'i[1]:9',
      to: 'i[1]:17',
    }),
    code: 'read-by-position',
    node: 'node_half',
  },
  {
    what: 'a flip',
    change: through(['y = Slice(x2, last, before, second, back)'], {
      last: 'i[1]:-1',
      before: 'i[1]:-9000000000000000000',
      back: 'i[1]:-1',
    }),
    code: 'read-by-position',
    node: 'node_y',
    everywhere: true,
  },
  {
    what: 'a roll by one',
    change: through(
      [
        'tail = Slice(x2, second, end, second)',
        'head = Slice(x2, first, second, second)',
        'y = Concat(tail, head) axis=1',
      ],
      { end },
    ),
    code: 'read-by-position',
    node: 'node_tail',
    everywhere: true,
  },
  {
    what: 'every second token',
    change: through(
      [
        'half = Slice(x2, first, end, second, step)',
        'twice = Concat(half, half) axis=1',
        'y = Slice(twice, first, all, second)',
      ],
      { end, step: 'i[1]:2', all: `i[1]:${joint}` },
    ),
    code: 'read-by-position',
    node: 'node_half',
    everywhere: true,
  },
  {
    what: 'a split that is not at a border',
    change: through(['a, b = Split(x2, sizes) axis=1', 'y = Concat(b, a) axis=1'], { sizes: 'i[2]:10,15' }),
    code: 'read-by-position',
    node: 'node_a',
    everywhere: true,
  },
  {
    what: 'features of all tokens in one row',
    change: beside(['flat = Flatten(x2) axis=1', 'q = Slice(flat, from, to, second)'], {
      from: 'i[1]:80',
      to: 'i[1]:88',
    }),
    code: 'read-by-position',
    node: 'node_q',
  },
  {
    what: 'rows of the whole batch by number',
    change: beside(['flat = Reshape(x2, lines)', 'q = Gather(flat, rows_at) axis=0'], {
      lines: 'i[2]:-1,8',
      rows_at: `i[2]:0,${joint}`,
    }),
    code: 'read-by-position',
    node: 'node_q',
  },
  {
    what: 'everything from a place that the question decides',
    change: beside(
      [
        'counts = ReduceSum(attention_mask, second) keepdims=0',
        'from = ReduceMax(counts) keepdims=1',
        'rest = Slice(x2, from, end, second)',
        'q = ReduceMean(rest) axes=[1] keepdims=0',
      ],
      { end },
    ),
    options: imageOnly,
    code: 'read-by-position',
    node: 'node_rest',
  },
  {
    what: 'a place that the picture decides',
    change: beside([
      'best = ArgMax(sequence) axis=1 keepdims=1',
      'q3 = GatherElements(x2, best) axis=1',
      'q = Squeeze(q3, second)',
    ]),
    options: imageOnly,
    code: 'read-by-position',
    node: 'node_q3',
  },
  {
    what: 'GatherND',
    change: beside(['q = GatherND(x2, at)'], { at: 'i[1,2]:0,0' }),
    code: 'not-understood',
    node: 'node_q',
  },
];

const halves = Array.from({ length: 2 * joint }, (_, i) => (i % 3 === 1 ? -10000 : 0)).join();
const causal = Array.from({ length: joint * joint }, (_, i) => (i % joint > Math.floor(i / joint) ? -10000 : 0)).join();
const masks: readonly Case[] = [
  {
    what: 'a mask of its own for each head',
    change: through(['y = Add(scores2, other)'], { other: `f[1,2,1,${joint}]:${halves}` }, 'scores2'),
    base: { mask: 'none' },
    code: 'mask-not-understood',
    node: 'node_product2',
    everywhere: true,
  },
  {
    what: 'a mask of its own for each query',
    change: through(['y = Add(scores2, other)'], { other: `f[1,1,${joint},${joint}]:${causal}` }, 'scores2'),
    base: { mask: 'none' },
    code: 'mask-not-understood',
    node: 'node_product2',
    everywhere: true,
  },
  {
    what: 'a bias by distance',
    change: through(
      ['y = Add(scores2, other)'],
      { other: `f[1,1,1,${joint}]:${Array.from({ length: joint }, (_, i) => i / 10).join()}` },
      'scores2',
    ),
    base: { mask: 'none' },
    code: 'mask-not-understood',
    node: 'node_product2',
    everywhere: true,
  },
  {
    what: 'two masks',
    change: through(['y = Add(masked2, bias)'], {}, 'masked2'),
    code: 'mask-not-understood',
    node: 'node_product2',
    everywhere: true,
  },
  {
    what: 'the mask of a layer behind is another one',
    change: through(
      ['y = Add(scores2, other)'],
      { other: `f[1,1,1,${joint}]:${Array.from({ length: joint }, (_, i) => (i > 20 ? -10000 : 0)).join()}` },
      'scores2',
    ),
    base: { mask: 'none' },
    code: 'mask-not-understood',
    node: 'node_product2',
  },
];

describe('reads by position', () => {
  it.each(byPosition.map((c) => [c.what, c] as const))('%s', (_, c) => expectRefused(c));
});
describe('masks that say more than which tokens are PAD', () => {
  it.each(masks.map((c) => [c.what, c] as const))('%s', (_, c) => expectRefused(c));
});
