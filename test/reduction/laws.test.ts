/**
 * Laws of the reduction, checked on the function body itself: what holds for every input, whatever the reference says.
 */
import { describe, expect, it } from 'vitest';
import { DataType } from '../../src/graph/model.ts';
import type { Semantics } from '../../src/reduction/plan.ts';
import { reduceTokens, type ReduceInput } from '../../src/reduction/reference.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { numberToHalf } from '../../src/graph/tensors.ts';
import {
  feedsOf,
  openModel,
  randomCase,
  randomFrom,
  reducerModel,
  reducerSession,
  runReducer,
  type RanRow,
} from './harness.ts';

const both = ['pumer', 'safe'] as const;

const run = async (input: ReduceInput): Promise<RanRow[]> =>
  runReducer(await reducerSession({ semantics: input.semantics, opset: 17 }), feedsOf(input));

/** A case without PAD or protected tokens in which no two tokens score alike. */
const plainCase = (seed: number, semantics: Semantics, n: number, keep = n, merge = 0): ReduceInput => {
  const random = randomFrom(seed);
  const rows = <T>(make: () => T, count = n): T[] => Array.from({ length: count }, make);
  return {
    semantics,
    tokens: [rows(() => rows(() => Math.fround(random.normal()), 5))],
    attention: [[rows(() => rows(() => Math.fround(random.next())), 3)]],
    rowWeight: [[1, 1, 1]],
    metric: [rows(() => rows(() => Math.fround(random.normal()), 16))],
    weight: [rows(() => 1)],
    protectedPositions: [],
    keep,
    merge,
  };
};

/** Token i of the result is token order[i] of the input. */
const permuted = (input: ReduceInput, order: readonly number[]): ReduceInput => {
  const move = <T>(list: readonly T[]): T[] => order.map((i) => list[i]!);
  return {
    ...input,
    tokens: input.tokens.map(move),
    attention: input.attention.map((heads) => heads.map((rows) => rows.map(move))),
    metric: input.metric.map(move),
    weight: input.weight.map(move),
  };
};

const shuffled = (seed: number, items: readonly number[]): number[] => {
  const random = randomFrom(seed);
  return items
    .map((i) => [random.next(), i] as const)
    .sort(([a], [b]) => a - b)
    .map(([, i]) => i);
};
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const kept = (row: RanRow): number[] => upTo(row.target.length).filter((i) => row.target[i]! >= 0);

describe('conservation', () => {
  it('safe merging keeps the sum of sizes and of size times token, and every token in one place', async () => {
    const random = randomFrom(1);
    for (let i = 0; i < 40; i++) {
      const some = randomCase(random, { semantics: 'safe', exact: true });
      const n = some.tokens[0]!.length;
      const c = some.protectedPositions.length;
      const input = { ...some, keep: n, merge: Math.max(Math.floor((n - c) / 2), 0) };
      (await run(input)).forEach((row, b) => {
        const sizes = input.weight[b]!;
        const total = (weight: readonly number[], tokens: readonly (readonly number[])[]): number[] => [
          weight.reduce((s, w) => s + w, 0),
          ...tokens[0]!.map((_, d) => weight.reduce((s, w, j) => s + w * tokens[j]![d]!, 0)),
        ];
        const before = total(sizes, input.tokens[b]!);
        total(row.weight, row.tokens).forEach((x, d) => expect(x).toBeCloseTo(before[d]!, 3));
        expect([...new Set(row.target)].sort((x, y) => x - y)).toEqual(upTo(n - input.merge));
        row.tokens.forEach((token, j) => {
          const group = upTo(n).filter((t) => row.target[t] === j);
          token.forEach((x, d) => {
            const values = group.map((t) => input.tokens[b]![t]![d]!);
            expect(x).toBeGreaterThanOrEqual(Math.min(...values) - 1e-5);
            expect(x).toBeLessThanOrEqual(Math.max(...values) + 1e-5);
          });
        });
      });
    }
  });

  it('merging a token with its double loses nothing', async () => {
    for (const semantics of both) {
      const input = plainCase(2, semantics, 12, 12, 3);
      const [one] = await run({ ...input, tokens: [upTo(12).map(() => [0.1, 0.2, 0.3, 0.4, 0.5])] });
      for (const token of one!.tokens) token.forEach((x, d) => expect(x).toBeCloseTo((d + 1) / 10, 6));
    }
  });
});

describe('identity', () => {
  it('keeping all and merging none gives the tokens back, in pumer best first', async () => {
    const random = randomFrom(3);
    for (const semantics of both)
      for (let i = 0; i < 20; i++) {
        const some = randomCase(random, { semantics, exact: false, withNaN: true });
        const input = { ...some, keep: some.tokens[0]!.length, merge: 0 };
        (await run(input)).forEach((row, b) => {
          if (semantics === 'safe') expect(row.target).toEqual(upTo(input.keep));
          expect(row.target.map((to) => row.tokens[to])).toEqual(input.tokens[b]);
          expect(row.target.map((to) => row.weight[to])).toEqual(input.weight[b]);
        });
      }
  });
});

describe('independence', () => {
  it('a row of a batch is what it is alone, bit for bit', async () => {
    const random = randomFrom(4);
    for (const semantics of both)
      for (let i = 0; i < 15; i++) {
        const input = randomCase(random, {
          semantics,
          exact: false,
          batch: 4,
          n: random.int(3, 40),
          withNaN: i % 3 === 0,
        });
        const one = <T>(list: readonly T[], b: number): T[] => [list[list.length === 1 ? 0 : b]!];
        const together = await run(input);
        for (let b = 0; b < 4; b++) {
          const alone = await run({
            ...input,
            tokens: one(input.tokens, b),
            attention: one(input.attention, b),
            rowWeight: one(input.rowWeight, b),
            metric: one(input.metric, b),
            weight: one(input.weight, b),
          });
          expect(alone[0]).toEqual(together[b]);
        }
      }
  });

  it('runs and threads make no difference', async () => {
    for (const semantics of both) {
      const input = plainCase(5, semantics, 150, 130, 40);
      const first = await run(input);
      for (let i = 0; i < 5; i++) expect(await run(input)).toEqual(first);
      const two = await openModel(reducerModel({ semantics, opset: 17 }), 2);
      expect(await runReducer(two, feedsOf(input))).toEqual(first);
      await two.release();
    }
  });

  it('safe: what PAD tokens hold changes no real token, and PAD text rows no decision', async () => {
    const random = randomFrom(6);
    for (let i = 0; i < 30; i++) {
      const input = randomCase(random, { semantics: 'safe', exact: false });
      const other: ReduceInput = {
        ...input,
        tokens: input.tokens.map((row, b) => row.map((t, j) => (input.weight[b]![j]! > 0 ? t : t.map((x) => 9 - x)))),
        attention: input.attention.map((heads, b) =>
          heads.map((rows) =>
            rows.map((r, at) => {
              const weights = input.rowWeight.map((w) => w[at]!);
              const pad =
                input.rowWeight.length > 1 && input.attention.length > 1
                  ? weights[b] === 0
                  : weights.every((w) => w === 0);
              return pad ? r.map((x) => 1 - x) : r;
            }),
          ),
        ),
      };
      const [a, b] = [await run(input), await run(other)];
      a.forEach((row, at) => {
        expect(b[at]!.target).toEqual(row.target);
        row.weight.forEach((w, j) => {
          if (w > 0) expect(b[at]!.tokens[j]).toEqual(row.tokens[j]);
        });
      });
    }
  });

  it('safe: unseen PAD tokens behind the lane change nothing', async () => {
    for (let i = 0; i < 10; i++) {
      const input = plainCase(70 + i, 'safe', 20, 15, 5);
      const [row] = await run(input);
      const pads = <T>(list: readonly T[], pad: T): T[] => [...list, pad, pad, pad];
      const [padded] = await run({
        ...input,
        tokens: [pads(input.tokens[0]!, [7, 7, 7, 7, 7])],
        attention: [[input.attention[0]![0]!.map((r) => pads(r, 0))]],
        metric: [pads(input.metric[0]!, input.metric[0]![3]!)],
        weight: [pads(input.weight[0]!, 0)],
      });
      expect(padded).toEqual({ ...row!, target: pads(row!.target, -1) });
    }
  });
});

describe('order', () => {
  it('pumer does not care where a token stands', async () => {
    for (let i = 0; i < 10; i++) {
      const input = plainCase(100 + i, 'pumer', 31, 27, 9);
      const order = shuffled(i, upTo(31));
      const [[a], [b]] = [await run(input), await run(permuted(input, order))];
      expect(b!.tokens).toEqual(a!.tokens);
      expect(b!.target).toEqual(order.map((at) => a!.target[at]));
    }
  });

  it('safe prunes the same tokens wherever they stand', async () => {
    for (let i = 0; i < 10; i++) {
      const input = plainCase(200 + i, 'safe', 31, 17, 0);
      const order = shuffled(i, upTo(31));
      const [[a], [b]] = [await run(input), await run(permuted(input, order))];
      expect(kept(b!)).toEqual(upTo(31).filter((at) => kept(a!).includes(order[at]!)));
    }
  });

  it('safe merges the same groups if even and odd places are shuffled among themselves', async () => {
    const groups = (row: RanRow, name: (i: number) => number): string[] =>
      upTo(row.tokens.length)
        .map((j) =>
          upTo(row.target.length)
            .filter((i) => row.target[i] === j)
            .map(name)
            .sort((x, y) => x - y)
            .join(),
        )
        .sort();
    for (let i = 0; i < 10; i++) {
      const input = plainCase(300 + i, 'safe', 30, 30, 11);
      const [even, odd] = [shuffled(i, upTo(15)), shuffled(i + 50, upTo(15))];
      const order = upTo(30).map((at) => (at % 2 === 0 ? 2 * even[at / 2]! : 2 * odd[(at - 1) / 2]! + 1));
      const [[a], [b]] = [await run(input), await run(permuted(input, order))];
      expect(groups(b!, (at) => order[at]!)).toEqual(groups(a!, (at) => at));
    }
  });

  it('the lengths of keys do not matter', async () => {
    for (const semantics of both) {
      const input = plainCase(400, semantics, 40, 33, 12);
      const longer = {
        ...input,
        metric: input.metric.map((rows) => rows.map((key, i) => key.map((x) => x * 2 ** ((i % 7) - 3)))),
      };
      expect(await run(longer)).toEqual(await run(input));
    }
  });
});

describe('nesting', () => {
  it('keeping or merging one more adds one', async () => {
    for (const semantics of both)
      for (let seed = 500; seed < 503; seed++) {
        const before = { kept: [] as number[], merged: [] as number[] };
        for (let k = 1; k <= 21; k++) {
          const now = kept((await run(plainCase(seed, semantics, 21, k, 0)))[0]!);
          expect(now).toHaveLength(k);
          expect(now).toEqual(expect.arrayContaining(before.kept));
          before.kept = now;
        }
        for (let r = 0; r <= 10; r++) {
          const row = (await run(plainCase(seed, semantics, 21, 21, r)))[0]!;
          const shared = upTo(21).filter((i) => row.target.filter((t) => t === row.target[i]).length > 1);
          expect(new Set(row.target).size).toBe(21 - r);
          expect(shared).toEqual(expect.arrayContaining(before.merged));
          before.merged = shared;
        }
      }
  });
});

describe('types', () => {
  it.each([
    ['float16', DataType.FLOAT16, (x: number): number => numberToHalf(Math.fround(x))],
    ['double', DataType.DOUBLE, (x: number): number => x],
  ])('%s tokens are averaged with one rounding, others left alone', async (_, dataType, rounded) => {
    const random = randomFrom(9);
    for (const semantics of both)
      for (const opset of [11, 13, 18])
        for (let i = 0; i < 10; i++) {
          const input = randomCase(random, { semantics, exact: true });
          const session = await reducerSession({ semantics, opset, dataType });
          const feeds = feedsOf(input, dataType);
          const ran = await runReducer(session, feeds);
          const bits = numbersOf(feeds.get('tokens')!);
          expect(bits).toEqual(input.tokens.flat(2));
          reduceTokens(input).forEach((expected, b) => {
            expect(ran[b]!.target).toEqual(expected.target);
            const as = (rows: readonly (readonly number[])[]): number[][] =>
              rows.map((r) => r.map((x) => rounded(x + 0)));
            expect(as(ran[b]!.tokens)).toEqual(as(expected.tokens));
          });
        }
  });

  it('attention may be of another type than the tokens', async () => {
    const input = plainCase(10, 'safe', 20, 12, 4);
    const half: TensorData = { dataType: DataType.FLOAT16, dims: [1, 1, 3, 20], data: new Uint16Array() };
    const attention = input.attention.flat(3).map(numberToHalf);
    const model = reducerModel({ semantics: 'safe', opset: 17 });
    const inputs = model.graph.inputs.map((v) =>
      v.name === 'attention' ? { name: v.name, type: { ...v.type!, dataType: DataType.FLOAT16 } } : v,
    );
    const session = await openModel({ ...model, graph: { ...model.graph, inputs } });
    const feeds = new Map([...feedsOf(input), ['attention', { ...half, data: Uint16Array.from(attention) }]]);
    const [row] = await runReducer(session, feeds);
    expect(kept(row!)).toHaveLength(12);
    await session.release();
  });
});
