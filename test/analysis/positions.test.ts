/**
 * Positions on token axes: where an index or a border falls, for lengths that are numbers, symbols, or both. The law:
 * whatever is answered is right for every value the symbols can take, found out here by trying them.
 */
import { describe, expect, it } from 'vitest';
import { addDims, constDim, evaluateDim, sumDims, symbolDim, type Dim } from '../../src/analysis/dim.ts';
import type { Segment } from '../../src/analysis/labels.ts';
import { borderAt, bordersOf, locate } from '../../src/analysis/positions.ts';

const dim = (length: number | string): Dim => (typeof length === 'number' ? constDim(length) : symbolDim(length));
const tokens = (...lengths: (number | string)[]): Segment[] =>
  lengths.map((length, i) => ({
    lane: (['text', 'image', 'other'] as const)[i % 3]!,
    length: dim(length),
    version: '',
  }));

const layouts: Readonly<Record<string, Segment[]>> = {
  'text 8, image 17': tokens(8, 17),
  'text T, image 17': tokens('T', 17),
  'text 8, image N': tokens(8, 'N'),
  'text T, image N': tokens('T', 'N'),
  'text T, image N, other 3': tokens('T', 'N', 3),
  'text T alone': tokens('T'),
  'one of 1': tokens(1, 'N'),
};
const T = symbolDim('T');
const N = symbolDim('N');
const indices: readonly Dim[] = [
  ...Array.from({ length: 31 }, (_, i) => constDim(i - 5)),
  ...[T, N, addDims(T, N)].flatMap((d) => [-2, -1, 0, 1, 2].map((k) => addDims(d, constDim(k)))),
];
const values = [1, 2, 3, 5, 8, 17].flatMap((t) =>
  [1, 2, 4, 17].map(
    (n) =>
      new Map([
        ['T', t],
        ['N', n],
      ]),
  ),
);

describe.each(Object.entries(layouts))('%s', (_, layout) => {
  it('a located token is that token for all lengths', () => {
    for (const at of indices) {
      const found = locate(layout, at);
      if (found === undefined) continue;
      for (const symbols of values) {
        const lengths = layout.map((s) => evaluateDim(s.length, symbols)!);
        const whole = lengths.reduce((a, b) => a + b, 0);
        const index = evaluateDim(at, symbols)!;
        // Only a number counts from the end when it is negative.
        const absolute = index < 0 ? whole + index : index;
        const start = lengths.slice(0, found.segment).reduce((a, b) => a + b, 0);
        const length = lengths[found.segment]!;
        const own = found.offset < 0 ? length + found.offset : found.offset;
        expect(start + own).toBe(absolute);
        expect(own >= 0 && own < length).toBe(true);
      }
    }
  });

  it('a border is that border for all lengths', () => {
    expect(bordersOf(layout)).toHaveLength(layout.length + 1);
    for (const at of indices) {
      const found = borderAt(layout, at);
      if (found === undefined) continue;
      for (const symbols of values) {
        const before = layout.slice(0, found).map((s) => evaluateDim(s.length, symbols)!);
        expect(before.reduce((a, b) => a + b, 0)).toBe(evaluateDim(at, symbols));
      }
    }
  });
});

describe('what can be told', () => {
  const at = (layout: string, index: Dim) => locate(layouts[layout]!, index);
  it('either end of every lane, however long it is', () => {
    expect(at('text T, image N', constDim(0))).toEqual({ segment: 0, offset: 0 });
    expect(at('text T, image N', T)).toEqual({ segment: 1, offset: 0 });
    expect(at('text T, image N', addDims(T, constDim(-1)))).toEqual({ segment: 0, offset: -1 });
    expect(at('text T, image N', constDim(-1))).toEqual({ segment: 1, offset: -1 });
    expect(at('text T, image N, other 3', constDim(-3))).toEqual({ segment: 2, offset: 0 });
    expect(at('text T, image N, other 3', constDim(-4))).toEqual({ segment: 1, offset: -1 });
  });
  it('places inside lanes of known length', () => {
    expect(at('text 8, image 17', constDim(5))).toEqual({ segment: 0, offset: 5 });
    expect(at('text 8, image 17', constDim(24))).toEqual({ segment: 1, offset: 16 });
    expect(at('text 8, image 17', constDim(-25))).toEqual({ segment: 0, offset: 0 });
    expect(at('text T, image 17', addDims(T, constDim(5)))).toEqual({ segment: 1, offset: 5 });
    expect(at('text T, image 17', constDim(-17))).toEqual({ segment: 1, offset: 0 });
  });
  it('nothing where it depends on a length, or lies outside', () => {
    expect(at('text T, image N', constDim(1))).toBeUndefined();
    expect(at('text T, image N', N)).toBeUndefined();
    expect(at('text T, image N', addDims(T, constDim(1)))).toBeUndefined();
    expect(at('text T, image 17', constDim(8))).toBeUndefined();
    expect(at('text 8, image 17', constDim(25))).toBeUndefined();
    expect(at('text 8, image 17', constDim(-26))).toBeUndefined();
  });
  it('borders by their exact expression only', () => {
    const [layout] = [layouts['text T, image N']!];
    expect([constDim(0), T, sumDims([T, N])].map((d) => borderAt(layout, d))).toEqual([0, 1, 2]);
    expect([constDim(8), N, addDims(T, constDim(1))].map((d) => borderAt(layout, d))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});
