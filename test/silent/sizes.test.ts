/**
 * The number of tokens used as a number. A naive rewriter shortens the lane and leaves Shape(x) alone: x / T, a mean
 * written out, a table's row T, an output that is T then all mean another T, and the model runs. Refused, by node; where
 * only the batch size is taken off the same Shape, nothing is wrong and nothing is refused.
 */
import { describe, expect, it } from 'vitest';
import { edited, modelOfTiny, tensorsOf, tinyFeeds, tinyVilt, type Tiny } from '../support/tiny-vilt.ts';
import { randomFrom } from '../reduction/harness.ts';
import { distance } from '../conformance/compare.ts';
import { compiledWith, outputsOf } from '../compile/fixtures.ts';
import { beside, bothLanes, expectRefused, refusalOf, type Case } from '../compile/refusal-cases.ts';

const length = ['size = Shape(x2)', 'length = Gather(size, second)'];
const counted: readonly Case[] = [
  {
    what: 'what is read off one token, divided by the root of T',
    change: beside([
      'r = Gather(x2, cls_at) axis=1',
      ...length,
      'n = Cast(length) to=1',
      'root = Sqrt(n)',
      'q = Div(r, root)',
    ]),
    code: 'not-understood',
    node: 'node_q',
  },
  {
    what: 'T found by adding up ones of its length',
    change: beside([
      'r = Gather(x2, cls_at) axis=1',
      'size = Shape(x2)',
      'grid = ConstantOfShape(size) value=f[1]:1',
      'n = ReduceMax(grid) axes=[2] keepdims=0',
      'total = ReduceSum(n, second) keepdims=1',
      'q = Mul(r, total)',
    ]),
    code: 'not-understood',
    node: 'node_q',
  },
  {
    what: 'a table, at row T',
    change: beside([...length, 'q = Gather(rows_of, length) axis=0'], { rows_of: 'f[64,8]:0.5' }),
    code: 'not-understood',
    node: 'node_q',
  },
  {
    what: 'a table cut to its first T rows, averaged',
    change: beside(
      [...length, 'cut = Slice(rows_of, first, length, first)', 'q = ReduceMean(cut) axes=[0] keepdims=1'],
      { rows_of: `f[25,8]:${Array.from({ length: 200 }, (_, i) => i / 100).join()}` },
    ),
    code: 'not-understood',
    node: 'node_pooled_too',
  },
];

describe('the number of tokens as a number', () => {
  it.each(counted.map((c) => [c.what, c] as const))('%s', (_, c) => expectRefused(c));

  it('as an output, alone or as the length of something', () => {
    const shape = edited(tinyVilt(), { after: 'x2', nodes: ['size = Shape(x2)'], outputs: ['logits', 'size'] });
    const zeros = edited(tinyVilt(), {
      after: 'x2',
      nodes: ['size = Shape(x2)', 'empty = ConstantOfShape(size)'],
      outputs: ['logits', 'empty'],
    });
    for (const [tiny, output] of [
      [shape, 'size'],
      [zeros, 'empty'],
    ] as const) {
      const refusal = refusalOf(modelOfTiny(tiny), bothLanes);
      expect([refusal?.code, refusal?.message.includes(`"${output}"`)]).toEqual(['output-counts-tokens', true]);
    }
  });

  it('the batch size off the same Shape is as it was', async () => {
    const scaled = (rows: string): Tiny =>
      edited(tinyVilt(), {
        after: 'pooled',
        nodes: [
          `size = Shape(${rows})`,
          'count = Gather(size, first)',
          'n = Cast(count) to=1',
          'pooled_too = Mul(pooled, n)',
        ],
        instead: 'pooled_too',
      });
    const feeds = tensorsOf(tinyFeeds(randomFrom(3), [0, 2]));
    // Batch off the shortened tokens, and off an input.
    const [a, b] = await Promise.all(
      ['x2', 'pixel_values'].map(async (rows) =>
        (await outputsOf(compiledWith(modelOfTiny(scaled(rows)), bothLanes).model, feeds)).get('logits')!,
      ),
    );
    expect(distance(a!, b!).max).toBeLessThan(1e-6);
  });
});
