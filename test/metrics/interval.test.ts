/** Intervals: published values, and how often they hold the truth, counted over every outcome. */
import { describe, expect, test } from 'vitest';
import { meanInterval, pairedInterval } from '../../src/metrics/interval.ts';

const shares = (ones: number, of: number): number[] => Array.from({ length: of }, (_, i) => (i < ones ? 1 : 0));
const pairs = (up: number, down: number, of: number): number[] =>
  Array.from({ length: of }, (_, i) => (i < up ? 1 : i < up + down ? -1 : 0));

const logFactorial = (n: number): number => {
  let sum = 0;
  for (let i = 2; i <= n; i++) sum += Math.log(i);
  return sum;
};
/** Probability of these counts. */
const multinomial = (counts: readonly number[], shares: readonly number[]): number =>
  Math.exp(
    counts.reduce(
      (sum, count, i) => sum - logFactorial(count) + count * Math.log(shares[i] as number),
      logFactorial(counts.reduce((a, b) => a + b, 0)),
    ),
  );

describe('a share', () => {
  // Wilson's intervals as R's prop.test(k, n, correct = FALSE) and textbooks print them.
  test.each([
    [0, 10, 0, 0.2775],
    [8, 10, 0.4902, 0.9433],
    [10, 10, 0.7225, 1],
    [5, 10, 0.2366, 0.7634],
  ])('%d of %d', (ones, of, low, high) => {
    const found = meanInterval(shares(ones, of));
    expect(found).toMatchObject({ mean: ones / of, samples: of, method: 'wilson' });
    expect(found.low).toBeCloseTo(low, 4);
    expect(found.high).toBeCloseTo(high, 4);
  });

  test.each([0.1, 0.5, 0.95])('holds the truth about 95 times of 100, at %d', (truth) => {
    const n = 40;
    let held = 0;
    for (let k = 0; k <= n; k++) {
      const { low, high } = meanInterval(shares(k, n));
      if ((low as number) <= truth && truth <= (high as number)) held += multinomial([k, n - k], [truth, 1 - truth]);
    }
    expect(held).toBeGreaterThan(0.92);
    expect(held).toBeLessThan(0.985);
  });
});

describe('a difference of paired answers', () => {
  test.each([
    [0.05, 0.03],
    [0.2, 0.05],
    [0.1, 0.1],
  ])('holds the truth at least 94 times of 100, %d lost and %d won', (lost, won) => {
    const n = 60;
    let held = 0;
    for (let up = 0; up <= n; up++)
      for (let down = 0; up + down <= n; down++) {
        const { low, high } = pairedInterval(pairs(up, down, n));
        const chance = multinomial([up, down, n - up - down], [lost, won, 1 - lost - won]);
        if ((low as number) <= lost - won && lost - won <= (high as number)) held += chance;
      }
    expect(held).toBeGreaterThan(0.94);
    expect(held).toBeLessThan(0.99);
  });

  test('says something where nothing differs', () => {
    const found = pairedInterval(pairs(0, 0, 100));
    expect(found).toMatchObject({ mean: 0, method: 'bonett-price' });
    expect(found.low).toBeLessThan(0);
    expect(found.high).toBeCloseTo(-(found.low as number), 12);
    expect(found.high).toBeLessThan(0.05);
  });
});

test('any other mean: the normal approximation', () => {
  // Mean 2.5, sample variance 5/3, four values.
  const found = meanInterval([1, 2, 3, 4]);
  expect(found).toMatchObject({ mean: 2.5, method: 'normal' });
  expect((found.high as number) - 2.5).toBeCloseTo(1.959964 * Math.sqrt(5 / 12), 5);
  expect(pairedInterval([0.5])).toEqual({ mean: 0.5, low: null, high: null, samples: 1, method: 'normal' });
});
