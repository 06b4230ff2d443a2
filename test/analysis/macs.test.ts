/**
 * Multiply-adds: hand counts operator by operator, and real exports against what ONNX Runtime really ran.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { countMacs, type Macs } from '../../src/analysis/macs.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import type { Model } from '../../src/graph/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { readNpz, tensorOf } from '../../src/runtime/npz.ts';
import { multiplyAdds } from '../../src/runtime/profile.ts';
import { modelOf, parseNode, type ModelText } from '../support/model-text.ts';
import { runtime, symbolsOf, type Feeds } from './observed.ts';

const symbols = new Map([
  ['b', 2],
  ['s', 5],
  ['t', 3],
  ['h', 33],
]);

const counted = (values: ModelText['values'], node: string, functions: Model['functions'] = []): Macs => {
  const model = { ...modelOf({ values, nodes: [node], opset: 23 }), functions };
  return countMacs(model, shapesOf(model), symbols);
};
const total = (values: ModelText['values'], node: string): number => {
  const { total: all, perNode, unknown } = counted(values, node);
  expect(unknown).toBe(0);
  expect(perNode.get('y')).toBe(all);
  return all;
};

describe('multiply-adds', () => {
  const x = 'f[b,s,8]';
  it('of products', () => {
    expect(total({ x, w: 'f[8,6]' }, 'y = MatMul(x, w)')).toBe(2 * 5 * 8 * 6);
    expect(total({ x, v: 'f[8]' }, 'y = MatMul(x, v)')).toBe(2 * 5 * 8);
    expect(total({ m: 'f[8,s]', n: 'f[6,8]' }, 'y = Gemm(m, n) transA=1 transB=1')).toBe(5 * 8 * 6);
    expect(total({ x, k: 'f[b,t,8]' }, 'y = com.microsoft.FusedMatMul(x, k) transB=1')).toBe(2 * 5 * 3 * 8);
    expect(total({ x }, 'y = com.microsoft.FusedMatMul(x, x) transA=1')).toBe(2 * 8 * 8 * 5);
    expect(
      total({ x: 'f[b,s,16]', w: 'u[6,1,8]:1', c: 'f[6]:1' }, 'y = com.microsoft.MatMulNBits(x, w, c) N=6 K=16'),
    ).toBe(2 * 5 * 16 * 6);
    expect(total({ x, w: 'f[8,6]' }, 'y = Einsum(x, w) equation="bsd,dk->bsk"')).toBe(2 * 5 * 8 * 6);
    expect(total({ x }, 'y = Einsum(x) equation="bsd->b"')).toBe(0);
  });

  it('of convolutions', () => {
    const values = { x: 'f[b,4,h,h]', w: 'f[6,2,3,3]', wt: 'f[4,6,2,2]' };
    expect(total(values, 'y = Conv(x, w) group=2 strides=[2,2] pads=[1,1,1,1]')).toBe(2 * 6 * 17 * 17 * 2 * 9);
    expect(total(values, 'y = ConvTranspose(x, wt) strides=[2,2]')).toBe(2 * 4 * 33 * 33 * 6 * 4);
  });

  it('of attentions: both products over all keys', () => {
    const both = 2 * 4 * 5 * 3;
    expect(total({ q: 'f[b,4,s,8]', k: 'f[b,2,t,8]', v: 'f[b,2,t,6]' }, 'y = Attention(q, k, v)')).toBe(both * (8 + 6));
    expect(
      total({ q: 'f[b,s,32]', k: 'f[b,t,16]', v: 'f[b,t,12]' }, 'y = Attention(q, k, v) q_num_heads=4 kv_num_heads=2'),
    ).toBe(both * (8 + 6));
    expect(total({ q: 'f[b,s,32]', k: 'f[b,t,32]' }, 'y = com.microsoft.MultiHeadAttention(q, k, k) num_heads=4')).toBe(
      both * 16,
    );
    const packed = 'y = com.microsoft.Attention(x, w, c) num_heads=2';
    expect(total({ x, w: 'f[8,24]', c: 'f[24]' }, packed)).toBe(2 * 5 * 8 * 24 + 2 * 5 * 5 * 16);
  });

  it('inside functions, at the sizes of the call', () => {
    const body = {
      domain: 'my',
      name: 'Square',
      inputs: ['v', 'k'],
      outputs: ['r'],
      attributes: [],
      opsets: new Map([['', 17]]),
      nodes: [
        'z = Constant() value=i[1]:0',
        'o = Constant() value=i[1]:1',
        'c = Slice(v, z, k, o)',
        'm = Transpose(c) perm=[0,2,1]',
        'r = MatMul(c, m)',
      ].map(parseNode),
    };
    const { total: all, perNode } = counted({ x, k: 'i[1]:3' }, 'y = my.Square(x, k)', [body]);
    expect(all).toBe(2 * 3 * 3 * 8);
    expect(perNode.get('y')).toBe(all);
  });

  it('tells what it cannot count', () => {
    expect(counted({ x: 'f[b,q]', w: 'f[q,6]' }, 'y = MatMul(x, w)')).toEqual({
      total: 0,
      perNode: new Map(),
      unknown: 1,
    });
    expect(counted({ x }, 'y = Loop(x)').unknown).toBe(1);
    expect(counted({ x }, 'y = Einsum(x, x) equation="ab,bc->ac"').unknown).toBe(1);
    expect(counted({ x }, 'y = Relu(x)')).toEqual({ total: 0, perNode: new Map(), unknown: 0 });
  });
});

const corpus = '../shared/corpus';
const folders = ['official', 'hf'].flatMap((group) =>
  existsSync(join(corpus, group))
    ? readdirSync(join(corpus, group))
        .filter((name) => !name.includes('fp16'))
        .map((name) => join(corpus, group, name))
    : [],
);

describe.skipIf(folders.length === 0)('corpus: multiply-adds of what ONNX Runtime really ran', () => {
  it.each(folders)('%s', { timeout: 60_000 }, async (folder) => {
    const path = join(folder, 'model.onnx');
    const model = readModel(path);
    const arrays = readNpz(readFileSync(join(folder, 'cases.npz')));
    const feeds: Feeds = new Map(
      model.graph.inputs.flatMap(({ name }) => {
        const array = arrays.get(`in0.${name}`);
        return array === undefined ? [] : [[name, tensorOf(array)] as const];
      }),
    );
    const session = await (await runtime()).open(path, { profile: true, optimize: 'disabled', threads: 1 });
    await session.run(feeds);
    const runs = session.profile().filter((run) => multiplyAdds(run) > 0);
    await session.release();
    const macs = countMacs(model, shapesOf(model), symbolsOf(model, feeds));
    const outputOf = new Map(model.graph.nodes.map((n) => [n.name, n.outputs[0] ?? '']));
    for (const run of runs) expect(macs.perNode.get(outputOf.get(run.name) ?? ''), run.name).toBe(multiplyAdds(run));
    const convolutions = model.graph.nodes
      .filter((n) => n.op.startsWith('Conv'))
      .map((n) => macs.perNode.get(n.outputs[0] ?? '') ?? 0);
    expect(macs.total).toBe(
      runs.reduce((n, run) => n + multiplyAdds(run), 0) + convolutions.reduce((a, b) => a + b, 0),
    );
    expect(macs.unknown).toBe(0);
  });
});
