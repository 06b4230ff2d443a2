/**
 * Fused models against the same models unfused: with the same plan both must give the same, however attention and
 * normalisation are spelled. Where nothing is shortened the fused operators stay, bit for bit.
 */
import { describe, expect, it } from 'vitest';
import type { PlannedSite } from '../../src/reduction/plan.ts';
import { numbersOf } from '../../src/runtime/tensor-data.ts';
import { randomFrom } from '../reduction/harness.ts';
import { tinyFused, type Fusion } from '../support/tiny-fused.ts';
import { modelOfTiny, tensorsOf, tinyFeeds, tinyVilt, type TinyOptions } from '../support/tiny-vilt.ts';
import { compiledWith, outputsOf } from './fixtures.ts';

const fusions: readonly Fusion[] = ['packed', 'packed, counts', 'separate', 'standard', 'products'];
const options: Readonly<Record<string, TinyOptions>> = {
  'fixed lengths': {},
  'open text': { text: 'words' },
};
const site = (layer: number, prune: number, merge: number, mergeText: number): PlannedSite => ({
  layer,
  prune,
  merge,
  mergeText,
});
const plans: Readonly<Record<string, readonly PlannedSite[]>> = {
  image: [site(1, 0.2, 0.2, 0)],
  'both lanes, twice': [site(0, 0.15, 0.25, 0.3), site(2, 0.3, 0.1, 0.3)],
};
const fusedOps = (model: { graph: { nodes: readonly { op: string; domain: string }[] } }): string[] =>
  model.graph.nodes
    .filter((n) => n.domain === 'com.microsoft' || n.op === 'Attention')
    .map((n) => n.op)
    .sort();

const cases = fusions.flatMap((fusion) => [
  [fusion, 'fixed lengths', 'both lanes, twice', 'safe'] as const,
  [fusion, 'open text', 'image', 'safe'] as const,
  [fusion, 'open text', 'both lanes, twice', 'pumer'] as const,
]);

describe('a fused model and the same model unfused', () => {
  it.each(cases)('%s, %s, %s, %s', async (fusion, form, plan, semantics) => {
    const chosen = { plan: { schema_version: 1, semantics, sites: plans[plan]! } } as const;
    // A count of tokens cannot say that words in front of an image are PAD.
    const padding = fusion === 'packed, counts' ? [0, 0] : [2, 0];
    const random = randomFrom(31);
    const feeds = tensorsOf(tinyFeeds(random, padding));
    const tiny = { ...options[form] };
    const opset = fusion === 'standard' ? 23 : 17;
    const theirs = await outputsOf(compiledWith(modelOfTiny(tinyVilt({ ...tiny, opset })), chosen).model, feeds);
    const ours = await outputsOf(compiledWith(modelOfTiny(tinyFused(fusion, tiny)), chosen).model, feeds);
    const expected = numbersOf(theirs.get('logits')!);
    const scale = Math.max(1, ...expected.map(Math.abs));
    numbersOf(ours.get('logits')!).forEach((v, i) => expect(Math.abs(v - expected[i]!) / scale).toBeLessThan(1e-4));
  });

  it.each(fusions)('%s: means the same before anything is compiled', async (fusion) => {
    const feeds = tensorsOf(tinyFeeds(randomFrom(5), fusion === 'packed, counts' ? [0, 0] : [2, 0]));
    const theirs = await outputsOf(modelOfTiny(tinyVilt({ opset: fusion === 'standard' ? 23 : 17 })), feeds);
    const ours = await outputsOf(modelOfTiny(tinyFused(fusion)), feeds);
    const expected = numbersOf(theirs.get('logits')!);
    numbersOf(ours.get('logits')!).forEach((v, i) => expect(Math.abs(v - expected[i]!)).toBeLessThan(1e-4));
  });
});

describe('what nobody changed stays fused', () => {
  it.each(fusions)('%s: all of it where nothing is shortened', async (fusion) => {
    const model = modelOfTiny(tinyFused(fusion));
    const { model: same } = compiledWith(model, { keep: 1, mergeText: 0 });
    expect(fusedOps(same)).toEqual(fusedOps(model));
    const feeds = tensorsOf(tinyFeeds(randomFrom(9), [1, 0]));
    const [before, after] = [await outputsOf(model, feeds), await outputsOf(same, feeds)];
    expect(after.get('logits')).toEqual(before.get('logits'));
  });

  it('leaves the layers in front of a site, and normalisations of shortened tokens, as they were', () => {
    const model = modelOfTiny(tinyFused('packed'));
    const { model: compiled } = compiledWith(model, { layers: [1], prune: 0.2, merge: 0.2, mergeText: 0 });
    const ops = fusedOps(compiled);
    expect(ops.filter((op) => op === 'Attention')).toHaveLength(1);
    expect(ops.filter((op) => op === 'SkipLayerNormalization')).toHaveLength(5);
  });

  it('puts an attention without a mask back on shortened tokens', () => {
    const text = tinyFused('packed', { mask: 'none' });
    const nodes = text.nodes.map((line) => line.replace(', mask32)', ')'));
    const { model: compiled } = compiledWith(modelOfTiny({ ...text, nodes }), {
      semantics: 'pumer',
      layers: [0],
      prune: 0.2,
      merge: 0.2,
      mergeText: 0,
    });
    // The first is read for its probabilities; `pumer` changes nothing in the others.
    expect(fusedOps(compiled).filter((op) => op === 'Attention')).toHaveLength(2);
  });
});

it('says that a count of tokens cannot hide words in front of an image', () => {
  const said = (fusion: Fusion): string[] =>
    compiledWith(modelOfTiny(tinyFused(fusion)), {}).report.diagnostics.map((d) => d.code);
  expect(said('packed, counts')).toContain('padding-counted');
  expect(said('packed')).not.toContain('padding-counted');
});
