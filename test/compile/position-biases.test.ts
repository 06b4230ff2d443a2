/**
 * Position biases against arithmetic by hand: a number for each pair of original tokens follows the tokens left, in
 * whatever way a model adds it to its scores; what only looks like one is refused, and so is one left as it was.
 */
import { describe, expect, it } from 'vitest';
import { proveLanes } from '../../passes/prove-lanes.ts';
import { attentionPatterns } from '../../passes/patterns/index.ts';
import type { Model } from '../../src/graph/model.ts';
import type { PlannedSite, Semantics } from '../../src/reduction/plan.ts';
import { numbersOf } from '../../src/runtime/tensor-data.ts';
import { randomFrom } from '../reduction/harness.ts';
import { byHand } from '../support/tiny-vilt-by-hand.ts';
import {
  heads,
  imageTokens,
  modelOfTiny,
  scored,
  tensorsOf,
  tinyFeeds,
  tinyVilt,
  vocabulary,
  words,
  type Tiny,
  type TinyFeeds,
  type TinyOptions,
} from '../support/tiny-vilt.ts';
import { compiledWith, outputsOf } from './fixtures.ts';
import { bothLanes, joint, refusalOf } from './refusal-cases.ts';

type Said = (feeds: TinyFeeds) => (b: number, h: number, i: number, j: number) => number;

const numbers = (seed: number, n: number): number[] => {
  const random = randomFrom(seed);
  return Array.from({ length: n }, () => Math.fround(random.normal()));
};

const table = numbers(5, heads * joint * joint);
const fixed = { said: `f[1,${heads},${joint},${joint}]:${table.join()}` };
const fromTable: Said = () => (_, h, i, j) => table[(h * joint + i) * joint + j]!;

/** A table looked up by how far apart two word ids are; patches have the id 0. */
const steps = numbers(6, vocabulary * heads);
const lookup = [
  'picture_ids = Expand(no_id, image_mask_shape)',
  'ids = Concat(input_ids, picture_ids) axis=1',
  'ids_down = Unsqueeze(ids, last)',
  'ids_across = Unsqueeze(ids, second)',
  'apart = Sub(ids_down, ids_across)',
  'far = Abs(apart)',
  'looked_up = Gather(steps, far) axis=0',
  'said = Transpose(looked_up) perm=[0,3,1,2]',
];
const lookupValues = { no_id: 'i[]:0', last: 'i[1]:2', steps: `f[${vocabulary},${heads}]:${steps.join()}` };
const fromIds: Said = (feeds) => (b, h, i, j) => {
  const id = (at: number): number => feeds.ids[b]![at] ?? 0;
  return steps[Math.abs(id(i) - id(j)) * heads + h]!;
};
/** Before opset 13 axes are attributes. */
const oldAxes = (lines: readonly string[]): string[] =>
  lines.map((l) => l.replace(', last)', ') axes=[2]').replace('(ids, second)', '(ids) axes=[1]'));

const site = (layer: number, prune: number, merge: number, mergeText: number): PlannedSite => ({
  layer,
  prune,
  merge,
  mergeText,
});
const plans: Readonly<Record<string, readonly PlannedSite[]>> = {
  prune: [site(0, 0.4, 0, 0)],
  'both lanes, every layer': [site(0, 0.2, 0.2, 0.3), site(1, 0.2, 0.2, 0.2)],
};

interface Spelling {
  readonly options?: TinyOptions;
  readonly change: (tiny: Tiny) => Tiny;
  readonly said: Said;
}

const spellings: Readonly<Record<string, Spelling>> = {
  'a table, behind the mask': {
    change: (tiny) =>
      scored(tiny, ['m$ = Add(scores$, bias)', 'r$ = Add(said, m$)', 'probs$ = Softmax(r$) axis=-1'], fixed),
    said: fromTable,
  },
  'a table without batch, no mask': {
    options: { mask: 'none' },
    change: (tiny) =>
      scored(tiny, ['r$ = Add(scores$, said)', 'probs$ = Softmax(r$) axis=-1'], {
        said: fixed.said.replace('f[1,', 'f['),
      }),
    said: fromTable,
  },
  'under a filled-in mask': {
    options: { mask: 'where' },
    change: (tiny) =>
      scored(
        tiny,
        ['r$ = Add(scores$, said)', 'm$ = Where(padded, minimum, r$)', 'probs$ = Softmax(m$) axis=-1'],
        fixed,
      ),
    said: fromTable,
  },
  'looked up for each row of the batch, scores less their largest': {
    options: { text: 'words' },
    change: (tiny) =>
      scored(
        tiny,
        [
          'r$ = Add(scores$, said)',
          'm$ = Add(r$, bias)',
          'small$ = Div(m$, alpha)',
          'top$ = ReduceMax(small$) axes=[-1] keepdims=0',
          'tops$ = Unsqueeze(top$, from_end)',
          'shifted$ = Sub(small$, tops$)',
          'large$ = Mul(shifted$, alpha)',
          'probs$ = Softmax(large$) axis=-1',
        ],
        { ...lookupValues, alpha: 'f[]:32', from_end: 'i[1]:-1' },
        lookup,
      ),
    said: fromIds,
  },
  'added to the mask beforehand, all of it scaled twice': {
    options: { text: 'words' },
    change: (tiny) =>
      scored(
        tiny,
        ['small$ = Mul(scores$, two)', 'm$ = Add(small$, both)', 'r$ = Div(m$, two)', 'probs$ = Softmax(r$) axis=-1'],
        { ...lookupValues, two: 'f[]:2' },
        [...lookup, 'summed = Add(said, bias)', 'both = Mul(summed, two)'],
      ),
    said: fromIds,
  },
  'opset 11': {
    options: { opset: 11, norm: false },
    change: (tiny) =>
      scored(
        tiny,
        ['r$ = Add(scores$, said)', 'm$ = Add(bias, r$)', 'probs$ = Softmax(m$) axis=3'],
        lookupValues,
        oldAxes(lookup),
      ),
    said: fromIds,
  },
};

const clear = 2e-5;

describe.each(['safe', 'pumer'] as const)('--semantics %s', (semantics: Semantics) => {
  const cases = Object.entries(spellings).flatMap(([name, spelling]) =>
    Object.entries(plans).map(([plan, sites]) => [name, plan, spelling, sites] as const),
  );
  it.each(cases)('%s: %s', async (_name, _plan, { options = {}, change, said }, sites) => {
    const tiny = change(tinyVilt({ ...options, seed: 3 }));
    const feeds = tinyFeeds(randomFrom(31), [0, 3, 6]);
    for (const saliency of ['probs', 'recompute'] as const) {
      const compiled = compiledWith(modelOfTiny(tiny), { plan: { schema_version: 1, semantics, sites }, saliency });
      const logits = numbersOf((await outputsOf(compiled.model, tensorsOf(feeds))).get('logits')!);
      let [checked, followed] = [0, 0];
      for (const b of [0, 1, 2]) {
        const hand = { tiny, semantics, sites, norm: options.norm ?? true, masked: options.mask !== 'none' };
        const expected = byHand({ ...hand, bias: said(feeds) }, feeds, b);
        if (expected.margin < clear) continue;
        checked++;
        // Had the rows and columns stayed those of the first tokens, it would be another model.
        const without = byHand(hand, feeds, b);
        expected.logits.forEach((v, i) => {
          expect(Math.abs(logits[b * expected.logits.length + i]! - v)).toBeLessThan(
            3e-5 * Math.max(1, ...expected.logits.map(Math.abs)),
          );
          followed = Math.max(followed, Math.abs(v - without.logits[i]!));
        });
      }
      expect(checked).toBeGreaterThanOrEqual(2);
      expect(followed).toBeGreaterThan(1e-2);
    }
  });
});

describe('what is no position bias', () => {
  const withTable = (values: (i: number, j: number) => number): Model =>
    modelOfTiny(
      scored(tinyVilt(), ['m$ = Add(scores$, bias)', 'r$ = Add(said, m$)', 'probs$ = Softmax(r$) axis=-1'], {
        said: `f[1,1,${joint},${joint}]:${Array.from({ length: joint ** 2 }, (_, at) => values(Math.floor(at / joint), at % joint)).join()}`,
      }),
    );
  const refused = (model: Model): string | undefined => refusalOf(model, { ...bothLanes, layers: [0] })?.code;

  it('a table of ordinary numbers is one', () => {
    expect(refused(withTable((i, j) => (i - j) / 10))).toBeUndefined();
  });
  it('a causal mask', () => {
    expect(refused(withTable((i, j) => (j > i ? -10000 : 0)))).toBe('mask-not-understood');
  });
  it('a causal mask by large numbers for what is seen', () => {
    expect(refused(withTable((i, j) => (j > i ? 0 : 500)))).toBe('mask-not-understood');
  });
  it('numbers that come in from outside', () => {
    const tiny = scored(tinyVilt(), ['m$ = Add(scores$, bias)', 'r$ = Add(said, m$)', 'probs$ = Softmax(r$) axis=-1'], {
      said: `f[${heads},${joint},${joint}]`,
    });
    expect(refused(modelOfTiny(tiny))).toBe('mask-not-understood');
  });
  it('numbers computed from the tokens themselves', () => {
    const tiny = scored(
      tinyVilt(),
      [
        'own$ = Mul(product$, product$)',
        'r$ = Add(scores$, own$)',
        'm$ = Add(r$, bias)',
        'probs$ = Softmax(m$) axis=-1',
      ],
      {},
    );
    expect(refused(modelOfTiny(tiny))).toBe('mask-not-understood');
  });
  it('places counted anew on the shortened tokens', () => {
    // Every layer makes its bias from the number of tokens it has: behind a site, of tokens 0 to n - 1.
    const lines = [
      'size$ = Shape(x$)',
      'length$ = Gather(size$, at_tokens)',
      'places$ = Range(cls_at, length$, at_tokens)',
      'column$ = Unsqueeze(places$, second)',
      'apart$ = Sub(column$, places$)',
      'far$ = Abs(apart$)',
      'said$ = Gather(distances, far$) axis=0',
      'm$ = Add(scores$, bias)',
      'r$ = Add(said$, m$)',
      'probs$ = Softmax(r$) axis=-1',
    ];
    const tiny = scored(tinyVilt(), lines, { at_tokens: 'i[]:1', distances: `f[${joint}]:0.5` });
    expect(refused(modelOfTiny(tiny))).toBe('mask-not-understood');
  });
});

describe('the proof', () => {
  it('refuses a bias that was left as it was', () => {
    const tiny = spellings['a table, behind the mask']!.change(tinyVilt());
    const { model } = compiledWith(modelOfTiny(tiny), { ...bothLanes, layers: [0] });
    const left: Model = {
      ...model,
      graph: {
        ...model.graph,
        constants: new Map([...model.graph.constants, ...modelOfTiny(tiny).graph.constants]),
        nodes: model.graph.nodes.map((node) => (node.name === 'node_r2' ? { ...node, inputs: ['said', 'm2'] } : node)),
      },
    };
    const prove = (m: Model) => (): void => {
      proveLanes(m, {}, attentionPatterns, { written: new Set(), remapped: new Set() });
    };
    expect(words + imageTokens).toBe(joint);
    expect(prove(left)).toThrow(/node_r2/);
  });
});
