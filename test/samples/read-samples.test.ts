/** Sample data in every form users have it, what is refused and how, and which samples run together. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onnx } from 'onnx-proto';
import { zipSync } from 'fflate';
import { afterAll, describe, expect, test } from 'vitest';
import { CompileError, type Diagnostic } from '../../src/diagnostics/diagnostic.ts';
import { DataType, type Model } from '../../src/graph/model.ts';
import { elementCount } from '../../src/graph/tensors.ts';
import { writeNpz, type NpyArray } from '../../src/runtime/npz.ts';
import { numbersOf } from '../../src/runtime/tensor-data.ts';
import { readSamples, type ReadSamplesOptions } from '../../src/samples/read-samples.ts';
import type { SampleBatch, SampleSet } from '../../src/samples/sample-set.ts';
import { modelOf } from '../support/model-text.ts';

const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** `i[2,3]:5` is int64 [2, 3] holding 5, 6, 7, ...; f, h, n and d are float, float16, int32 and double. */
const array = (text: string): NpyArray => {
  const [, type = '', sizes = '', first = '0'] = /^(\w)\[(.*)\](?::(.*))?$/.exec(text) ?? [];
  const dims = sizes === '' ? [] : sizes.split(',').map(Number);
  const numbers = Array.from({ length: elementCount(dims) }, (_, i) => Number(first) + i);
  const [dtype, made] = {
    i: [DataType.INT64, BigInt64Array.from(numbers, BigInt)],
    f: [DataType.FLOAT, Float32Array.from(numbers)],
    n: [DataType.INT32, Int32Array.from(numbers)],
    d: [DataType.DOUBLE, Float64Array.from(numbers)],
    h: [DataType.FLOAT16, Uint16Array.from(numbers)],
  }[type] as [DataType, ArrayBufferView];
  return { dtype, dims, bytes: bytesOf(made) };
};

type Arrays = Readonly<Record<string, string>>;
const npz = (arrays: Arrays): Uint8Array =>
  writeNpz(new Map(Object.entries(arrays).map(([name, text]) => [name, array(text)])));

const pb = (text: string, name = ''): Uint8Array => {
  const { dtype, dims, bytes } = array(text);
  return onnx.TensorProto.encode({ dataType: dtype, dims: [...dims], rawData: bytes, name }).finish();
};

/** A folder with these files. */
const folderWith = (files: Readonly<Record<string, Uint8Array | string>>): string => {
  const folder = mkdtempSync(join(tmpdir(), 'pumer-samples-'));
  folders.push(folder);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
};

const model = (values: Arrays, outputs: readonly string[] = ['logits']): Model => {
  const made = modelOf({ values, nodes: [] });
  return { ...made, graph: { ...made.graph, outputs: outputs.map((name) => ({ name })) } };
};

const vqa = model({ ids: 'i[batch,sequence]', pixels: 'f[batch,3]' });

const all = ({ count }: SampleSet): number[] => Array.from({ length: count }, (_, i) => i);
const values = (batch: SampleBatch, name: string): number[] => {
  const tensor = batch.feeds.get(name);
  if (tensor === undefined) throw new Error(`no ${name}`);
  return numbersOf(tensor);
};

const refusal = async (path: string, of: Model = vqa, options: ReadSamplesOptions = {}): Promise<Diagnostic> => {
  const error: unknown = await readSamples(path, of, options).catch((e: unknown) => e);
  if (error instanceof CompileError) return error.diagnostic;
  throw error instanceof Error ? error : new Error('nothing was refused');
};

describe('a folder of .npz', () => {
  const data = folderWith({
    'b-10.npz': npz({ ids: 'i[2,4]:100', pixels: 'f[2,3]:200', labels: 'n[2]:7' }),
    'b-2.npz': npz({ pixels: 'f[3,3]', ids: 'i[3,4]', labels: 'n[3]' }),
    'b-11.npz': npz({ ids: 'i[1,5]:50', pixels: 'f[1,3]:60', labels: 'n[1]:9' }),
    'notes.txt': 'not looked at',
  });

  test('files in the order of their numbers, samples by file and row', async () => {
    const set = await readSamples(data, vqa);
    expect(set).toMatchObject({ count: 6, labelled: true, recorded: false });
    expect(all(set).map(set.nameOf)).toEqual([
      'b-2.npz[0]',
      'b-2.npz[1]',
      'b-2.npz[2]',
      'b-10.npz[0]',
      'b-10.npz[1]',
      'b-11.npz',
    ]);
  });

  test('rows whose sizes agree run together, across files', async () => {
    const set = await readSamples(data, vqa);
    const batches = set.batches(all(set), 4);
    expect(batches.map(({ samples }) => samples)).toEqual([[0, 1, 2, 3], [4], [5]]);
    const [first, second, last] = batches as [SampleBatch, SampleBatch, SampleBatch];
    expect(first.feeds.get('ids')?.dims).toEqual([4, 4]);
    expect(values(first, 'ids')).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 100, 101, 102, 103]);
    expect(values(first, 'pixels').slice(-3)).toEqual([200, 201, 202]);
    expect(first.labels).toMatchObject({ dims: [4], data: Int32Array.of(0, 1, 2, 7) });
    expect(values(second, 'pixels')).toEqual([203, 204, 205]);
    expect(last.feeds.get('ids')?.dims).toEqual([1, 5]);
  });

  test('any samples, in any order: every row keeps its own', async () => {
    const set = await readSamples(data, vqa);
    const whole = new Map(set.batches(all(set), 1).map((batch) => [batch.samples[0], batch]));
    expect(set.batches([4, 0, 2], 8).map(({ samples }) => samples)).toEqual([[0, 2, 4]]);
    for (const rows of [1, 2, 5, Infinity])
      for (const batch of set.batches([5, 4, 0, 2], rows)) {
        const ids = values(batch, 'ids');
        const size = ids.length / batch.samples.length;
        for (const [i, sample] of batch.samples.entries())
          expect(ids.slice(i * size, (i + 1) * size)).toEqual(values(whole.get(sample) as SampleBatch, 'ids'));
      }
  });

  test('a limit: later files are not even opened', async () => {
    const broken = folderWith({ 'a.npz': npz({ ids: 'i[2,4]', pixels: 'f[2,3]' }), 'b.npz': 'no archive' });
    const set = await readSamples(broken, vqa, { limit: 2 });
    expect(set.count).toBe(2);
    expect((await readSamples(data, vqa, { limit: 4 })).count).toBe(4);
    expect((await refusal(broken, vqa, { limit: 3 })).code).toBe('npz-unreadable');
  });

  test('an interrupt is heard', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(readSamples(data, vqa, { signal })).rejects.toThrow('enough');
  });
});

describe('one .npz', () => {
  test('of the rank of the model: rows', async () => {
    const data = folderWith({ 'all.npz': npz({ ids: 'i[3,4]', pixels: 'f[3,3]' }) });
    const set = await readSamples(join(data, 'all.npz'), vqa);
    expect(set).toMatchObject({ count: 3, labelled: false });
    expect(set.nameOf(2)).toBe('all.npz[2]');
  });

  test('of one rank more: a feed for each index', async () => {
    const data = folderWith({ 'all.npz': npz({ ids: 'i[3,1,4]', pixels: 'f[3,1,3]', labels: 'i[3]:5' }) });
    const set = await readSamples(join(data, 'all.npz'), vqa);
    expect(set).toMatchObject({ count: 3, labelled: true });
    expect(set.nameOf(2)).toBe('all.npz[2]');
    const [batch] = set.batches([1, 2], 8) as [SampleBatch];
    expect(batch.feeds.get('ids')?.dims).toEqual([2, 4]);
    expect(values(batch, 'ids')).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    expect(batch.labels?.data).toEqual(Int32Array.of(6, 7));
  });

  test('soft scores', async () => {
    const scores = async (labels: string, ids = 'i[2,4]', pixels = 'f[2,3]'): Promise<unknown> => {
      const data = folderWith({ 'all.npz': npz({ ids, pixels, labels }) });
      const set = await readSamples(join(data, 'all.npz'), vqa);
      return set.batches([1], 1)[0]?.labels;
    };
    const wanted = { dataType: DataType.DOUBLE, dims: [1, 3], data: Float64Array.of(3, 4, 5) };
    expect(await scores('f[2,3]')).toEqual(wanted);
    expect(await scores('i[2,3]')).toEqual(wanted);
    expect(await scores('d[2,3]', 'i[2,1,4]', 'f[2,1,3]')).toEqual(wanted);
  });
});

describe('test_data_set folders', () => {
  const gold = {
    'test_data_set_10/input_0.pb': pb('i[1,4]:40'),
    'test_data_set_10/input_1.pb': pb('f[1,3]'),
    'test_data_set_10/output_0.pb': pb('f[1,2]:8'),
    'test_data_set_2/input_0.pb': pb('f[2,3]', 'pixels'),
    'test_data_set_2/input_1.pb': pb('i[2,4]:20', 'ids'),
    'test_data_set_2/output_0.pb': pb('f[2,2]'),
    'model.onnx': 'not looked at',
  };

  test('by number or by name, with recorded outputs, as they were recorded', async () => {
    const folder = folderWith(gold);
    const set = await readSamples(folder, vqa);
    expect(set).toMatchObject({ count: 3, recorded: true, labelled: false });
    expect(all(set).map(set.nameOf)).toEqual(['test_data_set_2[0]', 'test_data_set_2[1]', 'test_data_set_10']);
    const batches = set.batches(all(set), Infinity);
    expect(batches.map(({ samples }) => samples)).toEqual([[0, 1], [2]]);
    expect(batches.map((batch) => values(batch, 'ids')[0])).toEqual([20, 40]);
    expect(batches.map((batch) => [...(batch.recorded?.get('logits')?.data ?? [])])).toEqual([
      [0, 1, 2, 3],
      [8, 9],
    ]);
    const [row] = set.batches([1], 1) as [SampleBatch];
    expect(row.recorded?.get('logits')).toMatchObject({ dims: [1, 2], data: Float32Array.of(2, 3) });
  });

  test('the folder of one set itself', async () => {
    const set = await readSamples(join(folderWith(gold), 'test_data_set_10'), vqa);
    expect(set.nameOf(0)).toBe('test_data_set_10');
  });

  test('weights among the inputs are counted or not, as the files are', async () => {
    const old = model({ w: 'f[2]:1,2', ids: 'i[batch,4]' });
    const listed: Model = {
      ...old,
      graph: {
        ...old.graph,
        inputs: [{ name: 'w', type: { dataType: DataType.FLOAT, dims: [2] } }, ...old.graph.inputs],
      },
    };
    const without = await readSamples(folderWith({ 'test_data_set_0/input_0.pb': pb('i[1,4]') }), listed);
    expect([...(without.batches([0], 1)[0]?.feeds.keys() ?? [])]).toEqual(['ids']);
    const files = { 'test_data_set_0/input_0.pb': pb('f[2]'), 'test_data_set_0/input_1.pb': pb('i[1,4]') };
    const withThem = await readSamples(folderWith(files), listed);
    expect([...(withThem.batches([0], 1)[0]?.feeds.keys() ?? [])]).toEqual(['w', 'ids']);
  });

  test('every field a tensor may keep its numbers in', async () => {
    const proto = (fields: onnx.ITensorProto): Uint8Array => onnx.TensorProto.encode(fields).finish();
    const set = await readSamples(
      folderWith({
        'test_data_set_0/input_0.pb': proto({ dataType: DataType.INT64, dims: [1, 2], int64Data: [7, -1] }),
        'test_data_set_0/input_1.pb': proto({ dataType: DataType.FLOAT, dims: [1, 3], floatData: [1, 2, 0.5] }),
      }),
      vqa,
    );
    const [batch] = set.batches([0], 1) as [SampleBatch];
    expect(values(batch, 'ids')).toEqual([7, -1]);
    expect(values(batch, 'pixels')).toEqual([1, 2, 0.5]);
  });
});

describe('what a sample is', () => {
  const samplesOf = async (of: Model, files: Readonly<Record<string, Arrays>>): Promise<string[][]> => {
    const packed = Object.entries(files).map(([name, arrays]) => [name, npz(arrays)] as const);
    const set = await readSamples(folderWith(Object.fromEntries(packed)), of);
    return set.batches(all(set), 8).map(({ samples }) => samples.map(set.nameOf));
  };

  test('a model of one row: rows one by one', async () => {
    const one = model({ ids: 'i[1,4]', pixels: 'f[1,3]' });
    expect(await samplesOf(one, { 'a.npz': { ids: 'i[2,4]', pixels: 'f[2,3]' } })).toEqual([
      ['a.npz[0]'],
      ['a.npz[1]'],
    ]);
  });

  test('a model of several rows: feeds as they are', async () => {
    const four = model({ ids: 'i[4,4]', pixels: 'f[4,3]' });
    const file = { ids: 'i[4,4]', pixels: 'f[4,3]', labels: 'i[4]' };
    expect(await samplesOf(four, { 'a.npz': file, 'b.npz': file })).toEqual([['a.npz'], ['b.npz']]);
    const short = folderWith({ 'a.npz': npz({ ids: 'i[2,4]', pixels: 'f[2,3]' }) });
    expect((await refusal(short, four)).code).toBe('sample-size');
  });

  test('an input that fixes its first axis belongs to every row of its feed', async () => {
    const shared = model({ ids: 'i[batch,4]', positions: 'i[1,4]', scale: 'f[]' });
    const file = { ids: 'i[2,4]', positions: 'i[1,4]', scale: 'f[]' };
    expect(await samplesOf(shared, { 'a.npz': file, 'b.npz': file })).toEqual([
      ['a.npz[0]', 'a.npz[1]'],
      ['b.npz[0]', 'b.npz[1]'],
    ]);
  });

  test('without a common first axis the whole feed is one sample, in every file', async () => {
    const free = model({ tokens: 'i[words]', patches: 'f[count,3]' });
    expect(
      await samplesOf(free, {
        'a.npz': { tokens: 'i[4]', patches: 'f[4,3]' },
        'b.npz': { tokens: 'i[2]', patches: 'f[4,3]' },
      }),
    ).toEqual([['a.npz'], ['b.npz']]);
  });
});

describe('what is refused', () => {
  const good: Arrays = { ids: 'i[2,4]', pixels: 'f[2,3]' };
  const one = (arrays: Arrays): string => folderWith({ 'a.npz': npz(arrays) });
  const lfs = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n';
  const pickled = zipSync({
    'ids.npy': Uint8Array.from([
      ...Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 60, 0),
      ...new TextEncoder().encode("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".padEnd(60)),
    ]),
  });

  test.each<[what: string, path: () => string, code: string, says: RegExp]>([
    ['nothing there', () => '/none/such', 'data-missing', /does not exist/],
    ['an empty folder', () => folderWith({}), 'data-empty', /is empty/],
    ['a folder of other things', () => folderWith({ 'a.npy': 'x' }), 'data-empty', /holds no \.npz files/],
    [
      'both forms',
      () => folderWith({ 'a.npz': npz(good), 'test_data_set_0/input_0.pb': pb('i[1,4]') }),
      'data-mixed',
      /both/,
    ],
    [
      'a set without inputs',
      () => folderWith({ 'test_data_set_0/output_0.pb': pb('f[1]') }),
      'data-empty',
      /no input_0.pb/,
    ],
    [
      'a file of another kind',
      () => join(folderWith({ 'a.json': '{}' }), 'a.json'),
      'data-unknown',
      /JSON file, not an \.npz/,
    ],
    ['a Git LFS pointer', () => folderWith({ 'a.npz': lfs }), 'git-lfs-pointer', /git lfs pull/],
    [
      'a Git LFS pointer in a set',
      () => folderWith({ 'test_data_set_0/input_0.pb': lfs }),
      'git-lfs-pointer',
      /input_0/,
    ],
    ['no archive', () => folderWith({ 'a.npz': 'no' }), 'npz-unreadable', /a\.npz|archive/],
    ['a pickle', () => folderWith({ 'a.npz': pickled }), 'npy-object-array', /never unpickled/],
    ['no tensor', () => folderWith({ 'test_data_set_0/input_0.pb': 'no' }), 'tensor-file-unreadable', /TensorProto/],
    ['a missing input', () => one({ ids: 'i[2,4]' }), 'sample-input-missing', /"pixels".*nothing is made up/],
    [
      'a mistyped input',
      () => one({ ids: 'i[2,4]', pixel: 'f[2,3]' }),
      'sample-input-missing',
      /"pixel" to be "pixels"/,
    ],
    ['an array too many', () => one({ ...good, idz: 'i[2,4]' }), 'sample-unknown', /"idz".*did you mean ids\?/],
    ['mistyped labels', () => one({ ...good, label: 'i[2]' }), 'sample-unknown', /did you mean labels\?/],
    ['an output', () => one({ ...good, logits: 'f[2,2]' }), 'sample-unknown', /output_N\.pb/],
    ['a wrong type', () => one({ ...good, ids: 'n[2,4]' }), 'sample-type', /int32, and the model takes int64.*astype/],
    [
      'a wrong size',
      () => one({ ...good, pixels: 'f[2,4]' }),
      'sample-size',
      /\[2, 4\], and the model declares \[batch, 3\]/,
    ],
    ['a wrong rank', () => one({ ids: 'i[2]', pixels: 'f[2]' }), 'sample-rank', /"ids" is \[2\]/],
    ['ranks that differ', () => one({ ids: 'i[2,1,4]', pixels: 'f[2,3]' }), 'sample-ranks-differ', /"ids".*"pixels"/],
    ['rows that differ', () => one({ ids: 'i[2,4]', pixels: 'f[3,3]' }), 'sample-rows', /2 rows and "pixels" has 3/],
    ['no rows', () => one({ ids: 'i[0,4]', pixels: 'f[0,3]' }), 'sample-rows-none', /no rows/],
    ['too few labels', () => one({ ...good, labels: 'i[1]' }), 'labels-length', /2 samples and 1 labels/],
    ['labels of floats', () => one({ ...good, labels: 'f[2]' }), 'labels-unusable', /class numbers/],
    ['a label below 0', () => one({ ...good, labels: 'i[2]:-1' }), 'labels-unusable', /-1/],
    [
      'labels in some files only',
      () => folderWith({ 'a.npz': npz(good), 'b.npz': npz({ ...good, labels: 'i[2]' }) }),
      'labels-missing',
      /a\.npz has no labels, and b\.npz has/,
    ],
    [
      'labels of two forms',
      () => folderWith({ 'a.npz': npz({ ...good, labels: 'i[2]' }), 'b.npz': npz({ ...good, labels: 'f[2,3]' }) }),
      'labels-differ',
      /b\.npz has scores for 3 classes/,
    ],
    [
      'outputs in some sets only',
      () =>
        folderWith({
          'test_data_set_0/input_0.pb': pb('i[1,4]'),
          'test_data_set_0/input_1.pb': pb('f[1,3]'),
          'test_data_set_0/output_0.pb': pb('f[1,2]'),
          'test_data_set_1/input_0.pb': pb('i[1,4]'),
          'test_data_set_1/input_1.pb': pb('f[1,3]'),
        }),
      'recorded-missing',
      /test_data_set_1 has no recorded output "logits"/,
    ],
    [
      'one file too many in a set',
      () =>
        folderWith({ ...Object.fromEntries([0, 1, 2].map((i) => [`test_data_set_0/input_${i}.pb`, pb('i[1,4]')])) }),
      'sample-number-unknown',
      /input_2\.pb/,
    ],
    [
      'some names of inputs, some not',
      () =>
        folderWith({
          'test_data_set_0/input_0.pb': pb('i[1,4]', 'ids'),
          'test_data_set_0/input_1.pb': pb('f[1,3]', 'pixelz'),
        }),
      'sample-numbers-unclear',
      /"pixelz"/,
    ],
  ])('%s', async (_, path, code, says) => {
    const found = await refusal(path());
    expect(found.code).toBe(code);
    expect(`${found.message} ${found.fix ?? ''}`).toMatch(says);
  });

  test('a file that changes after it was read', async () => {
    const folder = folderWith({ 'a.npz': npz(good) });
    const set = await readSamples(folder, vqa, {});
    // Still in memory: what was checked is what is run.
    writeFileSync(join(folder, 'a.npz'), 'another');
    expect(values(set.batches([0], 1)[0] as SampleBatch, 'ids')).toEqual([0, 1, 2, 3]);
  });
});
