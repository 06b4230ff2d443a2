/** Reads and writes npz files, and refuses what it must not unpickle. */
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { DataType } from '../../src/graph/model.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { readNpy, readNpz, tensorOf, writeNpz, type NpyArray } from '../../src/runtime/npz.ts';
import { elementsOf, numbersOf } from '../../src/runtime/tensor-data.ts';
import { numberToHalf } from '../../src/graph/tensors.ts';

const npy = (header: string, data: readonly number[], version = 1): Uint8Array => {
  const text = new TextEncoder().encode(header);
  const size = version === 1 ? [text.length & 255, text.length >> 8] : [text.length & 255, text.length >> 8, 0, 0];
  return Uint8Array.from([0x93, ...new TextEncoder().encode('NUMPY'), version, 0, ...size, ...text, ...data]);
};
const header = (descr: string, shape: string, fortran = false): string =>
  `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': ${shape}, }\n`;
const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof CompileError) return error.diagnostic.code;
    throw error;
  }
  return 'no error';
};
const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

describe('npz', () => {
  it('reads what it writes, for every type', () => {
    const arrays = new Map<string, NpyArray>([
      ['f4', { dtype: DataType.FLOAT, dims: [2, 2], bytes: bytesOf(Float32Array.of(1, -2.5, 3, Infinity)) }],
      ['f8', { dtype: DataType.DOUBLE, dims: [1], bytes: bytesOf(Float64Array.of(Math.PI)) }],
      ['f2', { dtype: DataType.FLOAT16, dims: [2], bytes: bytesOf(Uint16Array.of(0x3c00, 0xc000)) }],
      ['i8', { dtype: DataType.INT64, dims: [], bytes: bytesOf(BigInt64Array.of(-7n)) }],
      ['u8', { dtype: DataType.UINT64, dims: [0, 3], bytes: new Uint8Array(0) }],
      ['i1', { dtype: DataType.INT8, dims: [2], bytes: bytesOf(Int8Array.of(-1, 1)) }],
      ['b', { dtype: DataType.BOOL, dims: [2], bytes: Uint8Array.of(1, 0) }],
      ['name.with.dots', { dtype: DataType.INT32, dims: [1, 1, 1], bytes: bytesOf(Int32Array.of(9)) }],
    ]);
    const bytes = writeNpz(arrays);
    expect(readNpz(bytes)).toEqual(arrays);
    expect(writeNpz(arrays)).toEqual(bytes);
    expect(numbersOf(tensorOf(arrays.get('f2') as NpyArray))).toEqual([1, -2]);
    expect(numbersOf(tensorOf(arrays.get('i8') as NpyArray))).toEqual([-7]);
  });

  it('turns Fortran order and big-endian into row-major little-endian', () => {
    const fortran = readNpy(npy(header('|i1', '(2, 3)', true), [1, 4, 2, 5, 3, 6]), 'a');
    expect([...fortran.bytes]).toEqual([1, 2, 3, 4, 5, 6]);
    const cube = readNpy(npy(header('|i1', '(2, 1, 2)', true), [1, 3, 2, 4]), 'a');
    expect([...cube.bytes]).toEqual([1, 2, 3, 4]);
    const big = readNpy(npy(header('>i2', '(2,)'), [0, 1, 255, 254]), 'a');
    expect(numbersOf(tensorOf(big))).toEqual([1, -2]);
    expect(readNpy(npy(header('|u1', '()'), [8], 2), 'a')).toMatchObject({ dims: [], dtype: DataType.UINT8 });
  });

  it('reads elements from any place in a buffer', () => {
    const buffer = Buffer.from([0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9]);
    expect([...(elementsOf(DataType.INT64, buffer.subarray(3, 11)) ?? [])]).toEqual([7n]);
    expect(elementsOf(DataType.STRING, buffer)).toBeUndefined();
  });

  it('refuses what it cannot or must not read', () => {
    expect(codeOf(() => readNpy(npy(header('|O', '(1,)'), [0]), 'a'))).toBe('npy-object-array');
    expect(codeOf(() => readNpy(npy(header('<U4', '(1,)'), [0]), 'a'))).toBe('npy-unsupported-type');
    expect(codeOf(() => readNpy(npy(header('<c8', '(1,)'), [0]), 'a'))).toBe('npy-unsupported-type');
    const record = `{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,), }\n`;
    expect(codeOf(() => readNpy(npy(record, [0, 0, 0, 0]), 'a'))).toBe('npy-unsupported-type');
    expect(codeOf(() => readNpy(npy(header('<f4', '(2,)'), [0, 0, 0, 0]), 'a'))).toBe('npy-unreadable');
    expect(codeOf(() => readNpy(npy(header('<f4', '(-2,)'), []), 'a'))).toBe('npy-unreadable');
    expect(codeOf(() => readNpy(new Uint8Array(4), 'a'))).toBe('npy-unreadable');
    expect(codeOf(() => readNpz(Uint8Array.of(1, 2, 3)))).toBe('npz-unreadable');
    expect(readNpz(zipSync({ 'readme.txt': new Uint8Array(3) })).size).toBe(0);
  });

  it('rounds numbers to float16 as the hardware does', () => {
    const cases: [number, number][] = [
      [0, 0],
      [-0, 0x8000],
      [1, 0x3c00],
      [65504, 0x7bff],
      [65519, 0x7bff],
      [65520, 0x7c00],
      [-Infinity, 0xfc00],
      [2 ** -24, 1],
      [2 ** -25, 0],
      [3 * 2 ** -25, 2],
      [1 + 2 ** -11, 0x3c00],
      [1 + 3 * 2 ** -11, 0x3c02],
      [2 - 2 ** -12, 0x4000],
      [2 ** -14 - 2 ** -26, 0x0400],
    ];
    for (const [value, half] of cases) expect([value, numberToHalf(value)]).toEqual([value, half]);
    for (let half = 0; half < 0x7c00; half++) {
      const [value] = numbersOf({ dataType: DataType.FLOAT16, dims: [1], data: Uint16Array.of(half) });
      if (numberToHalf(value as number) !== half) expect([half, value]).toBe('round trip');
    }
  });
});
