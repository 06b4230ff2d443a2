/**
 * What a reducer gave, held against the float64 reference: bit for bit on exact arithmetic, within rounding on real
 * numbers. The same for the function's body and for the kernels.
 */
import { expect } from 'vitest';
import { reduceTokens, type ReduceInput } from '../../src/reduction/reference.ts';
import type { RanRow } from './harness.ts';

/** Rounds a float64 to the element type of the tokens. */
export type Rounding = (x: number) => number;

/** Decisions, weights and tokens must be the reference's own, rounded once to float32 and once to the tokens' type. */
export const expectExactly = (
  ran: readonly RanRow[],
  input: ReduceInput,
  what: string,
  toType: Rounding = (x) => x,
  single: Rounding = Math.fround,
): void =>
  reduceTokens(input).forEach(({ tokens, weight, target, survivors, sources }, b) => {
    const row = ran[b]!;
    expect(row.target, what).toEqual(target);
    expect(row.position, what).toEqual(survivors);
    expect(row.weight, what).toEqual(weight.map(Math.fround));
    survivors.forEach((from, j) => {
      const merged = sources.some((s) => target[s] === j);
      // The sign of a mean that is zero says nothing; a token that is left alone keeps it.
      const mean = (x: number): number => toType(single(x)) + 0;
      if (merged)
        expect(
          row.tokens[j]!.map((x) => x + 0),
          what,
        ).toEqual(tokens[j]!.map(mean));
      else expect(row.tokens[j], what).toEqual(input.tokens[b]![from]!.map(toType));
    });
  });

/** The largest |a - b| / (1 + |b|); NaN where one is NaN and the other is not. */
const furthest = (found: readonly number[], expected: readonly number[]): number =>
  expected.reduce((most, x, i) => {
    const a = found[i] ?? Number.NaN;
    return Object.is(a, x) ? most : Math.max(most, Math.abs(a - x) / (1 + Math.abs(x)));
  }, 0);

/**
 * Rows whose decisions float64 makes by `bound` or more, or by a tie, must decide alike; values lie within `relative`.
 * Returns how many rows that were.
 */
export const expectNearly = (
  ran: readonly RanRow[],
  input: ReduceInput,
  what: string,
  bound: number,
  relative = 1e-6,
): number =>
  reduceTokens(input).filter((expected, b) => {
    if (expected.margin > 0 && expected.margin < bound) return false;
    const row = ran[b]!;
    expect(row.target, what).toEqual(expected.target);
    expect(row.position, what).toEqual(expected.survivors);
    expect(furthest(row.tokens.flat(), expected.tokens.flat()), what).toBeLessThan(relative);
    expect(furthest(row.weight, expected.weight), what).toBeLessThan(1e-6);
    return true;
  }).length;
