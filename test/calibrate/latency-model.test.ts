/** The latency model on a made-up machine whose times are known for every plan; nothing is timed here. */
import { describe, expect, test } from 'vitest';
import { latencyDesign, type LatencyEffort } from '../../src/calibrate/latency/design.ts';
import { fitLatencyModel, hats, type LatencyModel } from '../../src/calibrate/latency/model.ts';
import type { ReductionPlan } from '../../src/reduction/plan.ts';
import { median } from '../../src/timing/spread.ts';
import { costOf, openSites, randomPlans, sizes, tableOf, timeOf } from './made-up-machine.ts';

const design = (effort: LatencyEffort): readonly ReductionPlan[] =>
  latencyDesign({ sites: openSites, semantics: 'safe', costOf }, sizes, effort);
const whole: ReductionPlan = { schema_version: 1, semantics: 'safe', sites: [] };
const ratioOf = (plan: ReductionPlan): number => timeOf(plan) / timeOf(whole);
const others = randomPlans(60, 11);

const errorsOf = (predict: (plan: ReductionPlan) => number): number[] =>
  others.map((plan) => Math.abs(predict(plan) / ratioOf(plan) - 1));
const predicting = (model: LatencyModel) => (plan: ReductionPlan) => model.predict(plan).ratio;

/** Share of pairs of plans, at least 2 % apart, that are put in the right order. */
const ordered = (predict: (plan: ReductionPlan) => number): number => {
  let [right, all] = [0, 0];
  for (const a of others)
    for (const b of others) {
      if (ratioOf(a) >= 0.98 * ratioOf(b)) continue;
      all++;
      if (predict(a) < predict(b)) right++;
    }
  return right / all;
};

describe('plans that were never measured', () => {
  test.each<[LatencyEffort, number, number]>([
    ['quick', 0.035, 0.12],
    ['default', 0.02, 0.1],
    ['thorough', 0.015, 0.08],
  ])('are told from those of a %s design', (effort, middle, largest) => {
    const model = fitLatencyModel(tableOf(design(effort), 0.005), costOf);
    const errors = errorsOf(predicting(model));
    expect(median(errors)).toBeLessThan(middle);
    expect(Math.max(...errors)).toBeLessThan(largest);
    expect(ordered(predicting(model))).toBeGreaterThan(0.98);
  });

  test('better than by multiply-adds alone', () => {
    const model = fitLatencyModel(tableOf(design('default'), 0.005), costOf);
    const work = (plan: ReductionPlan): number => costOf(plan, sizes).multiplyAdds;
    const naive = errorsOf((plan) => work(plan) / work(whole));
    expect(median(errorsOf(predicting(model)))).toBeLessThan(median(naive) / 2);
  });

  test('the error told is of the size of the true one', () => {
    const model = fitLatencyModel(tableOf(design('default'), 0.01), costOf);
    const errors = errorsOf(predicting(model));
    expect(model.leftOut.median).toBeGreaterThan(median(errors) / 3);
    expect(model.leftOut.largest).toBeGreaterThan(median(errors));
    expect(model.leftOut.median).toBeLessThan(3 * median(errors));
  });
});

describe('plans that were disturbed', () => {
  const table = tableOf(design('default'), 0.005);
  const disturb = (i: number, by: number): typeof table => ({
    ...table,
    timed: table.timed.map((t, j) => {
      const { median: m, low, high } = t.ratio;
      return j === i ? { ...t, ratio: { median: m * by, low: low * by, high: high * by } } : t;
    }),
  });

  test.each([2, 9, 15])('one of them (%s) does not decide over the others', (i) => {
    const errors = errorsOf(predicting(fitLatencyModel(disturb(i, 1.3), costOf)));
    expect(median(errors)).toBeLessThan(0.03);
    expect(Math.max(...errors)).toBeLessThan(0.15);
  });

  test('a single turn is not taken for a sure one', () => {
    const lone = (t: (typeof table.timed)[number]): typeof t => {
      const m = t.ratio.median * 1.3;
      return { ...t, turns: 1, ratio: { median: m, low: m, high: m } };
    };
    const timed = table.timed.map((t, j) => (j % 6 === 5 ? lone(t) : t));
    expect(median(errorsOf(predicting(fitLatencyModel({ ...table, timed }, costOf))))).toBeLessThan(0.03);
  });
});

describe('however little is measured', () => {
  test.each([1, 2, 3])('%s plans', (count) => {
    const model = fitLatencyModel(tableOf(design('default').slice(0, count), 0.01), costOf);
    expect(model.predict(whole).ratio).toBeCloseTo(1, 2);
    expect(Math.max(...errorsOf(predicting(model)))).toBeLessThan(0.25);
    expect(Number.isFinite(model.leftOut.largest)).toBe(true);
  });

  test('the same plan over and over', () => {
    const [plan] = design('default');
    const model = fitLatencyModel(
      tableOf(
        Array.from({ length: 6 }, () => plan!),
        0.01,
      ),
      costOf,
    );
    expect(model.predict(plan!).ratio / ratioOf(plan!)).toBeCloseTo(1, 1);
    expect(Math.max(...errorsOf(predicting(model)))).toBeLessThan(0.25);
  });

  test('times that make no sense give no time below half of the work', () => {
    const table = tableOf(design('default'), 0);
    const ratio = { median: 1e-3, low: 1e-3, high: 1e-3 };
    const model = fitLatencyModel({ ...table, timed: table.timed.map((t) => ({ ...t, ratio })) }, costOf);
    for (const plan of others)
      expect(model.predict(plan).ratio).toBeGreaterThanOrEqual(
        (0.5 * costOf(plan, sizes).multiplyAdds) / costOf(whole, sizes).multiplyAdds,
      );
  });
});

test('milliseconds are the ratio of what the original took', () => {
  const model = fitLatencyModel(tableOf(design('quick'), 0), costOf);
  const { ratio, milliseconds } = model.predict(others[0]!);
  expect(milliseconds / ratio).toBeCloseTo(timeOf(whole), 6);
});

test('the same table gives the same numbers', () => {
  const told = (): number[] => {
    const model = fitLatencyModel(tableOf(design('default'), 0.01), costOf);
    return [...others.map((plan) => model.predict(plan).ratio), model.leftOut.median, model.leftOut.largest];
  };
  expect(told()).toEqual(told());
});

test('hats share a length between its neighbours', () => {
  const knots = [10, 20, 40];
  expect([5, 10, 15, 35, 40, 99].map((length) => hats(knots, length))).toEqual([
    [1, 0, 0],
    [1, 0, 0],
    [0.5, 0.5, 0],
    [0, 0.25, 0.75],
    [0, 0, 1],
    [0, 0, 1],
  ]);
});
