/**
 * The kernels at the edges: the smallest and the largest lanes, empty and large batches, nothing but PAD, nothing but
 * NaN, and calls that are malformed, which must end in an error that says what is wrong, never in a crash.
 */
import { describe, expect, it } from 'vitest';
import { DataType, type GraphValue } from '../../src/graph/model.ts';
import type { Semantics } from '../../src/reduction/plan.ts';
import { reduceTokens, type ReduceInput } from '../../src/reduction/reference.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import { expectExactly } from '../reduction/against-reference.ts';
import {
  feedsOf,
  openModel,
  randomCase,
  randomFrom,
  reducerModel,
  reducerSession,
  runReducer,
  type RanRow,
} from '../reduction/harness.ts';
import { queryFeedsOf, randomQueryCase } from '../reduction/query-cases.ts';
import { describeKernels } from '../support/kernels.ts';

const both = ['pumer', 'safe'] as const;
const fused = (semantics: Semantics) => reducerSession({ semantics, opset: 17 }, 'fused');

/** Results row by row; the sign of a mean that is zero says nothing. */
const rowsOf = async (
  ops: 'fused' | 'portable',
  semantics: Semantics,
  feeds: ReadonlyMap<string, TensorData>,
): Promise<RanRow[]> =>
  (await runReducer(await reducerSession({ semantics, opset: 17 }, ops), feeds)).map((row) => ({
    ...row,
    tokens: row.tokens.map((token) => token.map((x) => x + 0)),
  }));

/** An exact case of that length with those counts, no token protected. */
const caseOf = (semantics: Semantics, n: number, keep: number, merge: number, batch = 1): ReduceInput => ({
  ...randomCase(randomFrom(n + keep), { semantics, exact: true, n, batch }),
  protectedPositions: [],
  keep,
  merge,
});

const check = async (input: ReduceInput, what: string): Promise<void> =>
  expectExactly(await runReducer(await fused(input.semantics), feedsOf(input)), input, what);

describeKernels('kernels at the edges', () => {
  describe.each(both)('%s', (semantics) => {
    it('takes one token, keeps one, merges none, merges all it may', async () => {
      await check(caseOf(semantics, 1, 1, 0), 'one token');
      await check(caseOf(semantics, 2, 1, 0), 'one of two');
      await check(caseOf(semantics, 40, 1, 0), 'one of many');
      await check(caseOf(semantics, 40, 40, 0), 'all');
      for (const n of [2, 3, 4, 5, 33]) await check(caseOf(semantics, n, n, Math.floor((n - 1) / 2)), `all of ${n}`);
    });

    it('takes 4096 tokens, as the body does', async () => {
      const feeds = feedsOf(caseOf(semantics, 4096, 3000, 1000));
      expect(await rowsOf('fused', semantics, feeds)).toEqual(await rowsOf('portable', semantics, feeds));
    });

    it('takes a batch of 300', async () => {
      await check(caseOf(semantics, 13, 11, 4, 300), '300 rows');
    });

    it('takes a batch of none', async () => {
      const feeds = feedsOf(caseOf(semantics, 13, 11, 4));
      const empty = (name: string, dims: number[]): void => {
        feeds.set(name, { dataType: DataType.FLOAT, dims: [0, ...dims], data: new Float32Array(0) });
      };
      empty('tokens', [13, 5]);
      empty('metric', [13, 64]);
      empty('weight', [13]);
      const attention = feeds.get('attention')!.dims;
      empty('attention', attention.slice(1));
      empty('row_weight', feeds.get('row_weight')!.dims.slice(1));
      const made = [...(await (await fused(semantics)).run(feeds)).values()].map(({ dims }) => dims);
      expect(made).toEqual([
        [0, 7, 5],
        [0, 7],
        [0, 13],
        [0, 7],
      ]);
    });

    it('takes lanes of nothing but PAD', async () => {
      const input = caseOf(semantics, 21, 16, 6, 2);
      await check({ ...input, weight: input.weight.map((row) => row.map(() => 0)) }, 'PAD');
    });

    it('takes NaN for every saliency and every key, and orders by position', async () => {
      const input = caseOf(semantics, 21, 16, 6);
      const spoiled = {
        ...input,
        attention: [[input.rowWeight[0]!.map(() => input.tokens[0]!.map(() => Number.NaN))]],
        metric: input.metric.map((row) => row.map((key) => key.map(() => Number.NaN))),
      };
      const [row] = await runReducer(await fused(semantics), feedsOf(spoiled));
      expect(row!.target).toEqual(reduceTokens(spoiled)[0]!.target);
      expect(row!.target.slice(16)).toEqual([-1, -1, -1, -1, -1]);
    });

    it('counts protected positions as the body does when they repeat or lie outside', async () => {
      const random = randomFrom(7);
      for (const positions of [
        [0, 0],
        [0, -20],
        [25, 3],
        [-30, 3],
        [0, 1, 2, 3, 4, 5, 6, 7],
      ]) {
        const some = randomCase(random, { semantics, exact: true, n: 20, batch: 2 });
        const feeds = feedsOf({ ...some, protectedPositions: positions, keep: 14, merge: 3 });
        expect(await rowsOf('fused', semantics, feeds), positions.join()).toEqual(
          await rowsOf('portable', semantics, feeds),
        );
      }
    });
  });

  it('tells the shapes of its results as far as they are known before a run', async () => {
    const model = reducerModel({ semantics: 'safe', opset: 17 });
    const untold = model.graph.outputs.map(({ name, type }) => ({ name, type: { dataType: type!.dataType } }));
    const session = await openModel({ ...model, graph: { ...model.graph, outputs: untold } }, 1, 'fused');
    const [reduced, weight, target, position] = session.outputs.map(({ type }) => type?.dims);
    const kept = reduced?.[1];
    expect(kept).toMatch(/^pumer_\d+_kept$/);
    expect([reduced, weight, target, position]).toEqual([
      ['batch', kept, 'width'],
      ['batch', kept],
      ['batch', 'n'],
      ['batch', kept],
    ]);
    await session.release();
  });

  describe('malformed calls', () => {
    /** The reducer's model with inputs of any shape, so that the kernel is the one who looks. */
    const anyShape = (semantics: Semantics, looks: 'attention' | 'queries') => {
      const model = reducerModel({ semantics, opset: 17, looks });
      const open = ({ name, type }: GraphValue): GraphValue => ({ name, type: { dataType: type!.dataType } });
      return { ...model, graph: { ...model.graph, inputs: model.graph.inputs.map(open) } };
    };
    const float = (dims: readonly number[]): TensorData => ({
      dataType: DataType.FLOAT,
      dims,
      data: new Float32Array(dims.reduce((a, b) => a * b, 1)),
    });
    const int = (...values: bigint[]): TensorData => ({
      dataType: DataType.INT64,
      dims: [values.length],
      data: BigInt64Array.from(values),
    });
    const attention = (): Map<string, TensorData> =>
      new Map([
        ['tokens', float([2, 9, 4])],
        ['attention', float([2, 3, 5, 9])],
        ['row_weight', float([2, 5])],
        ['metric', float([2, 9, 8])],
        ['weight', float([2, 9])],
        ['protected', int(0n)],
        ['keep', int(7n)],
        ['merge', int(2n)],
      ]);
    const broken: readonly (readonly [input: string, given: TensorData, says: RegExp])[] = [
      ['tokens', float([2, 9]), /tokens has 2 axes instead of 3/],
      ['attention', float([3, 5, 9]), /attention has 3 axes instead of 4/],
      ['attention', float([2, 3, 5, 8]), /attention has 8 entries on axis 3 instead of 9/],
      ['attention', float([3, 3, 5, 9]), /attention has 3 entries on axis 0 instead of 2/],
      ['row_weight', float([2, 4]), /attention has 5 entries on axis 2 instead of 4/],
      ['row_weight', float([3, 5]), /row_weight has 3 entries on axis 0 instead of 2/],
      ['metric', float([1, 9, 8]), /metric has 1 entries on axis 0 instead of 2/],
      ['metric', float([2, 8, 8]), /metric has 8 entries on axis 1 instead of 9/],
      ['weight', float([2, 10]), /weight has 10 entries on axis 1 instead of 9/],
      ['weight', float([9]), /weight has 1 axes instead of 2/],
      ['keep', int(10n), /keep is 10, not between 1 and the 9 tokens/],
      ['keep', int(0n), /keep is 0/],
      ['keep', int(-1n), /keep is -1/],
      ['keep', int(7n, 7n), /keep has 2 entries/],
      ['merge', int(-1n), /merge is negative \(-1\)/],
      ['merge', int(4n), /merge is 4, but .* at most 3 can be merged away/],
      ['protected', int(0n, 1n, 2n, 3n, 4n, 5n, 6n), /7 protected at most 0/],
    ];

    it('of TokenReduce are told, and the session lives on', async () => {
      const session = await openModel(anyShape('safe', 'attention'), 1, 'fused');
      for (const [name, given, says] of broken) {
        const feeds = attention().set(name, given);
        await expect(session.run(feeds), `${name} ${given.dims.join()}`).rejects.toThrow(says);
      }
      expect((await session.run(attention())).get('reduced')!.dims).toEqual([2, 5, 4]);
      await session.release();
    });

    it('of TokenReduceQK are told, and the session lives on', async () => {
      const session = await openModel(anyShape('safe', 'queries'), 1, 'fused');
      const { input, ...one } = randomQueryCase(randomFrom(3), { semantics: 'safe', exact: true, n: 9, batch: 2 });
      const good = (): Map<string, TensorData> => queryFeedsOf({ ...one, input });
      const keys = good().get('keys')!;
      for (const [name, given, says] of [
        ['first', int(-1n), /first is -1/],
        ['first', int(BigInt(keys.dims[3]!)), /keys hold no 9 tokens from there/],
        ['scale', float([2]), /scale has 2 entries/],
        ['keys', float([2, keys.dims[1]!, keys.dims[2]! + 1, keys.dims[3]!]), /keys has \d+ entries on axis 2/],
        ['bias', float([5, 1, 1, 1]), /bias has 5 entries on axis 0 instead of 2/],
        ['queries', float([2, 1, 1]), /queries has 3 axes instead of 4/],
      ] as const)
        await expect(session.run(good().set(name, given)), name).rejects.toThrow(says);
      expect((await session.run(good())).get('target')!.dims).toEqual([2, 9]);
      await session.release();
    });

    it('a semantics that is none stops the model from loading', async () => {
      const model = reducerModel({ semantics: 'safe', opset: 17 });
      const [node] = model.graph.nodes;
      const odd = { ...node!, attrs: { semantics: { ...node!.attrs['semantics']!, value: 'other' } } } as typeof node;
      const strange = { ...model, graph: { ...model.graph, nodes: [odd!] } };
      await expect(openModel(strange, 1, 'fused')).rejects.toThrow(/neither "safe" nor "pumer"/);
    });
  });
});
