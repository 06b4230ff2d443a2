/**
 * An output that is handed out at full length while the model goes on with its shortened tokens: whatever reads the
 * value inside the model still has to be proven, and a cut that is an output itself is still a cut.
 */
import { expect, it } from 'vitest';
import {
  edited,
  imageTokens,
  modelOfTiny,
  tensorsOf,
  tinyFeeds,
  tinyVilt,
  width,
  words,
} from '../support/tiny-vilt.ts';
import { randomFrom } from '../reduction/harness.ts';
import { compiledWith, outputsOf } from './fixtures.ts';
import { bothLanes, refusalOf } from './refusal-cases.ts';

it('a mean over tokens that are handed out too is refused', () => {
  const tiny = edited(edited(tinyVilt(), { after: 'final', nodes: ['q = ReduceMean(final) axes=[1] keepdims=0'] }), {
    after: 'pooled',
    nodes: ['pooled_too = Add(pooled, q)'],
    instead: 'pooled_too',
    outputs: ['logits', 'final'],
  });
  const refusal = refusalOf(modelOfTiny(tiny), bothLanes);
  expect([refusal?.code, refusal?.at?.node]).toEqual(['not-understood', 'node_q']);
});

it('the text part of shortened tokens, handed out', async () => {
  const tiny = edited(tinyVilt(), {
    after: 'final',
    nodes: ['words_part = Slice(final, first, picture_from, second)'],
    values: { picture_from: `i[1]:${-imageTokens}` },
    outputs: ['logits', 'words_part'],
  });
  const { model } = compiledWith(modelOfTiny(tiny), bothLanes);
  const outputs = await outputsOf(model, tensorsOf(tinyFeeds(randomFrom(3), [0, 2])));
  expect(outputs.get('words_part')!.dims).toEqual([2, words, width]);
});
