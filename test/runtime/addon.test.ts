/**
 * Sessions of the addon, held against onnxruntime-node's: the same models, metadata and results; every element type;
 * errors instead of crashes; runs beside each other, beside the JavaScript thread and in worker threads.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { onnx } from 'onnx-proto';
import { expect, test } from 'vitest';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { DataType } from '../../src/graph/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { addonBackend } from '../../src/runtime/addon.ts';
import { multiplyAdds } from '../../src/runtime/profile.ts';
import { loadRuntime, type Runtime, type Session } from '../../src/runtime/session.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import { syntheticInputs } from '../../src/validate/synthetic-inputs.ts';
import { describeKernels, kernels } from '../support/kernels.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const vilt = join(root, 'models/vilt-vqa-tiny/model.onnx');

type Size = number | string | null;
const value = (name: string, elemType: number, dims: readonly Size[]) => ({
  name,
  type: {
    tensorType: {
      elemType,
      shape: {
        dim: dims.map((d) => (typeof d === 'number' ? { dimValue: d } : d === null ? {} : { dimParam: d })),
      },
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
const identity = (type: number, dims: readonly Size[]): Uint8Array =>
  model({
    name: 'g',
    node: [{ opType: 'Identity', input: ['x'], output: ['y'] }],
    input: [value('x', type, dims)],
    output: [value('y', type, dims)],
  });
const row = (batch: number, fill = 1): Map<string, TensorData> =>
  new Map([['x', { dataType: DataType.FLOAT, dims: [batch, 3], data: new Float32Array(3 * batch).fill(fill) }]]);

const runtimes = async (): Promise<{ fused: Runtime; portable: Runtime }> => {
  const { runtime: fused, reason } = await loadRuntime('fused');
  if (fused === undefined) throw new Error(reason.message);
  const { runtime: portable } = await loadRuntime();
  if (portable === undefined) throw new Error('onnxruntime-node does not load');
  return { fused, portable };
};
const open = async (bytes: Uint8Array | string, options = {}): Promise<Session> =>
  (await runtimes()).fused.open(bytes, { threads: 1, ...options });
const refusal = async (promise: Promise<unknown>): Promise<{ code: string; message: string }> =>
  promise.then(
    () => ({ code: 'no error', message: '' }),
    (error: unknown) => (error instanceof CompileError ? error.diagnostic : { code: 'other', message: String(error) }),
  );
const feedsOf = (path: string, batch: number): ReadonlyMap<string, TensorData> => {
  const made = syntheticInputs(readModel(path), { batch, text: 12, pixels: 160, regions: 36 });
  if ('cannot' in made) throw new Error(made.cannot);
  return made.feeds;
};

/** Two elements of every type, as it travels. */
const samples: readonly (readonly [string, TensorData])[] = (
  [
    ['float32', DataType.FLOAT, Float32Array.of(-0, 1e-45)],
    ['float64', DataType.DOUBLE, Float64Array.of(0.1, 1e300)],
    ['float16', DataType.FLOAT16, Uint16Array.of(0x3c00, 0xfbff)],
    ['bfloat16', DataType.BFLOAT16, Uint16Array.of(0x3f80, 0xff7f)],
    ['int8', DataType.INT8, Int8Array.of(-128, 127)],
    ['int16', DataType.INT16, Int16Array.of(-32768, 32767)],
    ['int32', DataType.INT32, Int32Array.of(7, -(2 ** 31))],
    ['int64', DataType.INT64, BigInt64Array.of(-1n, 2n ** 60n)],
    ['uint8', DataType.UINT8, Uint8Array.of(7, 255)],
    ['uint16', DataType.UINT16, Uint16Array.of(7, 65535)],
    ['uint32', DataType.UINT32, Uint32Array.of(7, 2 ** 32 - 1)],
    ['uint64', DataType.UINT64, BigUint64Array.of(7n, 2n ** 64n - 1n)],
    ['bool', DataType.BOOL, Uint8Array.of(1, 0)],
  ] as const
).map(([name, dataType, data]) => [name, { dataType, dims: [2], data }]);

describeKernels('what a session carries', () => {
  test.each(samples)('%s, filled, empty and as a scalar', async (_name, x) => {
    const filled = await open(identity(x.dataType, ['n']));
    expect(filled.ops).toBe('fused');
    expect(filled.inputs).toEqual([{ name: 'x', type: { dataType: x.dataType, dims: ['n'] } }]);
    expect((await filled.run(new Map([['x', x]]))).get('y')).toEqual(x);
    const empty = { ...x, dims: [0], data: x.data.slice(0, 0) };
    expect((await filled.run(new Map([['x', empty]]))).get('y')).toEqual(empty);
    await filled.release();
    const single = await open(identity(x.dataType, []));
    const scalar = { ...x, dims: [], data: x.data.slice(1) };
    expect((await single.run(new Map([['x', scalar]]))).get('y')).toEqual(scalar);
    await single.release();
  });

  test('a part of a larger buffer', async () => {
    const session = await open(identity(DataType.FLOAT, ['n']));
    const data = Float32Array.of(1, 2, 3, 4).subarray(1, 3);
    const result = await session.run(new Map([['x', { dataType: DataType.FLOAT, dims: [2], data }]]));
    expect(result.get('y')?.data).toEqual(Float32Array.of(2, 3));
    await session.release();
  });

  test('a batch of none', async () => {
    const session = await open(product);
    expect((await session.run(row(0))).get('y')).toEqual({
      dataType: DataType.FLOAT,
      dims: [0, 2],
      data: new Float32Array(0),
    });
    await session.release();
  });

  test('inputs as they were when run was called', async () => {
    const session = await open(product);
    const feeds = row(2);
    const running = session.run(feeds);
    feeds.get('x')?.data.fill(7 as never);
    expect((await running).get('y')?.data).toEqual(Float32Array.of(9, 12, 9, 12));
    await session.release();
  });
});

describeKernels('like onnxruntime-node', () => {
  const text = identity(DataType.STRING, [2]);
  const list = model({
    name: 'g',
    node: [{ opType: 'SequenceConstruct', input: ['x'], output: ['y'] }],
    input: [value('x', DataType.FLOAT, ['a', null, 3])],
    output: [{ name: 'y', type: { sequenceType: { elemType: value('', DataType.FLOAT, [2]).type } } }],
  });

  test.each([
    ['vilt', vilt],
    ['meter', join(root, 'models/meter-pumer/model.onnx')],
    ['visualbert', join(root, 'models/visualbert-vqa/model.onnx')],
    ['strings', text],
    ['a list, a size without a name', list],
  ])('it tells the inputs and outputs of %s', async (_name, source) => {
    const { fused, portable } = await runtimes();
    const [ours, theirs] = [await fused.open(source), await portable.open(source)];
    expect(ours.inputs).toEqual(theirs.inputs);
    expect(ours.outputs).toEqual(theirs.outputs);
    expect(ours.inputs.length).toBeGreaterThan(0);
    await ours.release();
    await theirs.release();
  });

  test('it is of the same version, and its results are the same to the bit', async () => {
    const { fused, portable } = await runtimes();
    expect(fused.version).toBe(portable.version);
    for (const source of [vilt, new Uint8Array(readFileSync(vilt))]) {
      const [ours, theirs] = [await fused.open(source, { threads: 1 }), await portable.open(source, { threads: 1 })];
      const feeds = feedsOf(vilt, 3);
      expect(await ours.run(feeds)).toEqual(await theirs.run(feeds));
      await ours.release();
      await theirs.release();
    }
  });

  test('it profiles: shapes and multiply-adds of what really ran', async () => {
    const session = await open(product, { profile: true, optimize: 'disabled' });
    const running = session.run(row(5));
    expect(() => session.profile()).toThrow(/while a run is under way/);
    await running;
    const [run, ...others] = session.profile();
    expect(others).toEqual([]);
    expect(run).toMatchObject({ name: 'mm', op: 'MatMul', inputs: [[5, 3]], outputs: [[5, 2]] });
    expect(multiplyAdds(run as NonNullable<typeof run>)).toBe(5 * 3 * 2);
    await session.release();
    expect(session.profile()).toEqual([run]);
  });

  test('what it cannot carry is told', async () => {
    const strings = await open(text);
    const x: TensorData = { dataType: DataType.STRING, dims: [1], data: new Uint8Array(1) };
    expect((await refusal(strings.run(new Map([['x', x]])))).code).toBe('tensor-type-not-carried');
    await strings.release();
    const lists = await open(list);
    const feeds = new Map([['x', { dataType: DataType.FLOAT, dims: [1, 1, 3], data: new Float32Array(3) }]]);
    expect((await refusal(lists.run(feeds))).code).toBe('tensor-type-not-carried');
    await lists.release();
  });
});

describeKernels('errors', () => {
  test('of models', async () => {
    for (const bad of [Uint8Array.of(1, 2, 3), new Uint8Array(0), '/no/such/file.onnx', root])
      expect((await refusal(open(bad))).code).toBe('model-not-loaded');
  });

  const f = DataType.FLOAT;
  const cases: readonly (readonly [string, Record<string, TensorData>, RegExp])[] = [
    ['no input', {}, /input 'x' is missing/],
    ['another name', { y: { dataType: f, dims: [1, 3], data: new Float32Array(3) } }, /input 'x' is missing/],
    ['a wrong length', { x: { dataType: f, dims: [1, 4], data: new Float32Array(4) } }, /invalid dimensions/i],
    ['a wrong rank', { x: { dataType: f, dims: [3], data: new Float32Array(3) } }, /rank/i],
    ['a wrong type', { x: { dataType: DataType.DOUBLE, dims: [1, 3], data: new Float64Array(3) } }, /data type/i],
    ['too few elements', { x: { dataType: f, dims: [2, 3], data: new Float32Array(5) } }, /20 bytes .* fill/],
    ['too many elements', { x: { dataType: f, dims: [1, 3], data: new Float32Array(4) } }, /16 bytes .* fill/],
    ['a length below 0', { x: { dataType: f, dims: [-1, -3], data: new Float32Array(3) } }, /length -1/],
    ['lengths beyond memory', { x: { dataType: f, dims: [2 ** 40, 2 ** 40], data: new Float32Array(0) } }, /fill/],
    ['lengths of nothing', { x: { dataType: f, dims: [0, 2 ** 52], data: new Float32Array(0) } }, /dimensions/i],
  ];
  test.each(cases)('of a run: %s', async (_name, feeds, message) => {
    const session = await open(product);
    const told = await refusal(session.run(new Map(Object.entries(feeds))));
    expect(told.code).toBe('model-not-run');
    expect(told.message).toMatch(message);
    expect((await session.run(row(1))).get('y')?.data).toEqual(Float32Array.of(9, 12));
    await session.release();
  });

  test('of a node while it runs', async () => {
    const session = await open(
      model({
        name: 'g',
        node: [{ opType: 'Gather', input: ['x', 'i'], output: ['y'] }],
        input: [value('x', f, [2]), value('i', DataType.INT64, [1])],
        output: [value('y', f, [1])],
      }),
    );
    const told = await refusal(
      session.run(
        new Map<string, TensorData>([
          ['x', { dataType: f, dims: [2], data: new Float32Array(2) }],
          ['i', { dataType: DataType.INT64, dims: [1], data: BigInt64Array.of(5n) }],
        ]),
      ),
    );
    expect(told).toMatchObject({ code: 'model-not-run' });
    expect(told.message).toMatch(/out of data bounds/);
    await session.release();
  });

  test('of CUDA where its provider is not there', async () => {
    const told = await refusal(open(product, { providers: 'cuda' }));
    // Where CUDA can be had the session opens.
    if (told.code !== 'no error') expect(told).toMatchObject({ code: 'model-not-loaded' });
    if (told.code !== 'no error') expect(told.message).toMatch(/cuda/i);
  });

  test('of a custom-op library that is none', async () => {
    const { addon, runtime } = kernels();
    const opening = addonBackend(addon, runtime, '/no/such/library.so').open(product, {
      optimize: true,
      provider: 'cpu',
    });
    await expect(opening).rejects.toThrow(/no\/such\/library/);
  });

  test('of the addon itself, misused', async () => {
    const { addon, runtime, library } = kernels();
    const any = addon as unknown as Record<string, (...args: unknown[]) => unknown>;
    expect(() => addon.runtime('/no/such/file.so')).toThrow(/no\/such\/file/);
    expect(() => addon.runtime(library)).toThrow(/OrtGetApiBase/);
    expect(() => addon.ops(runtime)).toThrow(/RegisterCustomOps/);
    expect(() => any['runtime']?.()).toThrow(TypeError);
    expect(() => any['open']?.()).toThrow(TypeError);
    expect(() => any['open']?.({ runtime, model: 3 })).toThrow(TypeError);
    expect(() => any['open']?.({ runtime, model: '' })).toThrow(TypeError);
    const session = await addon.open({ runtime, model: product, optimize: true, cuda: false });
    const raw = session as unknown as { run: (x?: unknown) => unknown; constructor: new () => unknown };
    expect(() => new raw.constructor()).toThrow(/made by open/);
    expect(() => raw.run()).toThrow(TypeError);
    expect(() => raw.run([1])).toThrow(TypeError);
    expect(() => raw.run([{ name: 'x' }])).toThrow(TypeError);
    expect(() => raw.run([{ name: 'x', type: 1, dims: ['a'], data: new Float32Array(1) }])).toThrow(TypeError);
    expect(() => raw.run([{ name: 'x', type: 1, dims: [1], data: [1] }])).toThrow(TypeError);
    expect(() => raw.run([{ name: 'x', type: 77, dims: [1], data: new Float32Array(1) }])).toThrow(/type 77/);
    expect(() => raw.run.call({}, [])).toThrow(TypeError);
    session.release();
    session.release();
    expect(() => session.inputs).toThrow(/has been released/);
    expect(() => session.endProfiling()).toThrow(/has been released/);
    expect(() => raw.run([])).toThrow(/has been released/);
  });
});

describeKernels('beside each other', () => {
  test('runs of one session', async () => {
    const session = await open(product);
    const results = await Promise.all(Array.from({ length: 40 }, (_, i) => session.run(row(1 + (i % 3), i))));
    expect(results.map((r) => r.get('y')?.data[1])).toEqual(results.map((_, i) => 12 * i));
    await session.release();
  });

  test('sessions of either kind in one process', async () => {
    const { fused, portable } = await runtimes();
    const sessions = await Promise.all([fused, portable, fused].map((r) => r.open(product)));
    await sessions[0]?.release();
    const rest = await Promise.all(sessions.slice(1).map((s) => s.run(row(1))));
    expect(rest[0]).toEqual(rest[1]);
    await sessions[2]?.release();
    expect(await sessions[1]?.run(row(1))).toEqual(rest[0]);
    await sessions[1]?.release();
  });

  test('the JavaScript thread goes on while a model runs', async () => {
    const session = await open(vilt);
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await session.run(feedsOf(vilt, 32));
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
    await session.release();
  });

  test('a release waits for the runs under way, and nothing runs after it', async () => {
    const session = await open(vilt);
    let ended = false;
    const running = session.run(feedsOf(vilt, 4)).then((result) => {
      ended = true;
      return result;
    });
    const released = session.release();
    expect((await refusal(session.run(new Map()))).code).toBe('session-released');
    await released;
    expect(ended).toBe(true);
    expect((await running).get('logits')?.dims).toEqual([4, 37]);
    await session.release();
  });
});

/** For a worker thread: opens the model, reports, and runs it until it is told to stop or ended. */
const inWorker = `
  const { parentPort, workerData } = require('node:worker_threads');
  const addon = require(workerData.addon);
  const x = { name: 'x', type: 1, dims: [1, 3], data: Float32Array.of(1, 1, 1) };
  let isStopped = false;
  parentPort.once('message', () => (isStopped = true));
  const work = async () => {
    const session = await addon.open({ ...workerData, optimize: true, cuda: false });
    let results = await session.run([x]);
    parentPort.postMessage('runs');
    while (!isStopped) [results] = await Promise.all([session.run([x]), session.run([x])]);
    session.release();
    parentPort.postMessage(new Float32Array(results[0].data));
  };
  work();
`;

describeKernels('in worker threads', () => {
  const start = async (): Promise<{ worker: Worker; next: () => Promise<unknown> }> => {
    const { library, runtime } = kernels();
    const workerData = { addon: join(library, '..', 'pumer_node.node'), runtime, model: product };
    const worker = new Worker(inWorker, { eval: true, workerData });
    const next = (): Promise<unknown> =>
      new Promise((resolve, reject) => {
        worker.once('message', resolve);
        worker.once('error', reject);
      });
    expect(await next()).toBe('runs');
    return { worker, next };
  };

  test('two at a time', async () => {
    const workers = await Promise.all([start(), start()]);
    const results = await Promise.all(
      workers.map(({ worker, next }) => {
        const result = next();
        worker.postMessage('stop');
        return result;
      }),
    );
    expect(results).toEqual([Float32Array.of(9, 12), Float32Array.of(9, 12)]);
  });

  test('ended in the middle of runs, again and again, and this thread goes on', async () => {
    const session = await open(product);
    for (let i = 0; i < 8; i++) {
      const workers = await Promise.all([start(), start()]);
      await sleep(i);
      await Promise.all(workers.map(({ worker }) => worker.terminate()));
      expect((await session.run(row(1))).get('y')?.data).toEqual(Float32Array.of(9, 12));
    }
    await session.release();
  });
});
