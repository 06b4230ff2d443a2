/**
 * The judge's own decisions against the reducer's reference: two independent writings of docs/semantics.md on random
 * lanes, and both writings of the counts.
 */
import { describe, expect, it } from 'vitest';
import * as product from '../../src/reduction/counts.ts';
import { reduceTokens, type ReduceInput } from '../../src/reduction/reference.ts';
import { randomCase, randomFrom } from '../reduction/harness.ts';
import { imageCounts, shorten, textCounts } from './decisions.ts';

const saliencyOf = ({ attention, rowWeight, semantics, tokens }: ReduceInput, b: number): number[] => {
  const heads = attention[b] ?? attention[0]!;
  const rows = rowWeight[b] ?? rowWeight[0]!;
  return tokens[b]!.map((_, v) => {
    let sum = 0;
    for (const head of heads)
      head.forEach(
        (row, r) => (sum += (semantics === 'pumer' ? 1 : rows[r]!) * (row.length === 1 ? row[0]! : row[v]!)),
      );
    return sum;
  });
};

describe.each(['safe', 'pumer'] as const)('%s', (semantics) => {
  it('both writings decide alike', () => {
    const random = randomFrom(7);
    let compared = 0;
    let removed = 0;
    for (let i = 0; i < 400; i++) {
      const input = randomCase(random, { semantics, exact: false });
      const n = input.tokens[0]!.length;
      // The same token named twice counts twice for the reducer; the judge never does that.
      const spared = [...new Set(input.protectedPositions.map((p) => (p < 0 ? p + n : p)))];
      if (spared.length !== input.protectedPositions.length || input.metric[0]?.length !== n) continue;
      // Nothing to remove: the judge does not even ask.
      if (semantics === 'pumer' && input.keep - input.merge === n) continue;
      reduceTokens(input).forEach((expected, b) => {
        const nobody = (input.rowWeight[b] ?? input.rowWeight[0]!).every((w) => w === 0);
        // Ties are broken alike only where they are no accident.
        if (expected.margin < 1e-9 && !(nobody && semantics === 'safe')) return;
        const found = shorten({
          semantics,
          tokens: input.tokens[b]!,
          weight: input.weight[b]!,
          metric: input.metric[b]!,
          saliency: nobody ? input.tokens[b]!.map(() => 0) : saliencyOf(input, b),
          equal: nobody,
          spared,
          counts: { keep: input.keep, merge: input.merge },
        });
        expect(found.target).toEqual(expected.target);
        found.tokens.flat().forEach((v, k) => expect(v).toBeCloseTo(expected.tokens.flat()[k]!, 9));
        found.weight.forEach((v, k) => expect(v).toBeCloseTo(expected.weight[k]!, 9));
        compared++;
        removed += n - found.tokens.length;
      });
    }
    expect(compared).toBeGreaterThan(200);
    expect(removed).toBeGreaterThan(800);
  });

  it('both writings count alike', () => {
    for (let n = 1; n <= 60; n++)
      for (const [p, m] of [
        [0, 0.3],
        [0.1, 0.3],
        [0.25, 0.25],
        [0.35, 0.5],
        [0.5, 0.05],
        [0.02, 0.46],
      ] as const)
        for (const spared of [0, 1, 3]) {
          const rule = { semantics, protectedCount: spared };
          const image = product.imageCounts(n, p, m, rule);
          expect(imageCounts(semantics, n, p, m, spared)).toEqual({ keep: image.keep, merge: image.merge });
          const text = product.textCounts(n, m, rule);
          expect(textCounts(semantics, n, m, spared)).toEqual({ keep: text.keep, merge: text.merge });
        }
  });
});
