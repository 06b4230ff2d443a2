/**
 * Where lanes are born and how labels travel: through reshapes that merge or split axes, transpositions, joins and
 * cuts, with fixed and with open lengths; which operators report what about token axes.
 */
import { describe, expect, it } from 'vitest';
import { axisText, isLabelled } from '../../src/analysis/labels.ts';
import type { LaneHints } from '../../src/analysis/lane-births.ts';
import { lanesAfter, lanesOf } from '../../src/analysis/lanes.ts';
import { constDim } from '../../src/analysis/dim.ts';
import type { Model } from '../../src/graph/model.ts';
import { modelOf } from '../support/model-text.ts';

const values = {
  ids: 'i[batch,words]',
  kind: 'i[batch,words]',
  boxes_kind: 'i[batch,36]',
  pixels: 'f[batch,3,16,16]',
  regions: 'f[batch,36,12]',
  table: 'f[20,8]:0.1',
  kinds: 'f[2,8]:0.1',
  filters: 'f[8,3,4,4]:0.1',
  widen: 'f[12,8]:0.1',
  cls: 'f[1,1,8]:0.1',
  dense: 'f[8,8]:0.1',
  rows: 'i[3]:0,8,-1',
  flat: 'i[2]:-1,8',
  back: 'i[3]:-1,16,8',
  heads: 'i[4]:0,0,2,4',
  merged: 'i[3]:0,0,8',
  torn: 'i[4]:0,4,4,8',
  line: 'i[2]:0,-1',
  at0: 'i[]:0',
  at: 'i[1]:3',
  b0: 'i[1]:0',
  b1: 'i[1]:1',
  end: 'i[1]:9000000000000000000',
  two: 'i[1]:2',
  batch_cls: 'i[3]:2,1,8',
  pictures: 'f[batch,2,3,16,16]',
  chosen: 'i[picks]',
  per_row: 'i[batch,picks,8]',
};
const born = [
  'word = Gather(table, ids) axis=0',
  'grid = Conv(pixels, filters) kernel_shape=[4,4] strides=[4,4]',
  'grid_rows = Reshape(grid, rows)',
  'image = Transpose(grid_rows) perm=[0,2,1]',
];
const model = (nodes: readonly string[]): Model => modelOf({ values, nodes: [...born, ...nodes] });
const labels = (m: Model, value: string, hints?: LaneHints): string => {
  const found = lanesOf(m, hints).of(value);
  return found?.some(isLabelled) === true ? found.map(axisText).join(' | ') : 'none';
};

describe('births', () => {
  it('words at their table, patches at the convolution, regions at the input', () => {
    const m = model(['seen = MatMul(regions, widen)']);
    expect(labels(m, 'word')).toBe('batch | text[words] | 8');
    expect(labels(m, 'grid')).toBe('batch | 8 | h(4) | w(4)');
    expect(labels(m, 'image')).toBe('batch | image[16] | 8');
    expect(labels(m, 'seen')).toBe('batch | image[36] | 8');
  });
  it('lookups of kinds take the lane of what they are added to', () => {
    const m = model([
      'seen = MatMul(regions, widen)',
      'k = Gather(kinds, boxes_kind) axis=0',
      'marked = Add(k, seen)',
      'w = Gather(kinds, kind) axis=0',
      'marked_words = Add(word, w)',
    ]);
    expect(labels(m, 'marked')).toBe('batch | image[36] | 8');
    expect(labels(m, 'marked_words')).toBe('batch | text[words] | 8');
    expect(lanesOf(m).events).toEqual([]);
  });
  it('the word of the user: which input is text, which are embeddings', () => {
    const m = model(['w = Gather(kinds, kind) axis=0', 'seen = MatMul(regions, widen)']);
    expect(labels(m, 'w', { textInput: 'ids' })).toBe('none');
    expect(labels(m, 'grid', { imageInput: 'regions' })).toBe('none');
    const embeddings = new Map([['regions', [{ lane: 'image', length: constDim(20) }, { lane: 'text' }] as const]]);
    expect(labels(m, 'seen', { embeddings })).toBe('batch | image[20]+text[16] | 8');
  });
});

describe('labels through reshapes', () => {
  const cases: readonly (readonly [string, readonly string[], string])[] = [
    ['batch and tokens in one axis', ['y = Reshape(image, flat)'], 'batch·image[16] | 8'],
    ['batch and open tokens in one axis', ['y = Reshape(word, flat)'], 'batch·text[words] | 8'],
    ['and through a product of the rows', ['f = Reshape(word, flat)', 'y = MatMul(f, dense)'], 'batch·text[words] | 8'],
    ['and apart again', ['f = Reshape(image, flat)', 'y = Reshape(f, back)'], 'batch | image[16] | 8'],
    ['heads apart', ['r = Reshape(word, heads)', 'y = Transpose(r) perm=[0,2,3,1]'], 'batch | 2 | 4 | text[words]'],
    ['heads together', ['r = Reshape(word, heads)', 'y = Reshape(r, merged)'], 'batch | text[words] | 8'],
    ['tokens and features in one axis', ['y = Reshape(image, line)'], 'batch | image[16]·8'],
    ['tokens torn into a grid', ['y = Reshape(image, torn)'], 'none'],
    [
      'a learned token joins the lane beside it',
      ['c = Expand(cls, batch_cls)', 'y = Concat(c, image) axis=1'],
      '2 | image[17] | 8',
    ],
    ['both lanes side by side', ['y = Concat(word, image) axis=1'], 'batch | text[words]+image[16] | 8'],
    [
      "learned tokens beside two lanes are nobody's",
      ['x = Concat(word, image) axis=1', 'y = Concat(x, cls) axis=1'],
      'batch | text[words]+image[16]+other[1] | 8',
    ],
    [
      'a lane cut out at its borders',
      ['x = Concat(word, image) axis=1', 's = Shape(word)', 'l = Gather(s, b1) axis=0', 'y = Slice(x, l, end, b1)'],
      'batch | image[16] | 8',
    ],
    ['the other one', ['x = Concat(image, word) axis=1', 'y = Slice(x, sixteen, end, b1)'], 'batch | text[words] | 8'],
    ['a column of ones', ['y = Unsqueeze(word, two)'], 'batch | text[words] | 1 | 8'],
    ['two pictures side by side are one lane', ['y = Concat(image, image) axis=1'], 'batch | image[32] | 8'],
    [
      'beside words too, and with learned tokens of their own',
      ['c = Expand(cls, batch_cls)', 'a = Concat(c, image) axis=1', 'y = Concat(word, a, image) axis=1'],
      'batch | text[words]+image[33] | 8',
    ],
    ['patches picked by an input', ['y = Gather(image, chosen) axis=1'], 'batch | image[picks] | 8'],
    ['patches picked per row', ['y = GatherElements(image, per_row) axis=1'], 'batch | image[picks] | 8'],
    ['all tokens but the first', ['y = Slice(image, b1, end, b1)'], 'batch | image[15] | 8'],
    ['one token cut out is no lane', ['y = Slice(image, b0, b1, b1)'], 'none'],
    [
      'several pictures a row, each cut off before its convolution',
      [
        'p = Gather(pictures, at0) axis=1',
        'g = Conv(p, filters) kernel_shape=[4,4] strides=[4,4]',
        'y = Reshape(g, rows)',
      ],
      'batch | 8 | image[16]',
    ],
    ['the lane after a position is read', ['y = Gather(image, at0) axis=1'], 'none'],
  ];
  it.each(cases)('%s', (_, nodes, expected) => {
    const m = modelOf({ values: { ...values, sixteen: 'i[1]:16' }, nodes: [...born, ...nodes] });
    expect(labels(m, 'y')).toBe(expected);
  });
});

describe('events', () => {
  const cases: readonly (readonly [string, string, string])[] = [
    ['mixes', 'y = ReduceMean(image) axes=[1]', '1'],
    ['mixes', 'y = ReduceMax(image) axes=[-2] keepdims=0', '1'],
    ['mixes', 'y = Softmax(image) axis=1', '1'],
    ['mixes', 'y = MatMul(grid_rows, image)', '2'],
    ['mixes', 'y = LayerNormalization(grid_rows, scale16) axis=-1', '2'],
    ['lost', 'y = CumSum(image, b1)', '1'],
    ['lost', 'y = Reshape(image, torn)', '1'],
    ['lost', 'y = com.example.Magic(image)', '1'],
    ['lost', 'y = GlobalAveragePool(grid_rows)', '2'],
    ['read', 'y = Gather(image, at0) axis=1', '1'],
    ['read', 'y = Gather(image, at) axis=1', '1'],
    ['read', 'y = Slice(image, b0, two, b1)', '1'],
    ['read', 'y = Split(image) axis=1', '1'],
    ['read', 'y = GatherElements(image, picked) axis=1', '1'],
    ['conflict', 'y = Add(image, sequence16)', ''],
    ['', 'y = Gather(image, at0) axis=2', ''],
    ['', 'y = Slice(image, b0, two, two)', ''],
    ['', 'y = Slice(image, b0, end, b1)', ''],
    ['', 'y = ReduceMean(image) axes=[2]', ''],
    ['', 'y = LayerNormalization(image, scale8) axis=-1', ''],
    ['', 'y = Add(image, cls)', ''],
    ['', 'y = MatMul(image, dense)', ''],
    ['', 'y = Erf(image)', ''],
  ];
  const extra = { scale16: 'f[16]:1', scale8: 'f[8]:1', picked: 'i[batch,1,8]', sequence16: 'f[1,16,8]:0.1' };
  it.each(cases)('%s: %s', (kind, line, axis) => {
    const m = modelOf({ values: { ...values, ...extra }, nodes: [...born, line] });
    // Told that everything behind reads a shortened image, so that meetings with what is not shortened count.
    const last = m.graph.nodes.at(-1)!;
    const uses = last.inputs.flatMap((v, input) =>
      ['image', 'grid_rows'].includes(v) ? [{ node: last, input, lane: 'image' as const, version: 'r' }] : [],
    );
    const events = lanesAfter(m, {}, uses).events;
    expect([...new Set(events.map((e) => e.kind))].join()).toBe(kind);
    if (axis !== '') expect(events.map((e) => e.axis)).toContain(Number(axis));
    for (const event of events) expect(event.node).toBe(last);
  });

  it('labels under a shortening carry its version behind it and nowhere else', () => {
    const m = model(['x = Concat(word, image) axis=1', 'a = Erf(x)', 'b = Erf(a)', 'c = Erf(x)']);
    const [reader] = m.graph.nodes.filter((n) => n.outputs.includes('a'));
    const lanes = lanesAfter(m, {}, [{ node: reader!, input: 0, lane: 'image', version: 'site' }]);
    const text = (value: string): string => axisText(lanes.of(value)?.[1] ?? []);
    expect([text('x'), text('a'), text('b'), text('c')]).toEqual([
      'text[words]+image[16]',
      'text[words]+image[16]*',
      'text[words]+image[16]*',
      'text[words]+image[16]',
    ]);
    expect(axisText(lanes.seenBy(reader!, 'x')?.[1] ?? [])).toBe('text[words]+image[16]*');
  });
});
