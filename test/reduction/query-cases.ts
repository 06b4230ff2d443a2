/**
 * Cases for TokenReduceQK: a case of TokenReduce with queries and keys instead of attention, and the attention that they
 * stand for, worked out in float64.
 */
import { DataType } from '../../src/graph/model.ts';
import { numberToHalf, readNumbers } from '../../src/graph/tensors.ts';
import type { Semantics } from '../../src/reduction/plan.ts';
import type { ReduceInput } from '../../src/reduction/reference.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import { feedsOf, floatsOf, ints, randomCase, type Random } from './harness.ts';

type Rank4 = readonly (readonly (readonly (readonly number[])[])[])[];

export interface QueryCase {
  /** [B][H][R][q] */
  readonly queries: Rank4;
  /** [B][H][q][L] */
  readonly keys: Rank4;
  /** [B|1][H|1][R|1][L|1] */
  readonly bias: Rank4;
  readonly scale: number;
  /** The key of the first token. */
  readonly first: number;
  /** Its attention is that of the queries and keys. */
  readonly input: ReduceInput;
}

const at = <T>(list: readonly T[], i: number): T => list[list.length === 1 ? 0 : i]!;
const array = <T>(length: number, make: (i: number) => T): T[] => Array.from({ length }, (_, i) => make(i));

/** softmax(queries keys * scale + bias) over all keys, float64: [B][H][R][n] of the n keys from `first` on. */
export const attentionOf = (
  { queries, keys, bias, scale, first }: Omit<QueryCase, 'input'>,
  n: number,
): number[][][][] =>
  queries.map((heads, b) =>
    heads.map((rows, h) =>
      rows.map((query, r) => {
        const columns = keys[b]![h]!;
        const added = at(at(at(bias, b), h), r);
        const scores = array(
          columns[0]!.length,
          (l) => query.reduce((sum, x, i) => sum + x * columns[i]![l]!, 0) * scale + at(added, l),
        );
        const most = Math.max(...scores);
        const weights = scores.map((x) => Math.exp(x - most));
        const sum = weights.reduce((a, b) => a + b, 0);
        return weights.slice(first, first + n).map((x) => x / sum);
      }),
    ),
  );

/** The number of a type nearest to x. */
export const roundedTo = (type: DataType, x: number): number => {
  if (type === DataType.DOUBLE) return x;
  if (type === DataType.FLOAT) return Math.fround(x);
  if (type === DataType.FLOAT16) {
    const read = (): Uint8Array => new Uint8Array(Uint16Array.of(numberToHalf(x)).buffer);
    return readNumbers({ dataType: type, dims: [], payload: { length: 2, read } })![0]!;
  }
  // bfloat16: the upper half of a float32; the rest is cut off, so that no cast has anything to round.
  const bits = Uint32Array.of(new Uint32Array(Float32Array.of(x).buffer)[0]! & 0xffff0000);
  return new Float32Array(bits.buffer)[0]!;
};

export interface QueryCaseOptions {
  readonly semantics: Semantics;
  readonly looksType?: DataType;
  /** Small integers, keys that come several times: scores without rounding, and ties everywhere. */
  readonly exact: boolean;
  readonly n?: number;
  readonly batch?: number;
}

export const randomQueryCase = (
  random: Random,
  { looksType = DataType.FLOAT, ...options }: QueryCaseOptions,
): QueryCase => {
  const some = randomCase(random, options);
  const { exact } = options;
  const [batch, n, rows] = [some.tokens.length, some.tokens[0]!.length, some.rowWeight[0]!.length];
  const [heads, width] = [random.int(1, 4), random.int(1, 8)];
  const first = random.pick([0, 0, random.int(1, 9)]);
  const length = first + n + random.pick([0, 0, random.int(1, 9)]);
  const number = (): number => roundedTo(looksType, exact ? random.int(-2, 2) : 1.5 * random.normal());
  const prototypes = array(random.int(1, 5), () => array(width, number));
  // The lowest number of a type as masks hold it, -Infinity, and a mask of old models.
  const lowest = looksType === DataType.FLOAT16 ? -65504 : roundedTo(looksType, -3.4028234663852886e38);
  const hidden = random.pick([lowest, -Infinity, -10000]);
  const added = (): number => {
    if (random.chance(0.15)) return roundedTo(looksType, hidden);
    return exact ? random.int(0, 1) : roundedTo(looksType, random.normal());
  };
  const [wide, per, each, all] = [batch, heads, rows, length].map((size) => random.pick([1, size])) as [
    number,
    number,
    number,
    number,
  ];
  const looks = {
    queries: array(batch, () => array(heads, () => array(rows, () => array(width, number)))),
    keys: array(batch, () =>
      array(heads, () => {
        const columns = array(length, () => (exact ? random.pick(prototypes) : array(width, number)));
        return array(width, (i) => columns.map((c) => c[i]!));
      }),
    ),
    bias: random.chance(0.3)
      ? [[[[0]]]]
      : array(wide, () => array(per, () => array(each, () => array(all, all === 1 ? () => 0.5 : added)))),
    scale: Math.fround(exact ? random.pick([0.5, 1]) : 1 / Math.sqrt(width)),
    first,
  };
  return { ...looks, input: { ...some, attention: attentionOf(looks, n) } };
};

/** What the inputs of TokenReduceQK are as tensors. */
export const queryFeedsOf = (
  { queries, keys, bias, scale, first, input }: QueryCase,
  dataType: DataType = DataType.FLOAT,
  looksType: DataType = dataType,
): Map<string, TensorData> => {
  const feeds = feedsOf(input, dataType);
  feeds.delete('attention');
  const looks: [string, TensorData][] = [
    ['queries', floatsOf(looksType, queries)],
    ['keys', floatsOf(looksType, keys)],
    ['bias', floatsOf(looksType, bias)],
    ['scale', floatsOf(DataType.FLOAT, [scale])],
    ['first', ints([first])],
  ];
  return new Map([...feeds, ...looks]);
};
