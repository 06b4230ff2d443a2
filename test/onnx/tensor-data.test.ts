/** Tensor data as raw bytes, from every field ONNX may keep it in. */
import { onnx } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { readNumbers } from '../../src/graph/tensors.ts';
import type { Tensor } from '../../src/graph/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import { field, fixed32, message, number, refusal, text } from './models.ts';

/** The tensor as the only initializer of a model. */
const read = (tensor: Uint8Array): Tensor => {
  const bytes = message(number(1, 8), field(7, field(5, tensor)), field(8, number(2, 17)));
  const before = readModel(bytes);
  const after = readModel(encodeModel(before));
  const [one] = before.graph.constants.values();
  const [two] = after.graph.constants.values();
  if (one === undefined || two === undefined) throw new Error('no tensor');
  if (two.payload.length !== one.payload.length) throw new Error('the round trip changed the length');
  return two;
};

const encoded = (proto: onnx.ITensorProto): Uint8Array => onnx.TensorProto.encode(proto).finish();

const { FLOAT, INT64, INT32, UINT8, INT8, BOOL, FLOAT16, BFLOAT16, DOUBLE, UINT64, UINT32, UINT16 } =
  onnx.TensorProto.DataType;

describe.each([2, 600])('%i elements', (n) => {
  const list = (at: (i: number) => number): number[] => Array.from({ length: n }, (_, i) => at(i));
  const sign = list((i) => (i % 2 === 0 ? i % 100 : -(i % 100)));

  it.each([
    ['float_data', { dataType: FLOAT, floatData: list((i) => i / 4) }, list((i) => i / 4)],
    ['double_data', { dataType: DOUBLE, doubleData: list((i) => i / 3) }, list((i) => i / 3)],
    ['int64_data', { dataType: INT64, int64Data: sign.map((v) => v * 1e12) }, sign.map((v) => v * 1e12)],
    ['uint64_data', { dataType: UINT64, uint64Data: list((i) => i * 1e9) }, list((i) => i * 1e9)],
    [
      'uint64_data of uint32',
      { dataType: UINT32, uint64Data: list((i) => 4294967295 - i) },
      list((i) => 4294967295 - i),
    ],
    ['int32_data', { dataType: INT32, int32Data: sign }, sign],
    ['int32_data of int8', { dataType: INT8, int32Data: sign }, sign],
    ['int32_data of uint8', { dataType: UINT8, int32Data: list((i) => i % 256) }, list((i) => i % 256)],
    ['int32_data of uint16', { dataType: UINT16, int32Data: list((i) => 65535 - i) }, list((i) => 65535 - i)],
    ['int32_data of bool', { dataType: BOOL, int32Data: list((i) => i % 2) }, list((i) => i % 2)],
    ['int32_data of float16', { dataType: FLOAT16, int32Data: list(() => 0x3c00) }, list(() => 1)],
    ['int32_data of bfloat16', { dataType: BFLOAT16, int32Data: list(() => 0x3f80) }, list(() => 1)],
  ])('%s', (_, proto, expected) => {
    const tensor = read(encoded({ name: 't', dims: [n], ...proto }));
    expect(tensor.payload.read().length).toBe(tensor.payload.length);
    expect(readNumbers(tensor)).toEqual(expected);
  });

  it('float_data written one by one', () => {
    const items = list((i) => i).flatMap(() => [...fixed32(4, [0, 0, 0x80, 0x3f])]);
    expect(readNumbers(read(message(number(1, n), number(2, FLOAT), items)))).toEqual(list(() => 1));
  });

  it('int64_data written one by one, in two numbers of bytes', () => {
    const items = list((i) => i).flatMap((i) => [...number(7, 300, i % 3)]);
    expect(readNumbers(read(message(number(1, n), number(2, INT64), items)))).toEqual(list(() => 300));
  });

  it('int32_data of int4, two to a byte', () => {
    const half = n / 2;
    const tensor = read(
      message(
        number(1, n),
        number(2, 22),
        field(
          5,
          Array.from({ length: half }, () => 0x21),
        ),
      ),
    );
    expect([...tensor.payload.read()]).toEqual(Array.from({ length: half }, () => 0x21));
  });
});

describe('what has no raw form', () => {
  it.each([
    ['strings', message(number(1, 1), number(2, 8), field(6, text('a'))), /strings/],
    ['too few values', message(number(1, 3), number(2, 1), field(4, [0, 0, 0, 0])), /4 bytes where its shape needs 12/],
    ['no values', message(number(1, 3), number(2, 1)), /has none/],
    [
      'two forms at once',
      message(number(1, 2), number(2, 1), field(4, [0, 0, 0, 0]), fixed32(4, [0, 0, 0, 0])),
      /two ways/,
    ],
  ])('%s', (_, tensor, reason) => {
    const diagnostic = refusal(() => read(message(tensor, field(8, text('t')))).payload.read());
    expect(diagnostic).toMatchObject({ code: 'tensor-unreadable', at: { value: 't' } });
    expect(diagnostic.message).toMatch(reason);
  });

  it('an empty tensor has no bytes and is read', () => {
    expect(read(message(number(1, 0), number(2, 1))).payload.read().length).toBe(0);
  });
});
