/** Sessions run models, and profiles tell what ran. */
import { onnx } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { DataType } from '../../src/graph/model.ts';
import { multiplyAdds } from '../../src/runtime/profile.ts';
import { loadRuntime, type Runtime } from '../../src/runtime/session.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';

const value = (name: string, elemType: number, dims: (number | string)[]) => ({
  name,
  type: {
    tensorType: {
      elemType,
      shape: { dim: dims.map((d) => (typeof d === 'number' ? { dimValue: d } : { dimParam: d })) },
    },
  },
});
const bytesOf = (array: ArrayBufferView) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const model = (graph: onnx.IGraphProto): Uint8Array =>
  onnx.ModelProto.encode({ irVersion: 8, opsetImport: [{ domain: '', version: 17 }], graph }).finish();

/** y = x w with x [batch, 3] and w [3, 2]. */
const product = model({
  name: 'g',
  node: [{ opType: 'MatMul', name: 'mm', input: ['x', 'w'], output: ['y'] }],
  input: [value('x', DataType.FLOAT, ['batch', 3])],
  output: [value('y', DataType.FLOAT, ['batch', 2])],
  initializer: [{ name: 'w', dataType: 1, dims: [3, 2], rawData: bytesOf(Float32Array.of(1, 2, 3, 4, 5, 6)) }],
});
const identity = (type: number): Uint8Array =>
  model({
    name: 'g',
    node: [{ opType: 'Identity', input: ['x'], output: ['y'] }],
    input: [value('x', type, [2])],
    output: [value('y', type, [2])],
  });

const runtime = async (): Promise<Runtime> => {
  const load = await loadRuntime();
  if (load.runtime === undefined) throw new Error(load.reason.message);
  return load.runtime;
};
const refusal = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: unknown) => (error instanceof CompileError ? error.diagnostic.code : String(error)),
  );

describe('session', () => {
  it('runs a model and tells its inputs and outputs', async () => {
    const session = await (await runtime()).open(product, { threads: 1 });
    expect(session.inputs).toEqual([{ name: 'x', type: { dataType: DataType.FLOAT, dims: ['batch', 3] } }]);
    const x: TensorData = { dataType: DataType.FLOAT, dims: [1, 3], data: Float32Array.of(1, 1, 1) };
    const result = await session.run(new Map([['x', x]]));
    expect(result.get('y')).toEqual({ dataType: DataType.FLOAT, dims: [1, 2], data: Float32Array.of(9, 12) });
    await session.release();
  });

  it('carries every numeric type both ways', async () => {
    const cases: TensorData[] = [
      { dataType: DataType.FLOAT16, dims: [2], data: Uint16Array.of(0x3c00, 0xfbff) },
      { dataType: DataType.INT64, dims: [2], data: BigInt64Array.of(-1n, 2n ** 60n) },
      { dataType: DataType.BOOL, dims: [2], data: Uint8Array.of(1, 0) },
      { dataType: DataType.DOUBLE, dims: [2], data: Float64Array.of(0.1, 1e300) },
      { dataType: DataType.UINT8, dims: [2], data: Uint8Array.of(7, 255) },
      { dataType: DataType.INT32, dims: [2], data: Int32Array.of(7, -255) },
    ];
    for (const x of cases) {
      const session = await (await runtime()).open(identity(x.dataType));
      expect((await session.run(new Map([['x', x]]))).get('y')).toEqual(x);
      await session.release();
    }
  });

  it('profiles: shapes and multiply-adds of what really ran', async () => {
    const session = await (await runtime()).open(product, { profile: true, optimize: 'disabled' });
    const x: TensorData = { dataType: DataType.FLOAT, dims: [5, 3], data: new Float32Array(15) };
    await session.run(new Map([['x', x]]));
    const [run, ...others] = session.profile();
    expect(others).toEqual([]);
    expect(run).toMatchObject({ name: 'mm', op: 'MatMul', inputs: [[5, 3]], outputs: [[5, 2]] });
    expect(multiplyAdds(run as NonNullable<typeof run>)).toBe(5 * 3 * 2);
    expect(session.profile()).toEqual([run]);
    await session.release();
  });

  it('refuses broken models and wrong feeds with its own errors', async () => {
    const ort = await runtime();
    expect(await refusal(ort.open(Uint8Array.of(1, 2, 3)))).toBe('model-not-loaded');
    expect(await refusal(ort.open('/no/such/file.onnx'))).toBe('model-not-loaded');
    const session = await ort.open(product);
    const wrong: TensorData = { dataType: DataType.FLOAT, dims: [1, 4], data: new Float32Array(4) };
    expect(await refusal(session.run(new Map([['x', wrong]])))).toBe('model-not-run');
    expect(await refusal(session.run(new Map()))).toBe('model-not-run');
    await session.release();
  });

  it('counts multiply-adds of Gemm with a transposed input', () => {
    const run = {
      name: '',
      op: 'Gemm',
      inputs: [
        [4, 7],
        [4, 9],
      ],
      outputs: [[7, 9]],
      microseconds: 0,
    };
    expect(multiplyAdds(run)).toBe(4 * 7 * 9);
    expect(multiplyAdds({ ...run, op: 'Add' })).toBe(0);
  });
});
