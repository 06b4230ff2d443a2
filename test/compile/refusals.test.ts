/**
 * Operators that need every token in its place, or all of them: refused on shortened tokens (refusal-cases.ts).
 */
import { describe, expect, it } from 'vitest';
import { modelOfTiny, tinyVilt } from '../support/tiny-vilt.ts';
import { compiledWith } from './fixtures.ts';
import { beside, bothLanes, edit, expectRefused, joint, through, type Case } from './refusal-cases.ts';

const perToken: readonly Case[] = [
  {
    what: 'an average over the tokens',
    change: beside(['q = ReduceMean(x2) axes=[1] keepdims=0']),
    code: 'not-understood',
    node: 'node_q',
  },
  {
    what: 'a maximum over the tokens',
    change: beside(['q = ReduceMax(x2) axes=[1] keepdims=0']),
    code: 'not-understood',
    node: 'node_q',
  },
  {
    what: 'an average written as a product',
    change: beside(['mean = MatMul(shares, x2)', 'q = Squeeze(mean, second)'], { shares: `f[1,1,${joint}]:0.04` }),
    code: 'not-understood',
    node: 'node_mean',
  },
  {
    what: 'a softmax over the tokens',
    change: through(['gate = Softmax(x2) axis=1', 'y = Mul(gate, x2)']),
    code: 'not-understood',
    node: 'node_gate',
  },
  {
    what: 'a softmax of an old opset, over all axes behind',
    change: through([
      'turned = Transpose(x2) perm=[0,2,1]',
      'soft = Softmax(turned) axis=1',
      'y = Transpose(soft) perm=[0,2,1]',
    ]),
    base: { opset: 11, norm: false },
    code: 'not-understood',
    node: 'node_soft',
  },
  {
    what: 'an operator of a domain without a schema',
    change: through(['y = com.example.Magic(x2)']),
    code: 'not-understood',
    node: 'node_y',
    everywhere: true,
  },
  {
    what: 'places picked in new tokens, read in old ones',
    change: beside(
      [
        'best = ArgMax(x2) axis=2 keepdims=1',
        'taken = GatherElements(x0, best) axis=2',
        'mean = ReduceMean(taken) axes=[1] keepdims=0',
        'q = Expand(mean, row)',
      ],
      { row: 'i[2]:1,8' },
    ),
    code: 'not-understood',
    node: 'node_taken',
  },
  {
    what: 'a position embedding cut to the new length',
    change: through(
      [
        'size = Shape(x2)',
        'length = Gather(size, one_at)',
        'upto = Range(cls_at, length, one_at)',
        'place = Gather(places, upto) axis=0',
        'y = Add(x2, place)',
      ],
      { one_at: 'i[]:1', places: `f[${joint},8]:0.1` },
    ),
    code: 'not-understood',
    node: 'node_y',
  },
  {
    what: 'the number of tokens in the arithmetic',
    change: through(
      ['size = Shape(x2)', 'length = Gather(size, one_at)', 'number = Cast(length) to=1', 'y = Div(x2, number)'],
      { one_at: 'i[]:1' },
    ),
    code: 'not-understood',
    node: 'node_y',
  },
  {
    what: 'the text mask laid over the tokens',
    change: through(['column = Unsqueeze(mask_float, two)', 'y = Mul(x2, column)'], { two: 'i[1]:2' }),
    code: 'not-understood',
    node: 'node_y',
  },
  {
    what: 'a running sum over the tokens',
    change: through(['y = CumSum(x2, one_at)'], { one_at: 'i[]:1' }),
    code: 'not-understood',
    node: 'node_y',
    everywhere: true,
  },
  {
    what: 'a convolution along the tokens',
    change: through(
      [
        'turned = Transpose(x2) perm=[0,2,1]',
        'mixed = Conv(turned, taps) kernel_shape=[3] pads=[1,1]',
        'y = Transpose(mixed) perm=[0,2,1]',
      ],
      { taps: 'f[8,8,3]:0.1' },
    ),
    code: 'not-understood',
    node: 'node_mixed',
    everywhere: true,
  },
  {
    what: 'a normalisation over the tokens',
    change: through(
      [
        'turned = Transpose(x2) perm=[0,2,1]',
        'even = LayerNormalization(turned, g, g) axis=-1',
        'y = Transpose(even) perm=[0,2,1]',
      ],
      { g: `f[${joint}]:1` },
    ),
    code: 'not-understood',
    node: 'node_even',
  },
  {
    what: 'tokens laid out as a grid',
    change: through(['grid = Reshape(x2, square)', 'y = Reshape(grid, to_line)'], {
      square: 'i[4]:0,5,5,8',
      to_line: 'i[3]:0,-1,8',
    }),
    code: 'not-understood',
    node: 'node_grid',
    everywhere: true,
  },
  {
    what: 'attention of an older layer on newer values',
    change: edit({ after: 'probs2', nodes: [], instead: 'probs0' }),
    code: 'not-understood',
    node: 'node_context2',
    everywhere: true,
  },
  {
    what: 'a product of the tokens with themselves',
    change: through(['turned = Transpose(x2) perm=[0,2,1]', 'gram = MatMul(turned, x2)', 'y = MatMul(x2, gram)']),
    code: 'not-understood',
    node: 'node_gram',
  },
];

describe('what needs every token in its place', () => {
  it('the model that is edited here compiles', () => {
    for (const semantics of ['safe', 'pumer'] as const)
      for (const mask of ['additive', 'where', 'none'] as const)
        expect(compiledWith(modelOfTiny(tinyVilt({ mask })), { ...bothLanes, semantics }).resolved.sites).toHaveLength(
          2,
        );
  });
  it.each(perToken.map((c) => [c.what, c] as const))('%s', (_, c) => expectRefused(c));
});
