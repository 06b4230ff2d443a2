/**
 * Costs told of a plan against the multiply-adds counted in the model that the plan compiles to, the reducers' own work
 * left out: node for node the same, so the sums are equal.
 */
import { describe, expect, it } from 'vitest';
import { countMacs } from '../../src/analysis/macs.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { imageCounts, textCounts } from '../../src/reduction/counts.ts';
import { compiledWith, fixtures, loadFixture, viltTiny, visualBert, type Fixture } from '../compile/fixtures.ts';
import type { Model } from '../../src/graph/model.ts';
import { calibrationOf, planOf, plansFor, semanticsList } from './plans.ts';

const symbols = ({ text }: Fixture): Map<string, number> =>
  new Map([
    ['batch', 1],
    ['sequence', text],
  ]);

/** Of the model's own nodes: what insertion writes is named pumer/. */
const counted = (model: Model, fixture: Fixture): number => {
  const { perNode, unknown } = countMacs(model, shapesOf(model), symbols(fixture));
  expect(unknown).toBe(0);
  return [...perNode].reduce((sum, [value, macs]) => (value.startsWith('pumer/') ? sum : sum + macs), 0);
};

describe.each(semanticsList)('--semantics %s', (semantics) => {
  it.each(fixtures.map((f) => [f.name, f] as const))('%s: what the compiled model multiplies', (_, fixture) => {
    const original = loadFixture(fixture);
    const { costOf } = calibrationOf(original, { semantics });
    const sizes = { image: fixture.image, text: fixture.text };
    const whole = costOf(planOf(semantics, []), sizes);
    expect(whole.multiplyAdds).toBe(counted(original, fixture));
    expect(whole.sites).toEqual([]);
    for (const plan of plansFor(fixture, semantics).slice(0, 3)) {
      const cost = costOf(plan, sizes);
      expect(cost.multiplyAdds).toBe(counted(compiledWith(original, { plan }).model, fixture));
      expect(cost.multiplyAdds).toBeLessThan(whole.multiplyAdds);
      expect(cost.stages).toHaveLength(whole.stages.length);
      expect(cost.stages.reduce((sum, s) => sum + s.multiplyAdds, 0)).toBe(cost.multiplyAdds);
      cost.stages.forEach((stage, i) => {
        expect(stage.image).toBeLessThanOrEqual(whole.stages[i]!.image);
        expect(stage.elements).toBeLessThanOrEqual(whole.stages[i]!.elements);
      });
    }
  });
});

it('sites are told with the tokens around them', () => {
  const { costOf } = calibrationOf(loadFixture(viltTiny), { semantics: 'safe' });
  const sites = [
    { layer: 1, prune: 0.1, merge: 0.3, mergeText: 0.2 },
    { layer: 3, prune: 0, merge: 0, mergeText: 0 },
    { layer: 4, prune: 0, merge: 0.25, mergeText: 0 },
  ];
  const rule = { semantics: 'safe', protectedCount: 0 } as const;
  const image = imageCounts(101, 0.1, 0.3, rule).after;
  const text = textCounts(13, 0.2, { ...rule, protectedCount: 1 }).after;
  expect(costOf(planOf('safe', sites), { image: 101, text: 13 }).sites).toEqual([
    { layer: 1, image: { before: 101, after: image }, text: { before: 13, after: text } },
    {
      layer: 4,
      image: { before: image, after: imageCounts(image, 0, 0.25, rule).after },
      text: { before: text, after: text },
    },
  ]);
});

it('other lengths of open lanes', () => {
  const model = loadFixture(viltTiny);
  const calibration = calibrationOf(model, { semantics: 'safe' });
  const [plan] = plansFor(viltTiny, 'safe');
  const long = { ...viltTiny, text: 37 };
  expect(calibration.costOf(plan!, { image: 101, text: 37 }).multiplyAdds).toBe(
    counted(compiledWith(model, { plan: plan! }).model, long),
  );
});

it('lengths of a row are read off the inputs', () => {
  const tokens = { dims: [8, 21] };
  expect(
    calibrationOf(loadFixture(viltTiny), { semantics: 'safe' }).sizesOf(
      new Map([
        ['input_ids', tokens],
        ['attention_mask', tokens],
      ]),
    ),
  ).toEqual({ image: 101, text: 21 });
  expect(calibrationOf(loadFixture(visualBert), { semantics: 'safe' }).sizesOf(new Map())).toBeUndefined();
});
