/**
 * How two labels of an axis meet: a table over every pair of kinds, and the laws behind it (the order of operands does
 * not matter, nothing shortened ever meets in silence what is not).
 */
import { describe, expect, it } from 'vitest';
import { constDim, symbolDim } from '../../src/analysis/dim.ts';
import {
  axisText,
  isShortened,
  meet,
  plainAxis,
  settleGrid,
  tokensAxis,
  type Axis,
  type Segment,
} from '../../src/analysis/labels.ts';

const segment = (lane: Segment['lane'], length: number | string, more: Partial<Segment> = {}): Segment => ({
  lane,
  length: typeof length === 'number' ? constDim(length) : symbolDim(length),
  version: '',
  ...more,
});
const axis = (...tokens: Segment[]): Axis => tokensAxis(tokens);
const short = { version: 'r1' };

const kinds: Readonly<Record<string, Axis>> = {
  plain: plainAxis(constDim(8)),
  text: axis(segment('text', 8)),
  'text*': axis(segment('text', 8, short)),
  'text**': axis(segment('text', 8, { version: 'r2' })),
  weak: axis(segment('text', 8, { weak: true })),
  image: axis(segment('image', 8)),
  'image*': axis(segment('image', 8, short)),
  other: axis(segment('other', 8)),
  'text+image': axis(segment('text', 3), segment('image', 5)),
  'text+image*': axis(segment('text', 3), segment('image', 5, short)),
  grid: [{ dim: constDim(8), grid: 'h' }],
};

/** What comes out of each pair that may meet; every other pair is a fault. */
const allowed: Readonly<Record<string, string>> = {
  'plain plain': 'plain',
  'plain text': 'text',
  'plain weak': 'weak',
  'plain image': 'image',
  'plain other': 'other',
  'plain text+image': 'text+image',
  'plain grid': 'grid',
  'text text': 'text',
  'text weak': 'text',
  'text other': 'text',
  'text* text*': 'text*',
  'text** text**': 'text**',
  'weak weak': 'weak',
  'weak image': 'image',
  'image image': 'image',
  'image other': 'image',
  'image* image*': 'image*',
  'other other': 'other',
  'text+image text+image': 'text+image',
  'text+image* text+image*': 'text+image*',
  'weak text+image': 'text+image',
  'other text+image': 'text+image',
  'grid grid': 'grid',
};
/** Either will do: a lookup whose lane is not settled beside learned tokens. */
const loose = new Set(['weak other']);

describe('two labels on an axis', () => {
  const names = Object.keys(kinds);
  it.each(names.flatMap((a) => names.map((b) => [a, b] as const)))('%s and %s', (a, b) => {
    const { axis: result, fault } = meet(kinds[a]!, kinds[b]!);
    const pair = [`${a} ${b}`, `${b} ${a}`].find((key) => allowed[key] !== undefined);
    if (loose.has(`${a} ${b}`) || loose.has(`${b} ${a}`)) {
      expect(fault).toBeUndefined();
      return;
    }
    if (pair === undefined) {
      expect(fault).toBeDefined();
      return;
    }
    expect(fault).toBeUndefined();
    expect(axisText(result)).toBe(axisText(kinds[allowed[pair]!]!));
  });

  it('nothing shortened meets in silence what is not shortened the same way', () => {
    for (const a of names)
      for (const b of names) {
        const [one, two] = [kinds[a]!, kinds[b]!];
        if ((isShortened(one) || isShortened(two)) && a !== b) expect(meet(one, two).fault, `${a} ${b}`).toBeDefined();
      }
  });

  it('the same lane with another length is a fault', () => {
    expect(meet(kinds['text']!, axis(segment('text', 9))).fault).toBeDefined();
    expect(meet(axis(segment('text', 'words')), axis(segment('text', 'letters'))).fault).toBeDefined();
    expect(meet(axis(segment('text', 'words')), axis(segment('text', 'words'))).fault).toBeUndefined();
  });

  it('flattened rows and columns are image tokens, other factors stay what they are', () => {
    const h = { dim: constDim(4), grid: 'h' } as const;
    const w = { dim: symbolDim('w'), grid: 'w' } as const;
    expect(axisText(settleGrid([h, w]))).toBe('image[4*w]');
    expect(axisText(settleGrid([{ dim: symbolDim('batch') }, h, w]))).toBe('batch·image[4*w]');
    expect(axisText(settleGrid([w, h]))).toBe('w(w)·h(4)');
    expect(axisText(settleGrid([h]))).toBe('h(4)');
  });
});
