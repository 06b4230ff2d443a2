/**
 * The CPU kernels on every instruction set this processor has: against the float64 reference, against the function's
 * body, and against one another. What one instruction set computes all others compute bit for bit.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { DataType } from '../../src/graph/model.ts';
import { numberToHalf, readNumbers } from '../../src/graph/tensors.ts';
import type { Semantics } from '../../src/reduction/plan.ts';
import type { ReduceInput } from '../../src/reduction/reference.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import { expectExactly, expectNearly, type Rounding } from '../reduction/against-reference.ts';
import {
  feedsOf,
  numberToBfloat,
  openModel,
  randomCase,
  randomFrom,
  reducerModel,
  reducerSession,
  runReducer,
  type RanRow,
} from '../reduction/harness.ts';
import { queryFeedsOf, randomQueryCase } from '../reduction/query-cases.ts';
import { describeKernels, kernels, levelsHere } from '../support/kernels.ts';

const both = ['pumer', 'safe'] as const;

const fromBits = (dataType: DataType, bits: number): number =>
  readNumbers({
    dataType,
    dims: [],
    payload: { length: 2, read: () => new Uint8Array(Uint16Array.of(bits).buffer) },
  })![0]!;

const unrounded = (x: number): number => x;

/** Types of tokens, how they round, and how their means are rounded before. */
const types: readonly (readonly [name: string, dataType: DataType, rounding: Rounding, single: Rounding])[] = [
  ['float32', DataType.FLOAT, Math.fround, Math.fround],
  ['float16', DataType.FLOAT16, (x) => fromBits(DataType.FLOAT16, numberToHalf(x)), Math.fround],
  ['bfloat16', DataType.BFLOAT16, (x) => fromBits(DataType.BFLOAT16, numberToBfloat(x)), Math.fround],
  ['double', DataType.DOUBLE, unrounded, unrounded],
];

/**
 * How near float64 may be to a tie for float32 to decide alike (docs/kernels.md, Decisions): cosines of keys of width d
 * lie within (3 d + 8) 2^-24 of the true ones, saliencies within 2^-24 of the largest.
 */
const boundOf = (input: ReduceInput): number => 2 * (3 * (input.metric[0]?.[0]?.length ?? 0) + 8) * 2 ** -24;

const fused = async (input: ReduceInput, dataType: DataType = DataType.FLOAT): Promise<RanRow[]> =>
  runReducer(
    await reducerSession({ semantics: input.semantics, opset: 17, dataType }, 'fused'),
    feedsOf(input, dataType),
  );

const outputsOf = async (
  semantics: Semantics,
  ops: 'fused' | 'portable',
  feeds: ReadonlyMap<string, TensorData>,
  looks: 'attention' | 'queries' = 'attention',
): Promise<TensorData[]> => [
  ...(await (await reducerSession({ semantics, opset: 17, looks }, ops)).run(feeds)).values(),
];

const bits = (tensors: readonly TensorData[]): Buffer[] =>
  tensors.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));

const asLevel = (level: string): void => {
  beforeEach(() => {
    process.env['PUMER_SIMD'] = level;
  });
  afterEach(() => {
    delete process.env['PUMER_SIMD'];
  });
};

describeKernels('TokenReduce on its kernels', () => {
  describe.each(levelsHere())('%s', (level) => {
    asLevel(level);

    it.each(both)('is in use, %s', async (semantics) => {
      expect((await reducerSession({ semantics, opset: 17 }, 'fused')).ops).toBe('fused');
      expect(kernels().addon.ops(kernels().library).level).toBe(level);
    });

    for (const semantics of both) {
      it.each(types)(
        `is the reference bit for bit on exact arithmetic, ${semantics}, %s`,
        async (_, type, round, single) => {
          const random = randomFrom(100 + type);
          for (let i = 0; i < 60; i++) {
            const input = randomCase(random, { semantics, exact: true, withNaN: i % 3 === 2 });
            expectExactly(await fused(input, type), input, `case ${i}`, round, single);
          }
        },
      );

      it(`is the reference on real numbers, ${semantics}`, async () => {
        const random = randomFrom(200);
        let compared = 0;
        for (let i = 0; i < 100; i++) {
          const input = randomCase(random, { semantics, exact: false, withNaN: i % 3 === 2 });
          compared += expectNearly(await fused(input), input, `case ${i}`, boundOf(input));
        }
        expect(compared).toBeGreaterThan(100);
      });

      it(`is the body bit for bit on exact arithmetic, ${semantics}`, async () => {
        const random = randomFrom(300);
        for (let i = 0; i < 60; i++) {
          const feeds = feedsOf(randomCase(random, { semantics, exact: true }));
          const [kernel, body] = [
            await outputsOf(semantics, 'fused', feeds),
            await outputsOf(semantics, 'portable', feeds),
          ];
          // Means of zero may differ in their sign, nothing else may.
          expect(kernel[0]!.dims).toEqual(body[0]!.dims);
          expect((kernel[0]!.data as Float32Array).map((x) => x + 0)).toEqual(
            (body[0]!.data as Float32Array).map((x) => x + 0),
          );
          expect(bits(kernel.slice(1))).toEqual(bits(body.slice(1)));
        }
      });

      it(`takes queries and keys, ${semantics}`, async () => {
        const random = randomFrom(400);
        let compared = 0;
        for (let i = 0; i < 80; i++) {
          const looksType = [DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16, DataType.DOUBLE][i % 4]!;
          const one = randomQueryCase(random, { semantics, exact: i % 2 === 0, looksType });
          const session = await reducerSession(
            { semantics, opset: 17, looks: 'queries', looksType, dataType: DataType.FLOAT },
            'fused',
          );
          const ran = await runReducer(session, queryFeedsOf(one, DataType.FLOAT, looksType));
          compared += expectNearly(ran, one.input, `case ${i}`, 2e-5);
        }
        expect(compared).toBeGreaterThan(80);
      });
    }
  });

  describe('instruction sets, threads and batches change no bit', () => {
    it.each(both)('%s', async (semantics) => {
      const random = randomFrom(500);
      const one = await openModel(reducerModel({ semantics, opset: 17 }), 1, 'fused');
      const two = await openModel(reducerModel({ semantics, opset: 17 }), 2, 'fused');
      for (let i = 0; i < 20; i++) {
        const input = randomCase(random, { semantics, exact: false, batch: 3, n: random.pick([7, 31, 90, 200]) });
        const feeds = feedsOf(input);
        const expected = bits([...(await one.run(feeds)).values()]);
        for (const level of levelsHere()) {
          process.env['PUMER_SIMD'] = level;
          expect(bits([...(await one.run(feeds)).values()]), level).toEqual(expected);
          expect(bits([...(await two.run(feeds)).values()]), level).toEqual(expected);
        }
        delete process.env['PUMER_SIMD'];
      }
      await one.release();
      await two.release();
    });

    it.each(both)('queries and keys, %s', async (semantics) => {
      const random = randomFrom(600);
      for (let i = 0; i < 20; i++) {
        const feeds = queryFeedsOf(randomQueryCase(random, { semantics, exact: false }));
        const expected = bits(await outputsOf(semantics, 'fused', feeds, 'queries'));
        for (const level of levelsHere()) {
          process.env['PUMER_SIMD'] = level;
          expect(bits(await outputsOf(semantics, 'fused', feeds, 'queries')), level).toEqual(expected);
        }
        delete process.env['PUMER_SIMD'];
      }
    });
  });
});
