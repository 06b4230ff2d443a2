/**
 * TokenReduceQK against the reference, which is given the attention that its queries and keys stand for, in float64:
 * decisions always, values to rounding.
 */
import { describe, expect, it } from 'vitest';
import { DataType } from '../../src/graph/model.ts';
import { reduceTokens } from '../../src/reduction/reference.ts';
import { tokenReduceFunction } from '../../src/reduction/token-reduce/body.ts';
import {
  feedsOf,
  openModel,
  randomFrom,
  reducerModel,
  reducerSession,
  runReducer,
  type RanRow,
  type ReducerModel,
} from './harness.ts';
import { queryFeedsOf, randomQueryCase, type QueryCase } from './query-cases.ts';

const opsets = [11, 12, 13, 14, 17, 18, 20, 23];
const both = ['pumer', 'safe'] as const;
const types = [
  ['float32', DataType.FLOAT],
  ['float16', DataType.FLOAT16],
  ['bfloat16', DataType.BFLOAT16],
  ['double', DataType.DOUBLE],
] as const;

/** Scores of up to some 30 with rounding of 1e-6, so exponentials apart by as much. */
const bound = 2e-5;

const run = async (kind: Omit<ReducerModel, 'looks'>, one: QueryCase): Promise<RanRow[]> =>
  runReducer(
    await reducerSession({ ...kind, looks: 'queries' }),
    queryFeedsOf(one, kind.dataType ?? DataType.FLOAT, kind.looksType ?? kind.dataType ?? DataType.FLOAT),
  );

/** Compares all rows whose decisions are no near ties; returns how many there were. */
const expectReference = (ran: readonly RanRow[], { input }: QueryCase, what: string): number =>
  reduceTokens(input).filter((expected, b) => {
    if (expected.margin > 0 && expected.margin < bound) return false;
    const row = ran[b]!;
    expect(row.target, what).toEqual(expected.target);
    expect(row.position, what).toEqual(expected.survivors);
    expected.tokens.forEach((token, j) =>
      token.forEach((x, c) => expect(Math.abs(row.tokens[j]![c]! - x), what).toBeLessThan(2e-6 * (1 + Math.abs(x)))),
    );
    expected.weight.forEach((w, j) => expect(row.weight[j], what).toBeCloseTo(w, 5));
    return true;
  }).length;

describe.each(both)('TokenReduceQK, %s', (semantics) => {
  it.each(opsets)('decides as the reference does, opset %i', async (opset) => {
    const random = randomFrom(4000 + opset);
    let compared = 0;
    for (let i = 0; i < 60; i++) {
      const one = randomQueryCase(random, { semantics, exact: i % 2 === 0 });
      const ran = await run({ semantics, opset, inline: i % 4 < 2 }, one);
      compared += expectReference(ran, one, `case ${i}`);
    }
    expect(compared).toBeGreaterThan(80);
  });

  it.each(types)('queries and keys of %s', async (_, looksType) => {
    const random = randomFrom(5000 + looksType);
    let compared = 0;
    for (let i = 0; i < 60; i++) {
      const one = randomQueryCase(random, { semantics, exact: i % 2 === 0, looksType });
      const ran = await run({ semantics, opset: [13, 17, 20][i % 3]!, dataType: DataType.FLOAT, looksType }, one);
      compared += expectReference(ran, one, `case ${i}`);
    }
    expect(compared).toBeGreaterThan(80);
  });

  it('keys around the lane count in the softmax and nowhere else', async () => {
    const random = randomFrom(6000);
    let moved = 0;
    for (let i = 0; i < 40; i++) {
      const one = randomQueryCase(random, { semantics, exact: false, n: 12, batch: 1 });
      const { first } = one;
      const length = one.keys[0]![0]![0]!.length;
      // The same lane, the keys around it on its other side.
      const turn = <T>(row: readonly T[]): T[] =>
        row.length === 1
          ? [...row]
          : [...row.slice(first, first + 12), ...row.slice(0, first), ...row.slice(first + 12)];
      const turned: QueryCase = {
        ...one,
        first: 0,
        keys: one.keys.map((heads) => heads.map((rows) => rows.map(turn))),
        bias: one.bias.map((heads) => heads.map((rows) => rows.map(turn))),
      };
      if (first > 0 && length > 12) moved++;
      const [a, b] = [await run({ semantics, opset: 17 }, one), await run({ semantics, opset: 17 }, turned)];
      const { margin } = reduceTokens(one.input)[0]!;
      if (margin === 0 || margin > bound) expect(b).toEqual(a);
    }
    expect(moved).toBeGreaterThan(5);
  });

  it('does what TokenReduce does with the attention of its queries and keys', async () => {
    const random = randomFrom(7000);
    for (let i = 0; i < 20; i++) {
      const one = randomQueryCase(random, { semantics, exact: false });
      const reduced = await runReducer(await reducerSession({ semantics, opset: 17 }), feedsOf(one.input));
      const ran = await run({ semantics, opset: 17 }, one);
      reduceTokens(one.input).forEach(({ margin }, b) => {
        if (margin === 0 || margin > bound) expect(ran[b]).toEqual(reduced[b]);
      });
    }
  });

  it('the function and the body written in place give the same bits', async () => {
    const random = randomFrom(8000);
    for (let i = 0; i < 10; i++) {
      const one = randomQueryCase(random, { semantics, exact: false });
      const [called, inline] = [false, true].map((inlined) => run({ semantics, opset: 17, inline: inlined }, one));
      expect(await called).toEqual(await inline);
    }
  });
});

describe('the function', () => {
  it('lists its inputs in the order of the contract', () => {
    const { name, inputs, outputs } = tokenReduceFunction({
      name: 'TokenReduceQK',
      opset: 17,
      semantics: 'safe',
      dataType: DataType.FLOAT,
    });
    expect(name).toBe('TokenReduceQK');
    expect(inputs).toEqual(
      'tokens queries keys bias scale first row_weight metric weight protected keep merge'.split(' '),
    );
    expect(outputs).toEqual(['reduced', 'weight_out', 'target', 'position']);
  });

  it('stands beside TokenReduce in one model', async () => {
    const one = randomQueryCase(randomFrom(9000), { semantics: 'safe', exact: false, n: 9 });
    const model = reducerModel({ semantics: 'safe', opset: 17, looks: 'queries' });
    const other = reducerModel({ semantics: 'safe', opset: 17 });
    const session = await openModel({ ...model, functions: [...other.functions, ...model.functions] });
    const ran = await runReducer(session, queryFeedsOf(one));
    expect(ran).toEqual(await run({ semantics: 'safe', opset: 17 }, one));
    await session.release();
  });
});
