/**
 * `reducer`: one reduction by itself, as the function's body and as the fused kernel, beside a transformer layer of the
 * same size. Times are those of the nodes, from ONNX Runtime's own profile, so nothing of opening, feeding and calling
 * is in them (for the body that leaves out what passes between its nodes). The three take turns.
 */
import { setTimeout } from 'node:timers/promises';
import { emitterInto } from '../src/graph/emit.ts';
import { DataType, type GraphValue, type Model, type Node } from '../src/graph/model.ts';
import { floatTensor, floatAttr, intAttr, stringAttr } from '../src/graph/tensors.ts';
import { encodeModel } from '../src/onnx/write.ts';
import { tokenReduceFunction } from '../src/reduction/token-reduce/body.ts';
import { TOKEN_REDUCE, tokenReduceInputList } from '../src/reduction/token-reduce/contract.ts';
import { columns } from '../src/report/columns.ts';
import { loadRuntime, type ReducerOps, type Session } from '../src/runtime/session.ts';
import type { TensorData } from '../src/runtime/tensor-data.ts';
import { spreadOf, spreadText } from '../src/timing/spread.ts';

export interface ReducerRequest {
  readonly threads: number;
  readonly batches: readonly number[];
  readonly runs: number;
}

const opset = 17;
/** Width, heads, text tokens. */
const [width, heads, text] = [768, 12, 40];
const lanes = [197, 577];
const warmUps = 3;

type Feeds = ReadonlyMap<string, TensorData>;

const value = (name: string, dataType: DataType, ...dims: (string | number)[]): GraphValue => ({
  name,
  type: { dataType, dims },
});

const model = (nodes: Node[], inputs: GraphValue[], outputs: GraphValue[], more: Partial<Model> = {}): Model => ({
  irVersion: 8,
  opsets: new Map([['', opset]]),
  graph: { name: 'bench', nodes, inputs, outputs, constants: new Map(), annotations: [] },
  functions: [],
  metadata: new Map(),
  ...more,
});

const reducer = (): Model => {
  const inputs = {
    tokens: 'tokens',
    attention: 'attention',
    rowWeight: 'row_weight',
    metric: 'metric',
    weight: 'weight',
    protected: 'protected',
    keep: 'keep',
    merge: 'merge',
  };
  const node: Node = {
    name: 'reduce',
    op: TOKEN_REDUCE.name,
    domain: TOKEN_REDUCE.domain,
    inputs: tokenReduceInputList(inputs),
    outputs: ['reduced', 'weight_out', 'target', 'position'],
    attrs: { semantics: stringAttr('safe') },
    captures: [],
  };
  const { name } = TOKEN_REDUCE;
  return model(
    [node],
    [
      value('tokens', DataType.FLOAT, 'b', 'n', width),
      value('attention', DataType.FLOAT, 'attention_b', 'heads', 'rows', 'attention_n'),
      value('row_weight', DataType.FLOAT, 'row_b', 'rows'),
      value('metric', DataType.FLOAT, 'b', 'n', width / heads),
      value('weight', DataType.FLOAT, 'b', 'n'),
      value('protected', DataType.INT64, 1),
      value('keep', DataType.INT64, 1),
      value('merge', DataType.INT64, 1),
    ],
    [
      value('reduced', DataType.FLOAT, 'b', 'k', width),
      value('weight_out', DataType.FLOAT, 'b', 'k'),
      value('target', DataType.INT64, 'b', 'n'),
      value('position', DataType.INT64, 'b', 'k'),
    ],
    {
      opsets: new Map([
        ['', opset],
        [TOKEN_REDUCE.domain, TOKEN_REDUCE.version],
      ]),
      functions: [tokenReduceFunction({ name, opset, semantics: 'safe', dataType: DataType.FLOAT })],
    },
  );
};

/** A pre-LN transformer layer of that width over all tokens, as exporters write it; weights are made up. */
const layer = (): Model => {
  const nodes: Node[] = [];
  let count = 0;
  const e = emitterInto(nodes, opset, (hint) => `${hint}_${count++}`);
  const weight = (...dims: number[]): string => {
    const length = dims.reduce((a, b) => a * b, 1);
    return e.constant(
      floatTensor(
        dims,
        Array.from({ length }, () => (Math.random() - 0.5) / 16),
      ),
    );
  };
  const linear = (x: string, from: number, to: number): string =>
    e.op('Add', [e.op('MatMul', [x, weight(from, to)]), weight(to)]);
  const norm = (x: string): string =>
    e.op('LayerNormalization', [x, weight(width), weight(width)], { epsilon: floatAttr(1e-12) });
  const apart = (x: string, perm: number[]): string =>
    e.transpose(e.op('Reshape', [x, e.int64s([0, 0, heads, width / heads])]), perm);
  const normed = norm('x');
  const [q, k, v] = [
    [0, 2, 1, 3],
    [0, 2, 3, 1],
    [0, 2, 1, 3],
  ].map((perm) => apart(linear(normed, width, width), perm)) as [string, string, string];
  const scores = e.op('Div', [e.op('MatMul', [q, k]), e.float(8)]);
  const looks = e.op('MatMul', [e.op('Softmax', [scores], { axis: intAttr(-1) }), v]);
  const joined = e.op('Reshape', [e.transpose(looks, [0, 2, 1, 3]), e.int64s([0, 0, width])]);
  const residual = e.op('Add', [linear(joined, width, width), 'x']);
  const hidden = linear(norm(residual), width, 4 * width);
  const erf = e.op('Erf', [e.op('Div', [hidden, e.float(Math.SQRT2)])]);
  const gelu = e.op('Mul', [e.op('Mul', [hidden, e.op('Add', [erf, e.float(1)])]), e.float(0.5)]);
  const out = e.op('Add', [linear(gelu, 4 * width, width), residual]);
  return model(nodes, [value('x', DataType.FLOAT, 'b', 'n', width)], [value(out, DataType.FLOAT, 'b', 'n', width)]);
};

const random = (...dims: number[]): TensorData => ({
  dataType: DataType.FLOAT,
  dims,
  data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, Math.random),
});
const ints = (...values: number[]): TensorData => ({
  dataType: DataType.INT64,
  dims: [values.length],
  data: BigInt64Array.from(values, BigInt),
});

/** Ratios of the image tokens; without pruning nobody looks at attention, and a compiled model gives none. */
const settings = [
  { name: 'prune 0.1, merge 0.3', prune: 0.1, merge: 0.3 },
  { name: 'merge 0.3 (the default)', prune: 0, merge: 0.3 },
] as const;

const ones = (...dims: number[]): TensorData => {
  const tensor = random(...dims);
  return { ...tensor, data: new Float32Array(tensor.data.length).fill(1) };
};

const feeds = (batch: number, n: number, { prune, merge }: (typeof settings)[number]): Feeds =>
  new Map([
    ['tokens', random(batch, n, width)],
    ['attention', prune > 0 ? random(batch, heads, text, n) : random(1, 1, 1, 1)],
    ['row_weight', prune > 0 ? ones(batch, text) : ones(1, 1)],
    ['metric', random(batch, n, width / heads)],
    ['weight', ones(batch, n)],
    ['protected', ints(0)],
    ['keep', ints(n - Math.round(prune * n))],
    ['merge', ints(Math.round(merge * n))],
  ]);

const open = async (bytes: Uint8Array, ops: ReducerOps, threads: number): Promise<Session> => {
  const { runtime, reason } = await loadRuntime(ops);
  if (runtime === undefined) throw new Error(reason.message);
  return runtime.open(bytes, { threads, profile: true });
};

/** Milliseconds of all nodes of each run after the warm-ups. */
const perRun = (session: Session, runs: number): number[] => {
  const nodes = session.profile();
  const each = nodes.length / (runs + warmUps);
  return Array.from({ length: runs }, (_, i) =>
    nodes
      .slice((i + warmUps) * each, (i + warmUps + 1) * each)
      .reduce((sum, node) => sum + node.microseconds / 1000, 0),
  );
};

/** Prints as it goes. */
export const reducerAlone = async (
  { threads, batches, runs }: ReducerRequest,
  print: (line: string) => void,
): Promise<void> => {
  const [single, whole] = [encodeModel(reducer()), encodeModel(layer())];
  const rows: string[][] = [
    ['setting', 'tokens', 'batch', 'body ms', 'kernel ms', 'body/kernel', 'layer ms', 'kernel/layer'],
  ];
  const cases = settings.flatMap((setting) =>
    lanes.flatMap((n) => batches.map((batch) => [setting, n, batch] as const)),
  );
  for (const [setting, n, batch] of cases) {
    const sessions = [
      await open(single, 'portable', threads),
      await open(single, 'fused', threads),
      await open(whole, 'portable', threads),
    ] as const;
    const given = feeds(batch, n, setting);
    const tokens: Feeds = new Map([['x', random(batch, n + text, width)]]);
    const layerRuns = Math.max(5, Math.round(runs / 4));
    for (let run = 0; run < runs + warmUps; run++) {
      for (const [i, session] of sessions.entries()) {
        if (i === 2 && run >= layerRuns + warmUps) continue;
        await session.run(i === 2 ? tokens : given);
        // A session's threads look out for work for a while, and would be in the next one's way.
        await setTimeout(20);
      }
    }
    const [body, kernel, one] = [perRun(sessions[0], runs), perRun(sessions[1], runs), perRun(sessions[2], layerRuns)];
    for (const session of sessions) await session.release();
    const ratio = spreadOf(body.map((time, i) => time / (kernel[i] ?? Number.NaN)));
    rows.push([
      setting.name,
      String(n),
      String(batch),
      spreadText(spreadOf(body), 2),
      spreadText(spreadOf(kernel), 3),
      spreadText(ratio, 1),
      spreadText(spreadOf(one), 1),
      `${((100 * spreadOf(kernel).median) / spreadOf(one).median).toFixed(2)} %`,
    ]);
  }
  print('');
  print(`One reduction (safe) of tokens x ${width}, ${threads} threads; layer: tokens + ${text} x ${width}`);
  for (const line of columns(rows, rows[0]?.map(() => 'right' as const) ?? [])) print(`  ${line}`);
  print('  medians (least-most); body/kernel: of the ratios within pairs');
};
