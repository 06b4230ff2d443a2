/**
 * The law behind the table of operators: where tokens are followed through an operator, running it on some of them
 * gives those rows of running it on all of them. Where they are refused, it need not: each refused case really changes
 * a row that is left, or cannot run on fewer tokens. ONNX Runtime judges.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { constDim } from '../../src/analysis/dim.ts';
import { isLabelled, isShortened, type Axis } from '../../src/analysis/labels.ts';
import type { LaneHints } from '../../src/analysis/lane-births.ts';
import { laneClasses, laneTable } from '../../src/analysis/lane-rules/table.ts';
import { lanesAfter, type Lanes } from '../../src/analysis/lanes.ts';
import { sizesUsedAsData } from '../../src/analysis/size-uses.ts';
import type { Model } from '../../src/graph/model.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { randomFrom } from '../reduction/harness.ts';
import { runsOf } from '../compile/fixtures.ts';
import { modelOf } from '../support/model-text.ts';
import { kept, onnxOperators, refused, type LaneLaw } from './lane-law-cases.ts';

const batch = 2;
const tokens = 5;
const left = [0, 2, 3];

const hints: LaneHints = {
  embeddings: new Map(['x', 'z'].map((name) => [name, [{ lane: 'image' as const }]])),
};

const outputType = (model: Model): Model => ({
  ...model,
  graph: { ...model.graph, outputs: [{ name: 'y' }] },
});

const built = ({ nodes, values = {}, opset = 17 }: LaneLaw): Model =>
  outputType(modelOf({ opset, values: { x: 'f[b,t,8]', z: 'f[b,t,8]', ...values }, nodes }));

/** The trace as if everybody read shortened tokens. */
const traced = (model: Model): Lanes =>
  lanesAfter(
    model,
    hints,
    model.graph.nodes.flatMap((node) =>
      node.inputs.flatMap((name, input) =>
        name === 'x' || name === 'z' ? [{ node, input, lane: 'image' as const, version: 'less' }] : [],
      ),
    ),
  );

const refusals = (model: Model, lanes: Lanes): readonly string[] => [
  ...lanes.events.map((e) => `${e.node.op}: ${e.reason}`),
  ...sizesUsedAsData(model, lanes, () => false).map((u) => `sizes at ${u.node?.op ?? 'an output'}`),
];

const tensor = (dims: readonly number[], values: readonly number[]): TensorData => ({
  dataType: 1,
  dims,
  data: Float32Array.from(values),
});

/** All tokens, and the ones left of them. */
const feeds = (model: Model): [Map<string, TensorData>, Map<string, TensorData>] => {
  const random = randomFrom(5);
  const all = new Map<string, TensorData>();
  const some = new Map<string, TensorData>();
  for (const { name } of model.graph.inputs) {
    const rows = Array.from({ length: batch * tokens }, () => Array.from({ length: 8 }, () => 2 + random.normal()));
    all.set(name, tensor([batch, tokens, 8], rows.flat()));
    const picked = rows.filter((_, i) => left.includes(i % tokens));
    some.set(name, tensor([batch, left.length, 8], picked.flat()));
  }
  return [all, some];
};

/** Rows `left` along an axis whose tokens lie `inner` deep in it: [b*t] has a factor of b before them. */
const take = (t: TensorData, axis: number, label: Axis): { dims: number[]; values: number[] } => {
  const at = label.findIndex((f) => f.tokens !== undefined);
  const before = t.dims.slice(0, axis).reduce((n, d) => n * d, 1) * (at > 0 ? batch : 1);
  const inner = t.dims.slice(axis + 1).reduce((n, d) => n * d, 1);
  const all = numbersOf(t);
  const values: number[] = [];
  for (let b = 0; b < before; b++)
    for (const token of left)
      for (let i = 0; i < inner; i++) values.push(Number(all[(b * tokens + token) * inner + i]));
  const dims = t.dims.map((d, i) => (i === axis ? (d / tokens) * left.length : d));
  return { dims, values };
};

const apart = (a: readonly number[], b: readonly number[]): number =>
  a.length === b.length ? a.reduce((m, v, i) => Math.max(m, Math.abs(v - (b[i] as number))), 0) : Infinity;

const documented = readFileSync(new URL('../../docs/operators.md', import.meta.url), 'utf8');

describe('the table of operators', () => {
  it('is the one in the documentation', () => {
    const rows = [...documented.matchAll(/^\| (\S+) \| (.+?) \| (.*?) \|$/gm)].slice(2);
    const found = rows.map(([, is, promise, ops]) => [is, promise, ops]);
    const wanted = Object.entries(laneClasses).map(([is, promise]) => [
      is,
      promise,
      [...laneTable]
        .flatMap(([op, entry]) => (entry.is === is ? [op] : []))
        .sort()
        .join(' '),
    ]);
    expect(found).toEqual(wanted);
  });
  it('knows every operator of opsets 11 to 24', () => {
    const missing = onnxOperators.filter((op) => !laneTable.has(op));
    expect(missing).toEqual([]);
  });
});

describe('operators through which tokens are followed', () => {
  it.each(Object.entries(kept))('%s', async (_, law) => {
    const model = built(law);
    const lanes = traced(model);
    expect(refusals(model, lanes)).toEqual([]);
    const labels = lanes.of('y') ?? [];
    const axis = labels.findIndex(isShortened);
    expect(labels.filter(isLabelled)).toHaveLength(1);
    const [all, some] = feeds(model);
    const [whole, short] = (await runsOf(model, [all, some])).map((r) => r.get('y') as TensorData);
    const wanted = take(whole as TensorData, axis, labels[axis] as Axis);
    expect(short?.dims).toEqual(wanted.dims);
    expect(apart(numbersOf(short as TensorData).map(Number), wanted.values)).toBeLessThan(1e-5);
  });
});

describe('operators through which they are not', () => {
  it.each(Object.entries(refused))('%s', async (_, law) => {
    const model = built(law);
    expect(refusals(model, traced(model))).not.toEqual([]);
    const [all, some] = feeds(model);
    const [whole] = await runsOf(model, [all]);
    const y = whole?.get('y') as TensorData;
    const short = await runsOf(model, [some]).then(
      ([r]) => r?.get('y'),
      () => undefined,
    );
    if (short === undefined) return;
    // Whatever axis is taken for the tokens, what comes out is not the rows that were left.
    y.dims.forEach((size, axis) => {
      if (size % tokens !== 0) return;
      const wanted = take(y, axis, [{ dim: constDim(size), tokens: [] }]);
      if (wanted.dims.join() === short.dims.join())
        expect(apart(numbersOf(short).map(Number), wanted.values)).toBeGreaterThan(1e-3);
    });
  });
});
