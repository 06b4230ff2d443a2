/** Multiply-adds counted from a profile: whole attentions count what their products written one by one would. */
import { expect, it } from 'vitest';
import { multiplyAdds, type NodeRun } from '../../src/runtime/profile.ts';

const run = (op: string, inputs: number[][], outputs: number[][]): number =>
  multiplyAdds({ name: '', op, inputs, outputs, microseconds: 0 } satisfies NodeRun);

const [B, H, L, M, d] = [2, 4, 7, 9, 16];
const C = H * d;
const products =
  run(
    'MatMul',
    [
      [B, H, L, d],
      [B, H, d, M],
    ],
    [[B, H, L, M]],
  ) +
  run(
    'MatMul',
    [
      [B, H, L, M],
      [B, H, M, d],
    ],
    [[B, H, L, d]],
  );

it('queries, keys and values side by side, by heads or together', () => {
  expect(
    run(
      'Attention',
      [
        [B, H, L, d],
        [B, H, M, d],
        [B, H, M, d],
      ],
      [[B, H, L, d]],
    ),
  ).toBe(products);
  expect(
    run(
      'MultiHeadAttention',
      [
        [B, L, C],
        [B, M, C],
        [B, M, C],
      ],
      [[B, L, C]],
    ),
  ).toBe(products);
});

it('tokens with packed weights, which a profile does not show', () => {
  const own =
    run(
      'MatMul',
      [
        [B, H, L, d],
        [B, H, d, L],
      ],
      [[B, H, L, L]],
    ) +
    run(
      'MatMul',
      [
        [B, H, L, L],
        [B, H, L, d],
      ],
      [[B, H, L, d]],
    );
  const projections = 3 * run('MatMul', [[B, L, C]], [[B, L, C]]);
  expect(
    run(
      'Attention',
      [
        [B, L, C],
        [B, L],
      ],
      [[B, L, C]],
    ),
  ).toBe(own + projections);
});
