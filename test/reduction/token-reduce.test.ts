/**
 * The function body against the reference, through ONNX Runtime: decisions always, values to rounding.
 */
import { describe, expect, it } from 'vitest';
import { reduceTokens } from '../../src/reduction/reference.ts';
import { feedsOf, randomCase, randomFrom, reducerSession, runReducer } from './harness.ts';

const opsets = [11, 12, 13, 14, 17, 18, 20, 23];
const bothSemantics = ['pumer', 'safe'] as const;

describe.each(bothSemantics)('TokenReduce, %s', (semantics) => {
  it.each(opsets)('is the reference bit for bit on exact arithmetic, opset %i', async (opset) => {
    const random = randomFrom(1000 + opset);
    for (let i = 0; i < 60; i++) {
      const input = randomCase(random, { semantics, exact: true, withNaN: i % 3 === 2 });
      const session = await reducerSession({ semantics, opset, inline: i % 2 === 1 });
      const ran = await runReducer(session, feedsOf(input));
      reduceTokens(input).forEach(({ tokens, weight, target, survivors, sources }, b) => {
        const row = ran[b]!;
        expect(row.target, `case ${i}`).toEqual(target);
        expect(row.position, `case ${i}`).toEqual(survivors);
        expect(row.weight, `case ${i}`).toEqual(weight.map(Math.fround));
        survivors.forEach((from, j) => {
          const merged = sources.some((s) => target[s] === j);
          // The sign of a mean that is zero says nothing; a token that is left alone keeps it.
          if (merged) expect(row.tokens[j]!.map((x) => x + 0)).toEqual(tokens[j]!.map((x) => Math.fround(x) + 0));
          else expect(row.tokens[j], `case ${i}`).toEqual(input.tokens[b]![from]);
        });
      });
    }
  });

  it.each([11, 17, 20])('is the reference on real numbers, opset %i', async (opset) => {
    const random = randomFrom(2000 + opset);
    let compared = 0;
    for (let i = 0; i < 60; i++) {
      const input = randomCase(random, { semantics, exact: false, withNaN: i % 3 === 2 });
      const ran = await runReducer(await reducerSession({ semantics, opset }), feedsOf(input));
      reduceTokens(input).forEach((expected, b) => {
        // Where float64 sees hardly a difference, float32 may see another: only those rows are left out.
        if (expected.margin > 0 && expected.margin < 5e-6) return;
        compared++;
        const row = ran[b]!;
        expect(row.target, `case ${i}`).toEqual(expected.target);
        expected.tokens.forEach((token, j) =>
          token.forEach((x, c) => expect(Math.abs(row.tokens[j]![c]! - x)).toBeLessThan(1e-6 * (1 + Math.abs(x)))),
        );
        expected.weight.forEach((w, j) => expect(row.weight[j]).toBeCloseTo(w, 5));
      });
    }
    expect(compared).toBeGreaterThan(100);
  });
});
