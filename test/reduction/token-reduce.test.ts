/**
 * The function body against the reference, through ONNX Runtime: decisions always, values to rounding.
 */
import { describe, expect, it } from 'vitest';
import { expectExactly, expectNearly } from './against-reference.ts';
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
      expectExactly(ran, input, `case ${i}`);
    }
  });

  it.each([11, 17, 20])('is the reference on real numbers, opset %i', async (opset) => {
    const random = randomFrom(2000 + opset);
    let compared = 0;
    for (let i = 0; i < 60; i++) {
      const input = randomCase(random, { semantics, exact: false, withNaN: i % 3 === 2 });
      const ran = await runReducer(await reducerSession({ semantics, opset }), feedsOf(input));
      compared += expectNearly(ran, input, `case ${i}`, 5e-6);
    }
    expect(compared).toBeGreaterThan(100);
  });
});
