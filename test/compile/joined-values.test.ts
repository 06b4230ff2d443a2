/**
 * Values with a row for every token that are joined to shortened tokens: tower layers, skip connections across sites,
 * position tables added again. Compiled and run, they must give what plain loops give when the joined value follows the
 * reductions; where its rows are not proven to be the lane's, the model is refused.
 */
import { describe, expect, it } from 'vitest';
import type { PlannedSite } from '../../src/reduction/plan.ts';
import { numbersOf } from '../../src/runtime/tensor-data.ts';
import { randomFrom } from '../reduction/harness.ts';
import { byHand, type Join } from '../support/tiny-vilt-by-hand.ts';
import {
  edited,
  imageTokens,
  modelOfTiny,
  tensorsOf,
  tinyFeeds,
  tinyVilt,
  width,
  words,
  type Tiny,
} from '../support/tiny-vilt.ts';
import { compiledWith, outputsOf } from './fixtures.ts';
import { bothLanes, refusalOf } from './refusal-cases.ts';

const tokens = words + imageTokens;
const table = Array.from({ length: tokens * width }, (_, i) => Math.fround(0.5 * Math.sin(1.7 * i)));

/** What enters layer `layer` becomes `op(x, value)`. */
const joining = (tiny: Tiny, layer: number, nodes: readonly string[], values: Record<string, string> = {}): Tiny =>
  edited(tiny, { after: `x${layer}`, nodes, instead: `joined${layer}`, values });

interface Joined {
  readonly joins: readonly Join[];
  readonly build: (tiny: Tiny) => Tiny;
}

const skip = (layer: number, from: number, by: 'Add' | 'Mul'): Joined => ({
  joins: [{ layer, from, by }],
  build: (tiny) => joining(tiny, layer, [`joined${layer} = ${by}(x${from}, x${layer})`]),
});

const cases: Readonly<Record<string, Joined>> = {
  'a layer read again after one site': skip(2, 1, 'Add'),
  'the embeddings read again after two': skip(2, 0, 'Add'),
  'a product with the embeddings': skip(1, 0, 'Mul'),
  'at every layer': {
    joins: [1, 2].map((layer) => ({ layer, from: 0, by: 'Add' as const })),
    build: (tiny) => [1, 2].reduce((so, k) => joining(so, k, [`joined${k} = Add(x${k}, x0)`]), tiny),
  },
  'a table of positions': {
    joins: [{ layer: 2, from: 'again', by: 'Add' }],
    build: (tiny) => ({
      ...joining(tiny, 2, ['joined2 = Add(x2, again)'], { again: `f[1,${tokens},${width}]:${table.join()}` }),
      weights: new Map([...tiny.weights, ['again', table]]),
    }),
  },
  'a table without a batch axis': {
    joins: [{ layer: 1, from: 'again', by: 'Add' }],
    build: (tiny) => ({
      ...joining(tiny, 1, ['joined1 = Add(again, x1)'], { again: `f[${tokens},${width}]:${table.join()}` }),
      weights: new Map([...tiny.weights, ['again', table]]),
    }),
  },
  'side by side along features': {
    joins: [{ layer: 2, from: 0, by: 'Add' }],
    // [x2, x0] times two identities above one another is x2 + x0.
    build: (tiny) =>
      joining(tiny, 2, ['wide = Concat(x2, x0) axis=2', 'joined2 = MatMul(wide, fold)'], {
        fold: `f[${2 * width},${width}]:${Array.from({ length: 2 * width * width }, (_, i) =>
          Math.floor(i / width) % width === i % width ? 1 : 0,
        ).join()}`,
      }),
  },
};

const sites: readonly PlannedSite[] = [
  { layer: 0, prune: 0.2, merge: 0.25, mergeText: 0.3 },
  { layer: 1, prune: 0.1, merge: 0.3, mergeText: 0.2 },
];
const clear = 2e-5;

describe.each(['safe', 'pumer'] as const)('joined to shortened tokens, %s', (semantics) => {
  it.each(Object.entries(cases))('%s', async (_, { joins, build }) => {
    let checked = 0;
    let effect = 0;
    for (const [seed, ops] of [
      [1, 'function'],
      [2, 'inline'],
    ] as const) {
      const tiny = build(tinyVilt({ seed }));
      const model = modelOfTiny(tiny);
      const plan = { schema_version: 1, semantics, sites } as const;
      const feeds = tinyFeeds(randomFrom(seed + 50), [0, 3, 6]);
      const outputs = await outputsOf(compiledWith(model, { plan, ops }).model, tensorsOf(feeds));
      const logits = numbersOf(outputs.get('logits')!);
      feeds.ids.forEach((__, b) => {
        const hand = { tiny, semantics, norm: true, masked: true, joins };
        const expected = byHand({ ...hand, sites }, feeds, b);
        if (expected.margin < clear) return;
        checked++;
        const scale = Math.max(1, ...expected.logits.map(Math.abs));
        const unreduced = byHand({ ...hand, sites: [] }, feeds, b).logits;
        expected.logits.forEach((v, i) => {
          const own = logits[b * expected.logits.length + i]!;
          expect(Math.abs(own - v) / scale, `seed ${seed}, row ${b}`).toBeLessThan(3e-5);
          effect = Math.max(effect, Math.abs(v - unreduced[i]!));
        });
      });
    }
    expect(checked).toBeGreaterThanOrEqual(3);
    expect(effect).toBeGreaterThan(1e-3);
  });
});

describe('refused, naming the join', () => {
  const refused: Readonly<Record<string, readonly [readonly string[], Record<string, string>]>> = {
    'rows in another order': [
      ['turned = Slice(x0, from_end, to_start, token_axis, back)', 'joined2 = Add(x2, turned)'],
      { from_end: 'i[1]:-1', to_start: 'i[1]:-9000000000000000000', token_axis: 'i[1]:1', back: 'i[1]:-1' },
    ],
    'the lanes the other way round': [['swapped = Concat(image, text) axis=1', 'joined2 = Add(x2, swapped)'], {}],
    'rows of another length': [
      [
        'fewer = Slice(x0, first, short_end, second)',
        'padded_rows = Concat(fewer, one_row) axis=1',
        'joined2 = Add(x2, padded_rows)',
      ],
      { short_end: `i[1]:${tokens - 1}`, one_row: `f[1,1,${width}]:0.5` },
    ],
    'a choice between rows': [['which = Greater(x0, one)', 'joined2 = Where(which, x2, x0)'], {}],
    'a table from an input': [['joined2 = Add(x2, given)'], { given: `f[1,${tokens},${width}]` }],
    'positions that make a ratio': [['joined2 = Div(x2, x0)'], {}],
  };
  it.each(Object.entries(refused))('%s', (_, [nodes, values]) => {
    const model = modelOfTiny(joining(tinyVilt({ layers: 3 }), 2, nodes, values));
    expect(refusalOf(model, { keep: 1, mergeText: 0 })).toBeUndefined();
    const refusal = refusalOf(model, bothLanes);
    // Two lanes joined the wrong way round are no lane any more: the attention behind is none of theirs.
    const at = 'swapped = Concat(image, text) axis=1' === nodes[0] ? 'product2' : 'joined2';
    expect(refusal?.at?.node).toBe(`node_${at}`);
  });
});
