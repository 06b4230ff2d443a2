/**
 * Models that hold nothing but one reducer, run through ONNX Runtime, and seeded inputs for them.
 */
import { emitterInto } from '../../src/graph/emit.ts';
import { DataType, type GraphValue, type Model, type Node } from '../../src/graph/model.ts';
import { intAttr, numberToHalf, stringAttr } from '../../src/graph/tensors.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import type { Semantics } from '../../src/reduction/plan.ts';
import type { ReduceInput } from '../../src/reduction/reference.ts';
import { emitTokenReduce, tokenReduceFunction } from '../../src/reduction/token-reduce/body.ts';
import { TOKEN_REDUCE, tokenReduceInputList, tokenReduceName } from '../../src/reduction/token-reduce/contract.ts';
import { loadRuntime, type ReducerOps, type Session } from '../../src/runtime/session.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';

export interface ReducerModel {
  readonly semantics: Semantics;
  readonly opset: number;
  readonly dataType?: DataType;
  /** What the text's looks come from: `queries` is TokenReduceQK. */
  readonly looks?: 'attention' | 'queries';
  /** Element type of the attention, or of queries, keys and bias; the tokens' own where not said. */
  readonly looksType?: DataType;
  /** The body written in place instead of a call to the function. */
  readonly inline?: boolean;
}

const value = (name: string, dataType: DataType, ...dims: (string | number)[]): GraphValue => ({
  name,
  type: { dataType, dims },
});

/** bfloat16 comes as float32 and is cast in the graph. */
const fedAs = (dataType: DataType): DataType => (dataType === DataType.BFLOAT16 ? DataType.FLOAT : dataType);

/** A model whose inputs and outputs are the reducer's own. */
export const reducerModel = ({
  semantics,
  opset,
  dataType = DataType.FLOAT,
  looks = 'attention',
  looksType = dataType,
  inline = false,
}: ReducerModel): Model => {
  const nodes: Node[] = [];
  const fed = fedAs(looksType);
  const looked = (name: string): string => {
    if (fed === looksType) return name;
    const attrs = { to: intAttr(looksType) };
    nodes.push({ name, op: 'Cast', domain: '', inputs: [name], outputs: [`${name}_cast`], attrs, captures: [] });
    return `${name}_cast`;
  };
  const inputs = {
    tokens: 'tokens',
    ...(looks === 'attention'
      ? { attention: looked('attention') }
      : { queries: looked('queries'), keys: looked('keys'), bias: looked('bias'), scale: 'scale', first: 'first' }),
    rowWeight: 'row_weight',
    metric: 'metric',
    weight: 'weight',
    protected: 'protected',
    keep: 'keep',
    merge: 'merge',
  };
  const name = tokenReduceName(inputs);
  let outputs = ['reduced', 'weight_out', 'target', 'position'];
  if (inline) {
    let count = 0;
    const e = emitterInto(nodes, opset, (hint) => `r${count++}_${hint}`);
    const made = emitTokenReduce(e, inputs, { semantics, dataType });
    outputs = [made.reduced, made.weight, made.target, made.position];
  } else {
    nodes.push({
      name: 'reduce',
      op: name,
      domain: TOKEN_REDUCE.domain,
      inputs: tokenReduceInputList(inputs),
      outputs,
      attrs: { semantics: stringAttr(semantics) },
      captures: [],
    });
  }
  const types = [dataType, DataType.FLOAT, DataType.INT64, DataType.INT64] as const;
  const shapes = [
    ['batch', 'kept', 'width'],
    ['batch', 'kept'],
    ['batch', 'n'],
    ['batch', 'kept'],
  ] as const;
  return {
    irVersion: 8,
    opsets: new Map([['', opset], ...(inline ? [] : [[TOKEN_REDUCE.domain, TOKEN_REDUCE.version] as const])]),
    graph: {
      name: 'reducer',
      nodes,
      inputs: [
        value('tokens', dataType, 'batch', 'n', 'width'),
        ...(looks === 'attention'
          ? [value('attention', fed, 'attention_batch', 'heads', 'rows_or_one', 'n_or_one')]
          : [
              value('queries', fed, 'batch', 'heads', 'rows', 'query_width'),
              value('keys', fed, 'batch', 'heads', 'query_width', 'key_count'),
              value('bias', fed, 'batch_or_one', 'heads_or_one', 'rows_or_one', 'key_count_or_one'),
              value('scale', DataType.FLOAT, 1),
              value('first', DataType.INT64, 1),
            ]),
        value('row_weight', DataType.FLOAT, 'row_batch', 'rows'),
        value('metric', DataType.FLOAT, 'batch', 'n', 'metric_width'),
        value('weight', DataType.FLOAT, 'batch', 'n'),
        value('protected', DataType.INT64, 'protected_count'),
        value('keep', DataType.INT64, 1),
        value('merge', DataType.INT64, 1),
      ],
      outputs: outputs.map((name, i) => value(name, types[i]!, ...shapes[i]!)),
      constants: new Map(),
      annotations: [],
    },
    functions: inline ? [] : [tokenReduceFunction({ name, opset, semantics, dataType })],
    metadata: new Map(),
  };
};

export const openModel = async (model: Model, threads = 1, ops: ReducerOps = 'portable'): Promise<Session> => {
  const { runtime, reason } = await loadRuntime(ops);
  if (runtime === undefined) throw new Error(reason.message);
  return runtime.open(encodeModel(model, { externalData: 'inline' }), { threads });
};

const sessions = new Map<string, Promise<Session>>();

/** One session per kind of model and what its reducer runs on. */
export const reducerSession = (kind: ReducerModel, ops: ReducerOps = 'portable'): Promise<Session> => {
  const key = JSON.stringify([kind, ops]);
  const session = sessions.get(key) ?? openModel(reducerModel(kind), 1, ops);
  sessions.set(key, session);
  return session;
};

const floats = (dataType: DataType, dims: number[], values: number[]): TensorData => ({
  dataType,
  dims,
  data:
    dataType === DataType.FLOAT16
      ? Uint16Array.from(values, numberToHalf)
      : dataType === DataType.DOUBLE
        ? Float64Array.from(values)
        : dataType === DataType.BFLOAT16
          ? Uint16Array.from(values, numberToBfloat)
          : Float32Array.from(values),
});

/** To nearest, ties to even. */
export const numberToBfloat = (x: number): number => {
  const bits = new Uint32Array(Float32Array.of(x).buffer)[0]!;
  return Number.isNaN(x) ? 0x7fc0 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
};

export const ints = (values: readonly number[]): TensorData => ({
  dataType: DataType.INT64,
  dims: [values.length],
  data: BigInt64Array.from(values, BigInt),
});

const dimsOf = (nested: unknown): number[] =>
  Array.isArray(nested) ? [nested.length, ...(nested.length > 0 ? dimsOf(nested[0]) : [])] : [];

/** Nested lists as a tensor of a floating-point type. */
export const floatsOf = (type: DataType, nested: readonly unknown[]): TensorData =>
  floats(fedAs(type), dimsOf(nested), nested.flat(9) as number[]);

/** What the reducer's inputs are as tensors. */
export const feedsOf = (
  input: ReduceInput,
  dataType: DataType = DataType.FLOAT,
  looksType: DataType = dataType,
): Map<string, TensorData> => {
  return new Map([
    ['tokens', floats(dataType, dimsOf(input.tokens), input.tokens.flat(2))],
    ['attention', floatsOf(looksType, input.attention)],
    ['row_weight', floatsOf(DataType.FLOAT, input.rowWeight)],
    ['metric', floatsOf(DataType.FLOAT, input.metric)],
    ['weight', floatsOf(DataType.FLOAT, input.weight)],
    ['protected', ints(input.protectedPositions)],
    ['keep', ints([input.keep])],
    ['merge', ints([input.merge])],
  ]);
};

export interface RanRow {
  readonly tokens: number[][];
  readonly weight: number[];
  readonly target: number[];
  readonly position: number[];
}

const chunks = <T>(values: readonly T[], size: number, count: number): T[][] =>
  Array.from({ length: count }, (_, i) => values.slice(i * size, (i + 1) * size));

/** Runs a reducer and takes its outputs apart, one entry a row of the batch. */
export const runReducer = async (session: Session, feeds: ReadonlyMap<string, TensorData>): Promise<RanRow[]> => {
  const [tokens, weight, target, position] = [...(await session.run(feeds)).values()] as TensorData[] as [
    TensorData,
    TensorData,
    TensorData,
    TensorData,
  ];
  const [batch, kept, width] = tokens.dims as [number, number, number];
  const rows = chunks(numbersOf(tokens), kept * width, batch);
  const weights = chunks(numbersOf(weight), kept, batch);
  const targets = chunks(numbersOf(target), target.dims[1]!, batch);
  const positions = chunks(numbersOf(position), kept, batch);
  return rows.map((row, b) => ({
    tokens: chunks(row, width, kept),
    weight: weights[b]!,
    target: targets[b]!,
    position: positions[b]!,
  }));
};

export interface Random {
  /** In [0, 1). */
  next(): number;
  /** An integer from low to high, both included. */
  int(low: number, high: number): number;
  normal(): number;
  pick<T>(values: readonly T[]): T;
  chance(p: number): boolean;
}

/** mulberry32 */
export const randomFrom = (seed: number): Random => {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (low: number, high: number): number => low + Math.floor(next() * (high - low + 1));
  return {
    next,
    int,
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    pick: (values) => values[int(0, values.length - 1)]!,
    chance: (p) => next() < p,
  };
};

const array = <T>(length: number, make: (i: number) => T): T[] => Array.from({ length }, (_, i) => make(i));

export interface CaseOptions {
  readonly semantics: Semantics;
  /** Inputs on which float32 makes no rounding error and ties are everywhere. */
  readonly exact: boolean;
  readonly n?: number;
  readonly batch?: number;
  /** Some NaN among saliencies and keys. */
  readonly withNaN?: boolean;
}

/** A random case: shapes, masks with PAD rows, protected positions, counts up to their caps. */
export const randomCase = (
  random: Random,
  { semantics, exact, withNaN = false, ...given }: CaseOptions,
): ReduceInput => {
  const safe = semantics === 'safe';
  const batch = given.batch ?? random.int(1, 3);
  const n = given.n ?? random.pick([1, 2, 3, random.int(4, 12), random.int(13, 45)]);
  const [heads, rows, width] = [random.int(1, 4), random.int(1, 6), random.int(1, 6)];
  const metricWidth = exact ? 64 : random.int(3, 24);
  const fround = (x: number): number => Math.fround(x);
  const key = (): number[] => array(metricWidth, () => (exact ? random.pick([-1, 1]) : fround(random.normal())));
  const prototypes = array(random.int(1, 6), key);
  const spoil = (x: number): number => (withNaN && random.chance(0.03) ? NaN : x);
  const textLane = random.chance(0.2);

  const ends = [0, -1, random.int(0, n - 1), -2].slice(0, random.int(0, 4));
  // Both ends of a short lane may name the same token; the middle is named once.
  const protectedPositions = n <= 2 ? ends : [...new Set(ends.map((p) => (p + n) % n))].sort(() => random.next() - 0.5);
  const c = safe ? protectedPositions.length : 0;
  const keep = textLane ? n : Math.min(n, random.pick([n, c + 1, random.int(Math.min(c + 1, n), n)]));
  const cap = Math.max(Math.floor((keep - (safe ? c : 1)) / 2), 0);
  const merge = random.pick([0, cap, random.int(0, cap)]);
  const allPad = (): boolean => random.chance(0.1);
  const size = (): number => (exact ? random.int(1, 4) : fround(0.5 + 3 * random.next()));
  return {
    semantics,
    tokens: array(batch, () =>
      array(n, () => array(width, () => (exact ? random.pick([random.int(-8, 8), -0]) : fround(random.normal())))),
    ),
    attention: textLane
      ? [[[[0]]]]
      : array(random.pick([1, batch]), () =>
          array(heads, () =>
            array(rows, () => array(n, () => spoil(exact ? random.int(0, 2) : fround(random.next())))),
          ),
        ),
    rowWeight: array(random.pick([1, batch]), () => {
      const none = allPad();
      return array(rows, () => (none || random.chance(0.3) ? 0 : exact ? 1 : size()));
    }),
    metric: array(batch, () =>
      array(n, () =>
        (exact && random.chance(0.8) ? random.pick(prototypes) : key()).map((x) => spoil2(random, withNaN, x)),
      ),
    ),
    weight: array(batch, () => {
      const none = allPad();
      const padding = random.pick([0, 0, 0.3, 0.8]);
      return array(n, () => (none || random.chance(padding) ? 0 : safe ? size() : random.pick([1, 1, 0.5])));
    }),
    protectedPositions,
    keep,
    merge,
  };
};

const spoil2 = (random: Random, withNaN: boolean, x: number): number => (withNaN && random.chance(0.002) ? NaN : x);
