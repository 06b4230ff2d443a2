/**
 * One calibration model for all plans, batches and lengths of text; the lengths that its products run on; what is open
 * in it and what is not.
 */
import { describe, expect, it } from 'vitest';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import type { Model } from '../../src/graph/model.ts';
import { InternalError } from '../../src/support/assert.ts';
import {
  compiledWith,
  feedsFor,
  loadFixture,
  outputsOf,
  profileOf,
  runsOf,
  viltTiny,
  visualBert,
} from '../compile/fixtures.ts';
import { randomFrom } from '../reduction/harness.ts';
import { edited, modelOfTiny, tensorsOf, tinyFeeds, tinyVilt } from '../support/tiny-vilt.ts';
import { expectSame } from './against-compiled.ts';
import { apart, calibrationOf, planOf, plansFor, semanticsList } from './plans.ts';

describe.each(semanticsList)('--semantics %s', (semantics) => {
  it('any plan gives what it gives compiled', () =>
    expectSame(viltTiny, semantics, plansFor(viltTiny, semantics), [0, 3]));

  it.each([
    [4, [1]],
    [19, [0, 3, 1]],
  ])('one model serves all batches and lengths of text: %i words, padding %j', (text, padding) =>
    expectSame({ ...viltTiny, text }, semantics, plansFor(viltTiny, semantics).slice(0, 1), padding),
  );

  it('every product runs on the lengths of the plan', async () => {
    const original = loadFixture(viltTiny);
    const calibration = calibrationOf(original, { semantics });
    const [plan] = plansFor(viltTiny, semantics);
    const feeds = feedsFor(viltTiny, original, 2);
    const products = (runs: Awaited<ReturnType<typeof profileOf>>): Map<string, string> =>
      new Map(
        runs
          .filter((run) => (run.op === 'MatMul' || run.op === 'Gemm') && !run.name.startsWith('_inlfunc'))
          .map((run) => [run.name, [...run.inputs, ...run.outputs].map((dims) => dims.join('x')).join(' ')]),
      );
    const compiled = products(await profileOf(compiledWith(original, { plan: plan! }).model, feeds));
    const fed = products(await profileOf(calibration.model, new Map([...feeds, ...calibration.feedsFor(plan!)])));
    expect(Object.fromEntries(fed)).toEqual(Object.fromEntries(compiled));
    expect(fed.size).toBeGreaterThan(40);
  });
});

describe('what is open', () => {
  it('every layer, with both lanes', () => {
    const { sites, closed } = calibrationOf(loadFixture(viltTiny), { semantics: 'safe' });
    expect(sites).toEqual([0, 1, 2, 3, 4, 5].map((layer) => ({ layer, image: true, text: true })));
    expect(closed).toEqual([]);
  });

  it('text that has to keep its length is closed, with the reason', () => {
    const { sites, closed } = calibrationOf(loadFixture(visualBert), { semantics: 'safe' });
    expect(sites).toEqual([0, 1, 2, 3, 4, 5].map((layer) => ({ layer, image: true, text: false })));
    expect(closed.map((c) => [c.layer, c.what, c.why.code])).toEqual(
      [0, 1, 2, 3, 4, 5].map((layer) => [layer, 'text', 'text-lane-fixed']),
    );
  });

  it('layers that are asked for, and no others', () => {
    const model = loadFixture(viltTiny);
    expect(calibrationOf(model, { semantics: 'safe', layers: [4, 1] }).sites.map((s) => s.layer)).toEqual([1, 4]);
    expect(() => calibrationOf(model, { semantics: 'safe', layers: [6] })).toThrow(CompileError);
  });

  const meanOver = (value: string): Model =>
    modelOfTiny(
      edited(edited(tinyVilt(), { after: value, nodes: [`q = ReduceMean(${value}) axes=[1] keepdims=0`] }), {
        after: 'pooled',
        nodes: ['pooled_too = Add(pooled, q)'],
        instead: 'pooled_too',
      }),
    );

  it('a layer with something behind it that is not proven is closed; deeper ones are not', async () => {
    // The mean is over all tokens that enter layer 2.
    const original = meanOver('x2');
    const calibration = calibrationOf(original, { semantics: 'safe' });
    expect(calibration.sites).toEqual([{ layer: 2, image: true, text: true }]);
    expect(calibration.closed.map((c) => [c.layer, c.what, c.why.code, c.why.at?.node])).toEqual([
      [0, 'layer', 'not-understood', 'node_q'],
      [1, 'layer', 'not-understood', 'node_q'],
    ]);
    const plan = planOf('safe', [{ layer: 2, prune: 0.2, merge: 0.3, mergeText: 0.2 }]);
    const feeds = tensorsOf(tinyFeeds(randomFrom(3), [0, 2]));
    const [fed] = await runsOf(calibration.model, [new Map([...feeds, ...calibration.feedsFor(plan)])]);
    expect(apart(await outputsOf(compiledWith(original, { plan }).model, feeds), fed!)).toBeLessThanOrEqual(1e-6);
  });

  it('nothing open is refused as by compile', () => {
    const model = meanOver('final');
    const refusal = (make: () => unknown): unknown => {
      try {
        return make();
      } catch (error) {
        return error instanceof CompileError ? error.diagnostic.code : error;
      }
    };
    expect(refusal(() => calibrationOf(model, { semantics: 'safe' }))).toBe('not-understood');
    expect(refusal(() => compiledWith(model, {}))).toBe('not-understood');
  });

  it('plans beyond what is open are bugs', () => {
    const calibration = calibrationOf(loadFixture(visualBert), { semantics: 'safe' });
    const site = { layer: 2, prune: 0, merge: 0, mergeText: 0 };
    for (const wrong of [
      planOf('safe', [{ ...site, mergeText: 0.1 }]),
      planOf('safe', [{ ...site, layer: 6, merge: 0.1 }]),
      planOf('safe', [{ ...site, merge: 0.12345 }]),
      planOf('pumer', [site]),
    ])
      expect(() => calibration.feedsFor(wrong)).toThrow(InternalError);
    expect(calibration.feedsFor(planOf('safe', [{ ...site, merge: 0.1234 }])).get('pumer/layer_2/image/merge')).toEqual(
      {
        dataType: 7,
        dims: [1],
        data: BigInt64Array.of(1234n),
      },
    );
  });

  it('is nothing to compile again', () => {
    const { model } = calibrationOf(loadFixture(viltTiny), { semantics: 'safe' });
    expect(() => compiledWith(model, {})).toThrow(/already holds token reductions/);
    expect(model.metadata.get('pumer.calibration')).toContain('"semantics":"safe"');
  });
});
