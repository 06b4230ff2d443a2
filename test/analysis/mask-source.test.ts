/**
 * Which zeros and ones a mask is made from: spellings of one mask share a source, the same elements in other places do
 * not.
 */
import { describe, expect, it } from 'vitest';
import { maskSource } from '../../src/analysis/mask-source.ts';
import { modelOf } from '../support/model-text.ts';

const model = modelOf({
  values: {
    mask: 'i[batch,4]',
    twice: 'i[2]:1,2',
    second: 'i[1]:1',
    last: 'i[1]:2',
    pairs: 'i[3]:1,1,2',
    in_rows: 'i[2]:-1,8',
    one: 'f[]:1',
    minimum: 'f[]:-10000',
    heads: 'i[3]:1,2,1',
    folded: 'i[3]:-1,1,4',
    none: 'i[]:0',
  },
  nodes: [
    'numbers = Cast(mask) to=1',
    'hidden = Sub(one, numbers)',
    'bias = Mul(hidden, minimum)',
    'apart = Unsqueeze(bias, second)',
    'by_heads = Expand(apart, heads)',
    'folded_bias = Reshape(by_heads, folded)',
    'padded = Equal(mask, none)',
    'tiled = Tile(mask, twice)',
    'behind = Unsqueeze(mask, last)',
    'doubled = Expand(behind, pairs)',
    'interleaved = Reshape(doubled, in_rows)',
  ],
});

describe('the source of a mask', () => {
  it('is one for numbers, conditions, and heads folded in', () => {
    const [source] = ['mask', 'folded_bias', 'padded'].map((value) => maskSource(model, value));
    expect(source?.at).toEqual([0, 1]);
    expect(maskSource(model, 'folded_bias')).toEqual({ source: source?.source, at: [-10000, 0] });
    expect(maskSource(model, 'padded')).toEqual({ source: source?.source, at: [1, 0] });
  });
  it('is not one for the same elements at other keys', () => {
    const sources = ['mask', 'tiled', 'interleaved'].map((value) => maskSource(model, value)?.source);
    expect(sources).not.toContain(undefined);
    expect(new Set(sources).size).toBe(3);
  });
});
