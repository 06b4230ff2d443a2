/**
 * Models fed with embeddings (the encoder of a model split into files): nothing in the graph says which tokens are
 * text. The user does, with --lanes; without that word the refusal names it. A model told its lanes must compute what
 * the same model does that embeds its tokens itself.
 */
import { describe, expect, it } from 'vitest';
import { DataType } from '../../src/graph/model.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { randomFrom } from '../reduction/harness.ts';
import {
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
import { refusalOf } from './refusal-cases.ts';

const own =
  /^(word|text|patch|rows|sequence|picture|batch_size|cls_shape|cls|with_cls|image|image_mask_shape|image_mask) = /;

/** The tiny ViLT from its first layer on. */
const embedded = (tiny: Tiny, total: number | string): Tiny => {
  const { input_ids: _, attention_mask: __, pixel_values: ___, ...values } = tiny.values;
  return {
    ...tiny,
    values: { ...values, embeds: `f[batch,${total},${width}]`, attention_mask: `i[batch,${total}]` },
    nodes: tiny.nodes
      .filter((line) => !own.test(line))
      .map((line) =>
        line
          .replace('x0 = Concat(text, image) axis=1', 'x0 = Identity(embeds)')
          .replace('mask = Concat(attention_mask, image_mask) axis=1', 'mask = Identity(attention_mask)'),
      ),
    outputs: ['logits', 'final'],
  };
};

const total = words + imageTokens;
const textFirst = new Map([['embeds', [{ lane: 'text' as const }, { lane: 'image' as const, length: imageTokens }]]]);

describe('inputs that are embeddings', () => {
  it.each([total, 'tokens'])('without a word on them are refused, and the fix is the flag (%s)', (length) => {
    const refusal = refusalOf(modelOfTiny(embedded(tinyVilt(), length)), { keep: 0.7 });
    expect(refusal?.code).toBe('no-cross-modal-layer');
    expect(refusal?.fix).toContain('--lanes embeds=');
  });

  it.each([
    ['safe', total],
    ['safe', 'tokens'],
    ['pumer', 'tokens'],
  ] as const)('%s, [batch, %s, width]: as the model that embeds its own', async (semantics, length) => {
    const sites = [
      { layer: 0, prune: 0.2, merge: 0.2, mergeText: 0.3 },
      { layer: 1, prune: 0.1, merge: 0.3, mergeText: 0.2 },
    ];
    const plan = { schema_version: 1, semantics, sites } as const;
    const whole = { ...tinyVilt({ seed: 4 }), outputs: ['logits', 'final'] };
    const feeds = tensorsOf(tinyFeeds(randomFrom(21), [0, 3]));
    const before = await outputsOf(modelOfTiny({ ...whole, outputs: ['x0'] }), feeds);
    const expected = await outputsOf(
      compiledWith(modelOfTiny({ ...whole, outputs: ['logits', 'final'] }), { plan }).model,
      feeds,
    );
    const words01 = feeds.get('attention_mask')!;
    const mask = numbersOf(words01);
    const all: TensorData = {
      dataType: DataType.INT64,
      dims: [2, total],
      data: BigInt64Array.from({ length: 2 * total }, (_, i) =>
        i % total < words ? BigInt(mask[Math.floor(i / total) * words + (i % total)]!) : 1n,
      ),
    };
    const model = modelOfTiny(embedded(tinyVilt({ seed: 4 }), length));
    const inputs = new Map([
      ['embeds', before.get('x0')!],
      ['attention_mask', all],
    ]);
    const outputs = await outputsOf(compiledWith(model, { plan, lanes: textFirst }).model, inputs);
    expect(outputs.get('final')!.dims).toEqual([2, total, width]);
    for (const name of ['logits', 'final']) {
      const theirs = numbersOf(expected.get(name)!);
      numbersOf(outputs.get(name)!).forEach((v, i) => expect(Math.abs(v - theirs[i]!)).toBeLessThan(1e-5));
    }
  });

  it('hands out at hidden width: defaults merge only', () => {
    const compiled = compiledWith(modelOfTiny(embedded(tinyVilt(), 'tokens')), { lanes: textFirst });
    expect(compiled.plan.sites.map((s) => [s.prune, s.mergeText])).toEqual(compiled.plan.sites.map(() => [0, 0]));
    expect(compiled.plan.sites.every((s) => s.merge > 0)).toBe(true);
  });
});
