/**
 * Whole models against arithmetic by hand: the tiny ViLT, compiled and run by ONNX Runtime, must give what plain loops
 * with the reference reducer give, for both semantics, PAD, masks of every spelling, open lengths and restored outputs.
 */
import { describe, expect, it } from 'vitest';
import type { PlannedSite, Semantics } from '../../src/reduction/plan.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { randomFrom } from '../reduction/harness.ts';
import { byHand, type HandResult } from '../support/tiny-vilt-by-hand.ts';
import {
  edited,
  imageTokens,
  modelOfTiny,
  tensorsOf,
  tinyFeeds,
  tinyVilt,
  width,
  words,
  type TinyOptions,
} from '../support/tiny-vilt.ts';
import { compiledWith, outputsOf } from './fixtures.ts';

const site = (layer: number, prune: number, merge: number, mergeText: number): PlannedSite => ({
  layer,
  prune,
  merge,
  mergeText,
});

const plans: Readonly<Record<string, readonly PlannedSite[]>> = {
  prune: [site(1, 0.4, 0, 0)],
  merge: [site(1, 0.06, 0.4, 0)],
  'both, at every layer': [site(0, 0.2, 0.2, 0), site(1, 0.2, 0.2, 0), site(2, 0.2, 0.2, 0)],
  'text too': [site(0, 0.15, 0.25, 0.3), site(2, 0.3, 0.1, 0.3)],
  deep: [site(0, 0.5, 0.4, 0.45), site(1, 0.5, 0.4, 0.45)],
  'text alone where safe': [site(0, 0, 0, 0.4), site(1, 0.2, 0, 0.2)],
};

const models: Readonly<Record<string, TinyOptions>> = {
  'additive mask': {},
  'condition mask': { mask: 'where' },
  'no mask': { mask: 'none' },
  'opset 11, no norms': { opset: 11, norm: false },
  'open text length': { text: 'words' },
  'opset 21': { opset: 21 },
};

/** Float32 arithmetic decides as float64 does where no decision was closer than this. */
const clear = 2e-5;

const near = (ours: readonly number[], theirs: readonly number[]): void => {
  const scale = Math.max(1, ...theirs.map(Math.abs));
  expect(ours).toHaveLength(theirs.length);
  ours.forEach((v, i) => expect(Math.abs(v - theirs[i]!) / scale).toBeLessThan(2e-5));
};

const rowsOf = (tensor: TensorData): number[][] => {
  const numbers = numbersOf(tensor);
  const size = numbers.length / tensor.dims[0]!;
  return Array.from({ length: tensor.dims[0]! }, (_, b) => numbers.slice(b * size, (b + 1) * size));
};

describe.each(['safe', 'pumer'] as const)('--semantics %s', (semantics: Semantics) => {
  const pairs = [
    ...Object.keys(plans).map((plan) => [plan, 'additive mask'] as const),
    ...Object.keys(models).flatMap((model) =>
      ['both, at every layer', 'text too'].map((plan) => [plan, model] as const),
    ),
    ['deep', 'open text length'] as const,
  ];
  const cases = [
    ...new Map(
      pairs.map(([plan, model]) => [`${plan}: ${model}`, [plan, model, plans[plan]!, models[model]!] as const]),
    ).values(),
  ];

  it.each(cases)('%s: %s', async (_plan, _name, sites, options) => {
    let checked = 0;
    let effect = 0;
    for (const seed of [1, 2]) {
      const tiny = tinyVilt({ seed, ...options });
      const hand = { tiny, semantics, norm: options.norm ?? true, masked: options.mask !== 'none' };
      const compiled = compiledWith(modelOfTiny(tiny), { plan: { schema_version: 1, semantics, sites } });
      const feeds = tinyFeeds(randomFrom(seed + 100), [0, 3, 6]);
      const logits = rowsOf((await outputsOf(compiled.model, tensorsOf(feeds))).get('logits')!);
      logits.forEach((row, b) => {
        const expected = byHand({ ...hand, sites }, feeds, b);
        const unreduced = byHand({ ...hand, sites: [] }, feeds, b);
        if (expected.margin < clear) return;
        near(row, expected.logits);
        checked++;
        effect = Math.max(effect, ...row.map((v, i) => Math.abs(v - unreduced.logits[i]!)));
      });
    }
    expect(checked).toBeGreaterThanOrEqual(2);
    expect(effect).toBeGreaterThan(1e-3);
  });

  it('the unreduced model is what the loops say', async () => {
    for (const options of Object.values(models)) {
      const tiny = tinyVilt(options);
      const feeds = tinyFeeds(randomFrom(9), [0, 2]);
      const rows = rowsOf((await outputsOf(modelOfTiny(tiny), tensorsOf(feeds))).get('logits')!);
      const hand = { tiny, semantics, sites: [], norm: options.norm ?? true, masked: options.mask !== 'none' };
      rows.forEach((row, b) => near(row, byHand(hand, feeds, b).logits));
    }
  });

  const lengths = [['fixed', {}] as const, ['open', { text: 'words' }] as const];

  it.each(semantics === 'safe' ? lengths : [])(
    '%s lengths: tokens read by position are found where they are now',
    async (_, options) => {
      const sites = [site(0, 0.2, 0.2, 0.3), site(1, 0.2, 0.2, 0.2)];
      const tiny = edited(tinyVilt({ seed: 8, ...options }), {
        after: 'final',
        nodes: [
          'image_cls = Gather(final, back_cls) axis=1',
          'last = Gather(final, back_last) axis=1',
          'picture_part = Slice(final, picture_from, to_end, second)',
          'first_seen = Gather(picture_part, cls_at) axis=1',
          'words_part = Slice(final, first, picture_from, second)',
          'first_word = Gather(words_part, cls_at) axis=1',
        ],
        values: {
          back_cls: `i[]:${-imageTokens}`,
          back_last: 'i[]:-1',
          picture_from: `i[1]:${-imageTokens}`,
          to_end: 'i[1]:9000000000000000000',
        },
        outputs: ['image_cls', 'last', 'first_seen', 'first_word'],
      });
      const compiled = compiledWith(modelOfTiny(tiny), { plan: { schema_version: 1, semantics, sites } });
      expect(compiled.resolved.sites.flatMap((s) => s.lanes.map((l) => [l.protectedStart, l.protectedEnd]))).toEqual([
        [1, 1],
        [1, 0],
        [1, 1],
        [1, 0],
      ]);
      const feeds = tinyFeeds(randomFrom(8), [0, 3, 5]);
      const outputs = await outputsOf(compiled.model, tensorsOf(feeds));
      let checked = 0;
      for (const b of [0, 1, 2]) {
        const hand = { tiny, semantics, sites, norm: true, masked: true, imageReads: [0, -1] };
        const { restored, margin } = byHand(hand, feeds, b);
        if (margin < clear) continue;
        checked++;
        const read = (name: string): number[] => rowsOf(outputs.get(name)!)[b]!;
        near(read('image_cls'), restored[words]!);
        near(read('first_seen'), restored[words]!);
        near(read('last'), restored.at(-1)!);
        near(read('first_word'), restored[0]!);
      }
      expect(checked).toBeGreaterThanOrEqual(2);
    },
  );

  it.each([
    ['fixed', {}],
    ['open', { text: 'words' }],
  ] as const)('--outputs restore, %s lengths: merged tokens come back, pruned ones are zeros', async (_, options) => {
    const sites = [site(0, 0.2, 0.2, 0.3), site(1, 0.2, 0.2, 0.2)];
    let checked = 0;
    for (const seed of [5, 6]) {
      const base = tinyVilt({ seed, ...options });
      const tiny = { ...base, outputs: ['logits', 'final'] };
      const compiled = compiledWith(modelOfTiny(tiny), {
        plan: { schema_version: 1, semantics, sites },
        outputs: 'restore',
      });
      const feeds = tinyFeeds(randomFrom(seed), [0, 4]);
      const outputs = await outputsOf(compiled.model, tensorsOf(feeds));
      expect(outputs.get('final')!.dims).toEqual([2, words + imageTokens, width]);
      const results: HandResult[] = [0, 1].map((b) =>
        byHand({ tiny, semantics, sites, norm: true, masked: true }, feeds, b),
      );
      rowsOf(outputs.get('final')!).forEach((row, b) => {
        const { restored, margin } = results[b]!;
        if (margin < clear) return;
        near(row, restored.flat());
        checked++;
        const zeros = restored.filter((token) => token.every((v) => v === 0)).length;
        expect(zeros).toBeGreaterThan(0);
        // Tokens merged into one place share its value.
        expect(new Set(restored.map(String)).size).toBeLessThan(restored.length - zeros);
      });
    }
    expect(checked).toBeGreaterThanOrEqual(2);
  });
});
