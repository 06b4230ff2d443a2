/**
 * Cross-modal layers are numbered by depth: pairs of co-attention are one layer, parallel stacks share numbers, and
 * neither the order of nodes nor attention within one modality counts.
 */
import { describe, expect, it } from 'vitest';
import { understandModel } from '../../src/compile.ts';
import type { Model } from '../../src/graph/model.ts';
import { randomFrom } from '../reduction/harness.ts';
import { modelOf } from '../support/model-text.ts';

const values = {
  ids: 'i[batch,7]',
  pixels: 'f[batch,3,16,16]',
  other_pixels: 'f[batch,3,16,16]',
  table: 'f[20,8]:0.1',
  filters: 'f[8,3,4,4]:0.1',
  rows: 'i[3]:0,8,-1',
};
const picture = (from: string, to: string): string[] => [
  `${to}_grid = Conv(${from}, filters) kernel_shape=[4,4] strides=[4,4]`,
  `${to}_rows = Reshape(${to}_grid, rows)`,
  `${to} = Transpose(${to}_rows) perm=[0,2,1]`,
];
/** out = x + softmax(x y^T) y */
const attend = (out: string, x: string, y: string): string[] => [
  `${out}_t = Transpose(${y}) perm=[0,2,1]`,
  `${out}_product = MatMul(${x}, ${out}_t)`,
  `${out}_probs = Softmax(${out}_product) axis=-1`,
  `${out}_context = MatMul(${out}_probs, ${y})`,
  `${out} = Add(${x}, ${out}_context)`,
];
const layersOf = (model: Model): string[] =>
  understandModel(model, {}).layers.map((l) => {
    const names = (list: readonly { product: { outputs: readonly string[] } }[]) =>
      list
        .map((a) => a.product.outputs[0]?.replace('_product', ''))
        .sort()
        .join('+');
    return `${l.layer}: joint ${names(l.joint)}; text ${names(l.textToImage)}; image ${names(l.imageToText)}`;
  });
const shuffled = (model: Model, seed: number): Model => {
  const random = randomFrom(seed);
  const ready = new Set([...model.graph.inputs.map((i) => i.name), ...model.graph.constants.keys()]);
  const waiting = [...model.graph.nodes];
  const nodes: typeof waiting = [];
  while (waiting.length > 0) {
    const possible = waiting.flatMap((n, i) => (n.inputs.every((v) => ready.has(v)) ? [i] : []));
    const [next] = waiting.splice(random.pick(possible), 1);
    if (next === undefined) break;
    nodes.push(next);
    next.outputs.forEach((o) => ready.add(o));
  }
  return { ...model, graph: { ...model.graph, nodes } };
};
const both = (nodes: readonly string[]): Model =>
  modelOf({ values, nodes: ['t0 = Gather(table, ids) axis=0', ...picture('pixels', 'i0'), ...nodes] });

const pair = (k: number, late = false): string[] => [
  ...attend(`ts${k}`, `t${k}`, `t${k}`),
  ...attend(`t${k + 1}`, `ts${k}`, `i${k}`),
  ...attend(`is${k}`, `i${k}`, `i${k}`),
  ...attend(`i${k + 1}`, `is${k}`, late ? `t${k + 1}` : `t${k}`),
];

const models: Readonly<Record<string, readonly [Model, readonly string[]]>> = {
  'one stream': [
    both(['x0 = Concat(t0, i0) axis=1', ...attend('x1', 'x0', 'x0'), ...attend('x2', 'x1', 'x1')]),
    ['0: joint x1; text ; image ', '1: joint x2; text ; image '],
  ],
  'pairs that read the older text': [
    both([...pair(0), ...pair(1), ...pair(2)]),
    [0, 1, 2].map((k) => `${k}: joint ; text t${k + 1}; image i${k + 1}`),
  ],
  'pairs whose image reads the newer text': [
    both([...pair(0, true), ...pair(1, true)]),
    [0, 1].map((k) => `${k}: joint ; text t${k + 1}; image i${k + 1}`),
  ],
  'encoders of one modality before': [
    both([
      ...attend('e1', 't0', 't0'),
      ...attend('e2', 'e1', 'e1'),
      ...attend('f1', 'i0', 'i0'),
      'x0 = Concat(e2, f1) axis=1',
      ...attend('x1', 'x0', 'x0'),
    ]),
    ['0: joint x1; text ; image '],
  ],
  'two pictures through parallel stacks': [
    both([
      ...picture('other_pixels', 'j0'),
      'x0 = Concat(t0, i0) axis=1',
      'y0 = Concat(t0, j0) axis=1',
      ...attend('x1', 'x0', 'x0'),
      ...attend('x2', 'x1', 'x1'),
      ...attend('y1', 'y0', 'y0'),
      ...attend('y2', 'y1', 'y1'),
      ...attend('y3', 'y2', 'y2'),
    ]),
    ['0: joint x1+y1; text ; image ', '1: joint x2+y2; text ; image ', '2: joint y3; text ; image '],
  ],
  'residual sums written the other way round': [
    both([
      'x0 = Concat(t0, i0) axis=1',
      ...attend('x1', 'x0', 'x0'),
      'x1_turned = Add(x1_context, x0)',
      ...attend('x2', 'x1_turned', 'x1_turned'),
      'x2_turned = Add(x2_context, x1_turned)',
      ...attend('x3', 'x2_turned', 'x0'),
    ]),
    ['0: joint x1; text ; image ', '1: joint x2; text ; image ', '2: joint x3; text ; image '],
  ],
  'a stack that asks another one for its size': [
    both([
      'x0 = Concat(t0, i0) axis=1',
      ...attend('x1', 'x0', 'x0'),
      ...attend('x2', 'x1', 'x1'),
      'size = Shape(x2)',
      'y0 = Reshape(x0, size)',
      ...attend('y1', 'y0', 'y0'),
    ]),
    ['0: joint x1+y1; text ; image ', '1: joint x2; text ; image '],
  ],
  'text alone asks, the image never': [
    both([
      ...attend('s0', 't0', 't0'),
      ...attend('t1', 's0', 'i0'),
      ...attend('s1', 't1', 't1'),
      ...attend('t2', 's1', 'i0'),
    ]),
    ['0: joint ; text t1; image ', '1: joint ; text t2; image '],
  ],
};

describe('layers by depth', () => {
  it.each(Object.entries(models))('%s', (_, [model, expected]) => {
    expect(layersOf(model)).toEqual(expected);
    for (const seed of [1, 2, 3, 4]) expect(layersOf(shuffled(model, seed))).toEqual(expected);
  });
});
