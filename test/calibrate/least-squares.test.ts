/** Non-negative least squares against every set of free coefficients there is, and against known solutions. */
import { describe, expect, test } from 'vitest';
import { fitNonNegative, solveNonNegative, solvePositive } from '../../src/calibrate/latency/least-squares.ts';
import { random } from './made-up-machine.ts';

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, v, i) => sum + v * b[i]!, 0);

/** Gauss-Jordan with pivots: another way than the code's. */
const eliminate = (a: readonly (readonly number[])[], b: readonly number[]): number[] => {
  const rows = a.map((row, i) => [...row, b[i]!]);
  const n = b.length;
  for (let j = 0; j < n; j++) {
    const pivot = rows
      .slice(j)
      .reduce((best, row, i) => (Math.abs(row[j]!) > Math.abs(rows[best]![j]!) ? i + j : best), j);
    [rows[j], rows[pivot]] = [rows[pivot]!, rows[j]!];
    for (let i = 0; i < n; i++) {
      if (i === j) continue;
      const factor = rows[i]![j]! / rows[j]![j]!;
      rows[i] = rows[i]!.map((v, k) => v - factor * rows[j]![k]!);
    }
  }
  return rows.map((row, i) => row[n]! / row[i]!);
};

/** X'X of random rows; nearly collinear columns where `alike`. */
const problem = (seed: number, n: number, alike: boolean): { a: number[][]; b: number[] } => {
  const next = random(seed);
  const x = Array.from({ length: n + 3 }, () => {
    const row = Array.from({ length: n }, () => 2 * next() - 1);
    if (alike) for (let j = 1; j < n; j++) row[j] = row[0]! + 1e-3 * row[j]!;
    return row;
  });
  const y = x.map(() => 2 * next() - 1);
  const column = (j: number): number[] => x.map((row) => row[j]!);
  const a = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => dot(column(i), column(j))));
  return { a, b: Array.from({ length: n }, (_, j) => dot(column(j), y)) };
};

const objective = (a: readonly (readonly number[])[], b: readonly number[], x: readonly number[]): number =>
  a.reduce((sum, row, i) => sum + (x[i]! * dot(row, x)) / 2, 0) - dot(b, x);

/** The best of all 2^n choices of which coefficients are free. */
const best = (a: readonly (readonly number[])[], b: readonly number[]): number => {
  let least = 0;
  for (let mask = 1; mask < 2 ** b.length; mask++) {
    const free = b.map((_, j) => j).filter((j) => (mask >> j) & 1);
    const s = eliminate(
      free.map((i) => free.map((j) => a[i]![j]!)),
      free.map((i) => b[i]!),
    );
    if (s.some((v) => v < 0)) continue;
    const x = b.map(() => 0);
    free.forEach((j, k) => (x[j] = s[k]!));
    least = Math.min(least, objective(a, b, x));
  }
  return least;
};

test('positive definite systems are solved', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const { a, b } = problem(seed, 1 + (seed % 7), false);
    const x = solvePositive(a, b);
    a.forEach((row, i) => expect(dot(row, x)).toBeCloseTo(b[i]!, 9));
  }
});

describe('non-negative least squares', () => {
  test.each([
    ['of columns that differ', false],
    ['of columns nearly alike', true],
  ])('is the best of all choices, %s', (_, alike) => {
    for (let seed = 1; seed <= 60; seed++) {
      const { a, b } = problem(seed, 1 + (seed % 7), alike);
      const x = solveNonNegative(a, b);
      expect(Math.min(...x)).toBeGreaterThanOrEqual(0);
      const least = best(a, b);
      expect(objective(a, b, x) - least).toBeLessThan(1e-8 * (1 + Math.abs(least)));
    }
  });

  test('of nothing that helps is nothing', () => {
    expect(
      solveNonNegative(
        [
          [2, 0],
          [0, 2],
        ],
        [-1, -3],
      ),
    ).toEqual([0, 0]);
  });

  test('with one coefficient held at 0', () => {
    // By hand: (2, -1) if any sign would do, else 3 / 2 for the first alone.
    const [first, second] = solveNonNegative(
      [
        [2, 1],
        [1, 2],
      ],
      [3, 0],
    );
    expect(first).toBeCloseTo(1.5, 12);
    expect(second).toBe(0);
  });
});

test('observations count by how sure they are', () => {
  const at = (value: number, deviation: number) => ({ terms: [1], value, deviation });
  expect(fitNonNegative([at(1, 1), at(3, 1)], 1)[0]).toBeCloseTo(2, 12);
  expect(fitNonNegative([at(1, 1), at(3, 0.5)], 1)[0]).toBeCloseTo((1 + 4 * 3) / 5, 12);
});
