/**
 * What is said of masks behind casts and quantisers: the very numbers ONNX Runtime computes, saturation and rounding
 * included; and that ids looked up in a quantised table are not taken for a mask.
 */
import { describe, expect, it } from 'vitest';
import { contentsOf, isMaskInput } from '../../src/analysis/contents.ts';
import { DataType } from '../../src/graph/model.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { outputsOf } from '../compile/fixtures.ts';
import { modelOf } from '../support/model-text.ts';

const values = {
  mask: 'i[batch,4]',
  ids: 'i[batch,4]',
  one: 'f[]:1',
  lowest: 'f[]:-3.4028234663852886e+38',
  few: 'f[]:-10000',
  odd: 'f[]:2.5',
  huge: 'f[]:1.3344406e+36',
  whole: 'f[]:1',
  sixth: 'f[]:0.159083',
  half: 'f[]:0.5',
  u0: 'u[]:0',
  u122: 'u[]:122',
  c0: 'c[]:0',
  c127: 'c[]:127',
  s0: 's[]:0',
  table: 'c[9,3]:1',
};
const hidden = ['float = Cast(mask) to=1', 'inverse = Sub(one, float)'];
const there = (x: string, scale: string, zero: string, domain = ''): string[] => [
  `q = ${domain}QuantizeLinear(${x}, ${scale}, ${zero})`,
  `y = ${domain}DequantizeLinear(q, ${scale}, ${zero})`,
];
const cases: Readonly<Record<string, readonly [readonly string[], readonly number[]]>> = {
  'calibrated on padding': [
    ['x = Mul(inverse, lowest)', ...there('x', 'huge', 'c127')],
    [0, Math.fround(-255 * Math.fround(1.3344406e36))],
  ],
  'calibrated without padding, uint8: nothing is hidden': [
    ['x = Mul(inverse, lowest)', ...there('x', 'whole', 'u0')],
    [0],
  ],
  'calibrated without padding, int8': [
    ['x = Mul(inverse, lowest)', ...there('x', 'whole', 'c0')],
    [0, -128],
  ],
  'cut off at the range of scores': [
    ['x = Mul(inverse, few)', ...there('x', 'sixth', 'u122')],
    [0, Math.fround(-122 * Math.fround(0.159083))],
  ],
  '16 bits': [
    ['x = Mul(inverse, few)', ...there('x', 'whole', 's0', 'com.microsoft.')],
    [0, -10000],
  ],
  'halves go to even': [
    ['x = Mul(inverse, odd)', ...there('x', 'whole', 'c0')],
    [0, 2],
  ],
  'halves go to even, upwards': [
    ['x = Mul(inverse, odd)', 'z = Add(x, one)', ...there('z', 'whole', 'c0')],
    [1, 4],
  ],
  'float16 has no such number': [
    ['x = Mul(inverse, lowest)', 'h = Cast(x) to=10', 'y = Cast(h) to=1'],
    [0, -Infinity],
  ],
};

describe('masks behind quantisers', () => {
  it.each(Object.entries(cases))('%s', async (_, [nodes, expected]) => {
    const model = modelOf({ values, nodes: [...hidden, ...nodes] });
    const among = contentsOf(model)('y')?.among;
    expect([...(among ?? [])].sort()).toEqual([...expected].sort());
    const feeds = new Map<string, TensorData>([
      ['mask', { dataType: DataType.INT64, dims: [1, 4], data: BigInt64Array.of(1n, 1n, 0n, 0n) }],
      ['ids', { dataType: DataType.INT64, dims: [1, 4], data: BigInt64Array.of(1n, 2n, 3n, 4n) }],
    ]);
    const outputs = [{ name: 'y', type: { dataType: DataType.FLOAT } }];
    const y = (await outputsOf({ ...model, graph: { ...model.graph, outputs } }, feeds)).get('y') as TensorData;
    expect(new Set([...numbersOf(y)].map(Number))).toEqual(new Set(expected));
  });

  it('ids of a table behind a dequantisation are no mask', () => {
    const nodes = ['rows = DequantizeLinear(table, half, c0)', 'y = Gather(rows, ids)'];
    const model = modelOf({ values, nodes });
    expect(isMaskInput(model, 'ids')).toBe(false);
    expect(isMaskInput(model, 'mask')).toBe(true);
  });
});
