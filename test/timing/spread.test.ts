/** Spreads against naive sorting and counting; the interval of a median against sampling. No clock is read. */
import { describe, expect, test } from 'vitest';
import { median, medianInterval, noiseOf, quartilesText, spreadOf, spreadText } from '../../src/timing/spread.ts';

/** Reproducible numbers in [0, 1): a linear congruential generator (Numerical Recipes). */
const random = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
};

describe('a spread', () => {
  test('counts as many values below a quartile as a sort says', () => {
    const next = random(1);
    for (let n = 1; n < 60; n++) {
      const values = Array.from({ length: n }, () => Math.round(1000 * next()));
      const { median: m, low, high, least, most } = spreadOf(values);
      const sorted = [...values].sort((a, b) => a - b);
      expect([least, most]).toEqual([sorted[0], sorted[n - 1]]);
      expect(m).toBe(n % 2 === 1 ? sorted[(n - 1) / 2] : (sorted[n / 2 - 1]! + sorted[n / 2]!) / 2);
      // A quarter of the gaps between values lies below.
      const share = (bound: number): [number, number] => [
        values.filter((v) => v < bound).length / n,
        values.filter((v) => v <= bound).length / n,
      ];
      for (const [bound, quarter] of [
        [low, 0.25],
        [high, 0.75],
      ] as const) {
        const [below, upTo] = share(bound);
        expect(below).toBeLessThanOrEqual(quarter + 1 / n);
        expect(upTo).toBeGreaterThanOrEqual(quarter - 1 / n);
      }
      expect(median(values)).toBe(m);
    }
  });

  test('in known cases', () => {
    expect(spreadOf([4, 1, 3, 2, 5])).toEqual({ median: 3, low: 2, high: 4, least: 1, most: 5 });
    expect(spreadOf([7])).toEqual({ median: 7, low: 7, high: 7, least: 7, most: 7 });
    expect(spreadOf([]).median).toBeNaN();
  });

  test('leaves what it is given as it was', () => {
    const values = [3, 1, 2];
    spreadOf(values);
    medianInterval(values);
    expect(values).toEqual([3, 1, 2]);
  });

  test('as text', () => {
    const spread = spreadOf([1, 2, 3, 4, 11]);
    expect(quartilesText(spread, 1)).toBe('3.0 (2.0-4.0)');
    expect(spreadText(spread)).toBe('3 (1-11)');
  });
});

describe('the interval of a median', () => {
  test('takes the order statistics of the tables of the sign test', () => {
    const ranks = (n: number): [number, number] => {
      const { low, high } = medianInterval(Array.from({ length: n }, (_, i) => i + 1));
      return [low, high];
    };
    // Critical values of the sign test, two-sided 5 %: n = 6: 0, 9: 1, 12: 2, 15: 3, 20: 5, 25: 7.
    expect([6, 9, 12, 15, 20, 25].map(ranks)).toEqual([
      [1, 6],
      [2, 8],
      [3, 10],
      [4, 12],
      [6, 15],
      [8, 18],
    ]);
  });

  test('says how sure it is', () => {
    expect(medianInterval([1, 2, 3])).toEqual({ low: 1, high: 3, confidence: 0.75 });
    expect(medianInterval([5])).toEqual({ low: 5, high: 5, confidence: 0 });
    for (const n of [6, 7, 20, 21, 200]) {
      const { confidence } = medianInterval(Array.from({ length: n }, (_, i) => i));
      expect(confidence).toBeGreaterThanOrEqual(0.95);
      expect(confidence).toBeLessThan(0.99);
    }
  });

  test('holds the median about as often as it says, on skewed values', () => {
    const next = random(7);
    for (const n of [8, 15, 40]) {
      let held = 0;
      let confidence = 0;
      for (let trial = 0; trial < 2000; trial++) {
        const interval = medianInterval(Array.from({ length: n }, () => -Math.log(1 - next())));
        ({ confidence } = interval);
        if (interval.low <= Math.LN2 && Math.LN2 <= interval.high) held++;
      }
      expect(Math.abs(held / 2000 - confidence)).toBeLessThan(0.02);
    }
  });

  test('noise is half its width', () => {
    expect(noiseOf([90, 100, 110])).toBeCloseTo(0.1, 12);
    expect(noiseOf([4, 4, 4, 4])).toBe(0);
  });
});
