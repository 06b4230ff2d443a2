/**
 * What is said of mask elements: held against what ONNX Runtime computes from random masks (a set they come from, axes
 * they do not vary along), and a table of mask spellings of which it must be known, or must not be claimed.
 */
import { describe, expect, it } from 'vitest';
import { contentsOf, isMaskInput } from '../../src/analysis/contents.ts';
import type { Model } from '../../src/graph/model.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { outputsOf } from '../compile/fixtures.ts';
import { randomFrom } from '../reduction/harness.ts';
import { modelOf } from '../support/model-text.ts';

const L = 5;
const values = {
  mask: `i[batch,${L}]`,
  pairs: `i[batch,${L},${L}]`,
  kind: `i[batch,${L}]`,
  pixels: 'f[batch,3,4,4]',
  one: 'f[]:1',
  zero: 'f[]:0',
  izero: 'i[]:0',
  ione: 'i[]:1',
  low: 'f[]:-10000',
  lowest: 'f[]:-3.4028234663852886e+38',
  a1: 'i[1]:1',
  a12: 'i[2]:1,2',
  to4: 'i[4]:0,1,1,-1',
  square: `i[4]:1,1,${L},${L}`,
  table: 'f[10,3]:1',
  baked: `f[1,1,${L},${L}]:${Array.from({ length: L * L }, (_, i) => (i % L > Math.floor(i / L) ? -10000 : 0)).join()}`,
  steps: 'f[1,1,1,5]:0,-10000,0,-10000,-20000',
  ones: `f[1,${L}]:1`,
  izeros: 'i[1]:0',
  ione1: 'i[1]:1',
  flat: 'f[3]:0,-10000,7',
  five: `i[]:${L}`,
  three: 'i[]:3',
  pixel_shown: 'f[batch,4,4]',
  halves: 'f[4]:1,1,0.5,0.5',
};
const nodes = [
  'word = Gather(table, kind) axis=0',
  'float = Cast(mask) to=1',
  'boolean = Cast(mask) to=9',
  'not = Not(boolean)',
  'keys = Unsqueeze(float, a12)',
  'reshaped = Reshape(float, to4)',
  'inverse = Sub(one, keys)',
  'bias = Mul(inverse, low)',
  'twice = Add(bias, bias)',
  'expanded = Expand(bias, square)',
  'condition = Unsqueeze(boolean, a12)',
  'filled = Where(condition, zero, lowest)',
  'wide = Expand(filled, square)',
  'causal = Add(bias, baked)',
  'stepped = Add(bias, steps)',
  'turned = Transpose(expanded) perm=[0,1,3,2]',
  'turned_keys = Transpose(keys) perm=[0,1,3,2]',
  'pairwise = Mul(keys, turned_keys)',
  'row = Slice(float, izeros, ione1, izeros)',
  'beside = Concat(row, ones) axis=1',
  'covered = Unsqueeze(pixel_shown, ione1)',
  'patches = Resize(covered, , halves) mode="nearest" coordinate_transformation_mode="asymmetric" nearest_mode="floor"',
  'smooth = Resize(covered, , halves) mode="linear" coordinate_transformation_mode="half_pixel"',
  'head = Slice(float, izeros, ione1, a1)',
  'equal = Equal(mask, izero)',
  'own_pairs = Cast(pairs) to=1',
  'summed = ReduceSum(float, a1) keepdims=1',
  'scaled = Mul(summed, low)',
  'looked = Gather(flat, mask) axis=0',
  'range = Range(izero, five, ione)',
  'behind = GreaterOrEqual(range, izero)',
  'before = Less(range, izero)',
  'upto = Less(range, three)',
];

const model: Model = modelOf({ values, nodes });
const contents = contentsOf(model);

const exposed = (names: readonly string[], types: ReadonlyMap<string, number>): Model => ({
  ...model,
  graph: { ...model.graph, outputs: names.map((name) => ({ name, type: { dataType: types.get(name) ?? 1 } })) },
});

const made = model.graph.nodes.map((n) => n.outputs[0] ?? '');
const booleans = ['boolean', 'not', 'condition', 'equal', 'behind', 'before', 'upto'];
const types = new Map<string, number>([...booleans.map((name) => [name, 9] as const), ['range', 7]]);

const varies = (tensor: TensorData, axis: number): boolean => {
  const numbers = numbersOf(tensor);
  const size = tensor.dims[axis]!;
  const inner = tensor.dims.slice(axis + 1).reduce((a, b) => a * b, 1);
  return numbers.some((v, i) => v !== numbers[i - (Math.floor(i / inner) % size) * inner]);
};

describe('contents', () => {
  it('hold for every value of random masks', async () => {
    const session = exposed(made, types);
    for (const seed of [1, 2, 3]) {
      const random = randomFrom(seed);
      const bits = (...dims: number[]): TensorData => ({
        dataType: 7,
        dims,
        data: BigInt64Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => BigInt(random.int(0, 1))),
      });
      const feeds = new Map([
        ['mask', bits(3, L)],
        ['pairs', bits(3, L, L)],
        ['kind', bits(3, L)],
        [
          'pixel_shown',
          { dataType: 1, dims: [3, 4, 4], data: Float32Array.from({ length: 48 }, () => random.int(0, 1)) },
        ],
        ['pixels', { dataType: 1, dims: [3, 3, 4, 4], data: new Float32Array(144) }],
      ]);
      const outputs = await outputsOf(session, feeds);
      for (const name of made) {
        const said = contents(name);
        const tensor = outputs.get(name)!;
        if (said === undefined) continue;
        const numbers = numbersOf(tensor);
        expect(said.uniform, name).toHaveLength(tensor.dims.length);
        expect(
          numbers.every((v) => v >= said.atLeast),
          `${name} is at least ${said.atLeast}`,
        ).toBe(true);
        // -3.4e38 is a float32: the set is compared in that precision.
        const among = said.among?.map(Math.fround);
        if (among !== undefined)
          expect(
            numbers.every((v) => among.includes(v)),
            `${name} among ${among.join()}`,
          ).toBe(true);
        said.uniform.forEach(
          (uniform, axis) => uniform && expect(varies(tensor, axis), `${name} along ${axis}`).toBe(false),
        );
      }
    }
  });

  const known: readonly (readonly [string, readonly number[] | undefined, string])[] = [
    // value, what it holds, along which axes it is known not to vary
    ['keys', [0, 1], '.uu.'],
    ['reshaped', [0, 1], '.uu.'],
    ['bias', [-10000, 0], '.uu.'],
    ['expanded', [-10000, 0], '.uu.'],
    ['filled', [-3.4028234663852886e38, 0], '.uu.'],
    ['wide', [-3.4028234663852886e38, 0], '.uu.'],
    ['turned', [-10000, 0], '.u.u'],
    ['twice', [-20000, -10000, 0], '.uu.'],
    ['causal', [-20000, -10000, 0], '.u..'],
    ['stepped', [-30000, -20000, -10000, 0], '.uu.'],
    ['pairwise', [0, 1], '.u..'],
    ['equal', [0, 1], '..'],
    ['own_pairs', [0, 1], '...'],
    ['beside', [0, 1], 'u.'],
    ['looked', [-10000, 0, 7], '..'],
    ['behind', [1], 'u'],
    ['before', [0], 'u'],
    ['upto', [0, 1], '.'],
    ['scaled', undefined, '.u'],
    ['patches', [0, 1], '.u..'],
  ];
  it.each(known)('%s', (name, among, uniform) => {
    const said = contents(name);
    const sorted = said?.among && [...said.among].sort((a, b) => a - b);
    expect(sorted?.map((v) => Math.fround(v))).toEqual(among?.map((v) => Math.fround(v)));
    expect(said?.uniform.map((u) => (u ? 'u' : '.')).join('')).toBe(uniform);
  });

  it('resampling that mixes neighbours makes numbers of its own', () => {
    expect(contents('smooth')?.among).toBeUndefined();
  });

  it('inputs that are looked up or are features are no masks', () => {
    expect(['mask', 'pairs', 'kind', 'pixels'].map((name) => isMaskInput(model, name))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});
