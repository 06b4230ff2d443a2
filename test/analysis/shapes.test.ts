/**
 * Shape inference: small graphs operator by operator, malformed ones, and every value of real exports, held against
 * what ONNX Runtime makes of them.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { dimText, dimValue } from '../../src/analysis/dim.ts';
import { matchReshape } from '../../src/analysis/reshape-map.ts';
import { constDim, mulDims, addDims, symbolDim } from '../../src/analysis/dim.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { DataType, type Model, type Node } from '../../src/graph/model.ts';
import { emitterInto } from '../../src/graph/emit.ts';
import { emitImageCounts, imageCounts } from '../../src/reduction/counts.ts';
import { readModel } from '../../src/onnx/read.ts';
import { readNpz, tensorOf } from '../../src/runtime/npz.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import { modelOf, parseNode } from '../support/model-text.ts';
import { compareOutputs, compareProfile, runtime, type Comparison, type Feeds } from './observed.ts';
import { operatorCases, sizes } from './operator-cases.ts';

const clean = { wrong: [], unresolved: [] };

const feedsFor = (model: Model): Feeds =>
  new Map(
    model.graph.inputs.map(({ name, type }): [string, TensorData] => {
      const dims = (type?.dims ?? []).map((d) => (typeof d === 'number' ? d : (sizes.get(d ?? '?') ?? 4)));
      const count = dims.reduce((n, d) => n * d, 1);
      const dataType = type?.dataType ?? DataType.FLOAT;
      const numbers = Array.from({ length: count }, (_, i) => (i * 7) % 3);
      if (dataType === DataType.INT64) return [name, { dataType, dims, data: BigInt64Array.from(numbers, BigInt) }];
      if (dataType === DataType.INT32) return [name, { dataType, dims, data: Int32Array.from(numbers) }];
      return [name, { dataType, dims, data: Float32Array.from(numbers, (v) => v + 0.5) }];
    }),
  );

const outputsOf = (model: Model): string[] => model.graph.nodes.flatMap((n) => n.outputs.filter((o) => o !== ''));

/** Nodes of the cases are written in any order. */
const sorted = (model: Model): Model => {
  const made = new Set([...model.graph.inputs.map((i) => i.name), ...model.graph.constants.keys(), '']);
  const nodes: Model['graph']['nodes'][number][] = [];
  const waiting = [...model.graph.nodes];
  while (waiting.length > 0) {
    const at = waiting.findIndex((n) => n.inputs.every((v) => made.has(v)));
    const [node] = waiting.splice(Math.max(at, 0), 1);
    if (at < 0 || node === undefined) throw new Error('a case reads what nothing makes');
    nodes.push(node);
    node.outputs.forEach((o) => made.add(o));
  }
  return { ...model, graph: { ...model.graph, nodes } };
};

const dimsIn = (model: Model, value: string): string | undefined =>
  shapesOf(model).of(value)?.dims?.map(dimText).join();
const intsIn = (model: Model, value: string): string | undefined =>
  shapesOf(model).of(value)?.ints?.values.map(dimText).join();

describe('shapes of single operators, as ONNX Runtime makes them', () => {
  it.each(Object.entries(operatorCases))('%s', async (name, text) => {
    const model = sorted(modelOf(text));
    const found = await compareOutputs(model, feedsFor(model), outputsOf(model));
    const dataDependent = name === 'search and sort' ? ['nz'] : [];
    expect(found).toEqual({
      compared: outputsOf(model).length - dataDependent.length,
      wrong: [],
      unresolved: dataDependent,
    });
    expect([...shapesOf(model).gaps]).toEqual([]);
  });
});

describe('symbolic shapes', () => {
  it('name sizes after the inputs and keep shape arithmetic exact', () => {
    const model = sorted(modelOf(operatorCases['reshape of a flattened sum of lengths'] as never));
    expect(dimsIn(model, 'j')).toBe('b,s+7,8');
    expect(dimsIn(model, 'flat')).toBe('7*b+b*s,8');
    expect(dimsIn(model, 'heads')).toBe('b,s+7,4,2');
    expect(dimsIn(model, 'again')).toBe('b,s+7,8');
    expect(intsIn(model, 'open')).toBe('b,s+7,-1');
  });

  it('gives equal expressions equal symbols, and different ones different symbols', () => {
    const model = modelOf({
      values: { x: 'f[b,s,8]', one: 'i[]:1', two: 'i[]:2', three: 'i[]:3' },
      nodes: [
        's1 = Shape(x)',
        'n1 = Gather(s1, one)',
        'h1 = Div(n1, two)',
        'a1 = Add(h1, one)',
        's2 = Shape(x)',
        'n2 = Gather(s2, one)',
        'p2 = Add(n2, two)',
        'a2 = Div(p2, two)',
        'd = Div(n1, three)',
        'm1 = Max(h1, d)',
        'm2 = Max(d, h1)',
      ],
    });
    expect(intsIn(model, 'a1')).toBe('floor(s;2)+1');
    expect(intsIn(model, 'a2')).toBe(intsIn(model, 'a1'));
    expect(intsIn(model, 'd')).not.toBe(intsIn(model, 'h1'));
    expect(intsIn(model, 'm1')).toBe(intsIn(model, 'm2'));
  });

  it('decides comparisons of sizes only where every size decides them alike', () => {
    const model = modelOf({
      values: { x: 'f[b,s]', y: 'f[t]', minus: 'i[2]:-1', ones: 'i[2]:1', zero: 'i[]:0' },
      nodes: [
        'sh = Shape(x)',
        'eq = Equal(sh, minus)',
        'w = Where(eq, ones, sh)',
        'b0 = Gather(sh, zero)',
        't = Shape(y)',
        'lt = Less(b0, t)',
        'gt = Greater(b0, zero)',
        'is1 = Equal(sh, ones)',
      ],
    });
    expect(intsIn(model, 'eq')).toBe('0,0');
    expect(intsIn(model, 'w')).toBe('b,s');
    expect(intsIn(model, 'gt')).toBe('1');
    expect(intsIn(model, 'lt')).toBe('less(b;t)');
    expect(intsIn(model, 'is1')).toBe('equal(b;1),equal(s;1)');
  });

  it('keeps symbols apart from names that look like expressions', () => {
    const model = modelOf({
      values: { x: 'f[floor(s;2),s]', y: 'f[a*b,a,b]', one: 'i[]:1', two: 'i[]:2' },
      nodes: [
        'sh = Shape(x)',
        'n = Gather(sh, one)',
        'h = Div(n, two)',
        'sy = Shape(y)',
        'p = ReduceProd(sy) keepdims=0',
      ],
    });
    const facts = shapesOf(model);
    const sizesGiven = new Map([
      ['floor(s;2)', 9],
      ['s', 4],
      ['a*b', 7],
      ['a', 2],
      ['b', 3],
    ]);
    const [named] = facts.of('x')?.dims ?? [];
    expect(facts.resolve(named as never, sizesGiven)).toBe(9);
    expect(facts.resolve(facts.of('h')?.ints?.values[0] as never, sizesGiven)).toBe(2);
    expect(facts.resolve(facts.of('p')?.ints?.values[0] as never, sizesGiven)).toBe(42);
  });

  it('takes an initializer that is also an input for a default from IR 4 on', () => {
    const model = modelOf({ values: { x: 'f[b,8]', shape: 'i[2]:4,-1' }, nodes: ['y = Reshape(x, shape)'] });
    const input = { name: 'shape', type: { dataType: DataType.INT64, dims: [2] } };
    const overridable: Model = { ...model, graph: { ...model.graph, inputs: [...model.graph.inputs, input] } };
    expect(dimsIn(model, 'y')).toBe('4,2*b');
    expect(dimsIn({ ...overridable, irVersion: 3 }, 'y')).toBe('4,2*b');
    expect(shapesOf(overridable).gaps.get('y')).toContain('computed from data');
    expect(shapesOf(overridable).of('y')?.dims).toHaveLength(2);
  });

  it('follows calls of model-local functions through their bodies', () => {
    const model = modelOf({ values: { x: 'f[b,s,8]', two: 'i[]:2' }, nodes: ['y = my.Heads(x)', 'z = my.Heads(y)'] });
    const body = {
      domain: 'my',
      name: 'Heads',
      inputs: ['v'],
      outputs: ['r'],
      attributes: [],
      opsets: new Map([['', 17]]),
      nodes: [parseNode('c = Constant() value=i[3]:0,-1,4'), parseNode('r = Reshape(v, c)')],
    };
    const called = { ...model, functions: [body] };
    expect(dimsIn(called, 'y')).toBe('b,2*s,4');
    expect(shapesOf(called).gaps.size).toBe(0);
  });

  it('knows the reducer: lengths from keep and merge, or of its own', () => {
    const values = { x: 'f[b,s,8]', a: 'f[b,s]', w: 'f[b,s]', p: 'i[0]:', keep: 'i[1]:9', merge: 'i[1]:2', m: 'i[1]' };
    const model = modelOf({
      values,
      nodes: [
        'r, rw, target = ai.pumer.TokenReduce(x, a, a, x, w, p, keep, merge)',
        'q = ai.pumer.TokenReduce(x, a, a, x, w, p, keep, m)',
        'o, ow = ai.pumer.TokenReduceQK(x, x, x, a, a, p, a, x, w, p, keep, merge)',
      ],
    });
    expect(dimsIn(model, 'r')).toBe('b,7,8');
    expect(dimsIn(model, 'rw')).toBe('b,7');
    expect(dimsIn(model, 'target')).toBe('b,s');
    expect(dimsIn(model, 'q')).toBe('b,q_1,8');
    expect(dimsIn(model, 'o')).toBe('b,7,8');
    expect(dimsIn(model, 'ow')).toBe('b,7');
  });
});

describe("a reducer's counts, computed in the graph from a symbolic length", () => {
  it.each([11, 12, 17, 23])('are known exactly for every length, opset %i', (opset) => {
    for (const semantics of ['pumer', 'safe'] as const)
      for (const [prune, merge] of [
        ['0.1', '0.3'],
        ['0.075', '0.225'],
        ['0.5', '0.25'],
      ] as const) {
        const base = modelOf({ opset, values: { x: 'f[b,s,8]' }, nodes: [] });
        const nodes: Node[] = [];
        let count = 0;
        const e = emitterInto(nodes, opset, (hint) => `v${count++}_${hint}`);
        const rule = { semantics, protectedCount: 1 };
        const counts = emitImageCounts(e, e.length('x', 1), prune, merge, rule);
        const facts = shapesOf({ ...base, graph: { ...base.graph, nodes } });
        for (let n = 2; n < 300; n++) {
          const at = (value: string): number | undefined =>
            facts.resolve(facts.of(value)?.ints?.values[0] ?? symbolDim('nothing'), new Map([['s', n]]));
          const expected = imageCounts(n, prune, merge, rule);
          expect({ keep: at(counts.keep), merge: at(counts.merge) }).toEqual({
            keep: expected.keep,
            merge: expected.merge,
          });
        }
      }
  });
});

describe('gaps', () => {
  const gapOf = (node: string, values: Record<string, string> = { x: 'f[b,8]' }): string | undefined => {
    const model = modelOf({ values, nodes: [node] });
    return shapesOf(model).gaps.get('y');
  };
  it('are told, never thrown', () => {
    expect(gapOf('y = Reshape(x)')).toBe('Reshape: input 1 is missing');
    expect(gapOf('y = my.Thing(x)')).toBe('Thing: no shape rule for my.Thing');
    expect(gapOf('y = Transpose(x) perm=[0,1,2]')).toContain('permutation');
    expect(gapOf('y = Add(nowhere, x)')).toContain('"nowhere"');
    expect(gapOf('y = Gather(x, x) axis=7')).toContain('axis 7');
    expect(gapOf('y = Slice(x)')).toBeDefined();
    expect(gapOf('y = Einsum(x) equation="ij,jk->ik"')).toContain('equation');
    expect(gapOf('y = Concat() axis=0')).toContain('no inputs');
    expect(gapOf('y = MatMulNBits(x)')).toBeDefined();
  });

  it.each(Object.entries(operatorCases))('malformed: %s', (_, text) => {
    const model = sorted(modelOf(text));
    const cut = (keep: number): Model => ({
      ...model,
      graph: { ...model.graph, nodes: model.graph.nodes.map((n) => ({ ...n, inputs: n.inputs.slice(0, keep) })) },
    });
    for (const keep of [0, 1, 2]) expect(() => shapesOf(cut(keep))).not.toThrow();
    const scalars: Model = {
      ...model,
      graph: { ...model.graph, inputs: model.graph.inputs.map((i) => ({ ...i, type: { dataType: 1, dims: [] } })) },
    };
    expect(() => shapesOf(scalars)).not.toThrow();
    const unranked: Model = {
      ...model,
      graph: { ...model.graph, inputs: model.graph.inputs.map((i) => ({ ...i, type: { dataType: 1 } })) },
    };
    expect(() => shapesOf(unranked)).not.toThrow();
  });

  it('fall back on the file only where there is no rule', () => {
    const model = modelOf({ values: { x: 'f[b,8]' }, nodes: ['y = my.Thing(x)', 'z = Relu(x)', 'u = Relu(y)'] });
    const stale = { dataType: DataType.FLOAT, dims: [3, 3] };
    const annotations = ['y', 'z'].map((name) => ({ name, type: stale }));
    const annotated: Model = { ...model, graph: { ...model.graph, annotations } };
    expect(dimsIn(annotated, 'y')).toBe('3,3');
    expect(dimsIn(annotated, 'z')).toBe('b,8');
    expect(dimsIn(annotated, 'u')).toBe('3,3');
    expect([...shapesOf(annotated).gaps.keys()]).toEqual(['y']);
  });
});

describe('matchReshape', () => {
  const [b, s] = [symbolDim('b'), symbolDim('s')];
  const c = constDim;
  const text = (groups: ReturnType<typeof matchReshape>): string | undefined =>
    groups?.map((g) => `${g.in.join('.')}>${g.out.join('.')}`).join(' ');
  it('finds the finest grouping', () => {
    expect(text(matchReshape([b, addDims(s, c(7)), c(64)], [b, addDims(s, c(7)), c(4), c(16)]))).toBe('0>0 1>1 2>2.3');
    expect(text(matchReshape([b, s, c(4), c(16)], [b, s, c(64)]))).toBe('0>0 1>1 2.3>2');
    expect(text(matchReshape([b, s, c(64)], [mulDims(b, s), c(64)]))).toBe('0.1>0 2>1');
    expect(text(matchReshape([mulDims(addDims(s, c(7)), b), c(8)], [b, addDims(s, c(7)), c(8)]))).toBe('0>0.1 1>2');
    expect(text(matchReshape([c(2), c(6)], [c(3), c(4)]))).toBe('0.1>0.1');
  });
  it('sets size-1 axes apart', () => {
    expect(text(matchReshape([b, c(1), s], [c(1), b, s, c(1)]))).toBe('>0 0>1 1> 2>2 >3');
    expect(text(matchReshape([c(2), c(1), c(3)], [c(6)]))).toBe('0.2>0 1>');
    expect(text(matchReshape([], []))).toBe('');
    expect(text(matchReshape([c(1)], []))).toBe('0>');
  });
  it('says undefined where products are not provably equal', () => {
    expect(matchReshape([b, s], [s, c(4)])).toBeUndefined();
    expect(matchReshape([b, s], [b])).toBeUndefined();
    expect(matchReshape([c(0), s], [c(0), s])).toBeUndefined();
  });
});

const corpus = '../shared/corpus';
const folders = ['official', 'hf'].flatMap((group) =>
  existsSync(join(corpus, group)) ? readdirSync(join(corpus, group)).map((name) => join(corpus, group, name)) : [],
);
/** Families whose every value must have facts. */
const complete = /official|vilt-|visualbert-vqa\./;

describe.skipIf(folders.length === 0)('corpus', () => {
  const total: Comparison[] = [];

  const profiled = async (path: string, model: Model, feeds: Feeds): Promise<Comparison> => {
    const ort = await runtime();
    // ONNX Runtime cannot load some half-float models with its optimiser off.
    const session = await ort
      .open(path, { profile: true, optimize: 'disabled', threads: 1 })
      .catch(() => ort.open(path, { profile: true, threads: 1 }));
    await session.run(feeds);
    const found = compareProfile(model, feeds, session.profile());
    await session.release();
    return found;
  };

  it.each(folders)('%s', { timeout: 120_000 }, async (folder) => {
    const path = join(folder, 'model.onnx');
    const model = readModel(path);
    const arrays = readNpz(readFileSync(join(folder, 'cases.npz')));
    for (const batch of ['in0', 'in1']) {
      const feeds: Feeds = new Map(
        model.graph.inputs.flatMap(({ name }) => {
          const array = arrays.get(`${batch}.${name}`);
          return array === undefined ? [] : [[name, tensorOf(array)] as const];
        }),
      );
      const found = await profiled(path, model, feeds);
      expect(found).toMatchObject(clean);
      expect(found.compared).toBeGreaterThan(100);
      total.push(found);
      // Contents claimed to be known, and types, against the real ones. Half-float models run only optimised.
      if (!folder.includes('fp16')) {
        const known = outputsOf(model).filter((v) => shapesOf(model).of(v)?.ints !== undefined);
        const contents = await compareOutputs(model, feeds, known);
        expect(contents).toMatchObject(clean);
        total.push(contents);
      }
    }
    const { gaps } = shapesOf(model);
    expect([...gaps]).toEqual([]);
    if (complete.test(folder))
      for (const value of outputsOf(model)) expect(shapesOf(model).of(value)?.dims, value).toBeDefined();
  });

  it('compared a good many values', () => {
    const compared = total.reduce((n, c) => n + c.compared, 0);
    console.log(`${compared} values compared`);
    expect(compared).toBeGreaterThan(10_000);
  });
});

it('resolves declared sizes by name', () => {
  const model = modelOf({ values: { x: 'f[b,s,8]' }, nodes: ['y = Shape(x)'] });
  const facts = shapesOf(model);
  expect(
    facts.of('y')?.ints?.values.map((d) =>
      facts.resolve(
        d,
        new Map([
          ['b', 2],
          ['s', 3],
        ]),
      ),
    ),
  ).toEqual([2, 3, 8]);
  expect(facts.resolve(constDim(4), new Map())).toBe(4);
  expect(facts.of('x')?.dims?.map(dimValue)).toEqual([undefined, undefined, 8]);
});
