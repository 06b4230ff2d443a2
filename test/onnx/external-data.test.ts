/** Weights beside the model: found where they are, written where they are wanted, the input's files left alone. */
import { linkSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onnx } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/graph/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { encodeModel, writeModel } from '../../src/onnx/write.ts';
import { random, refusal, smallModel, temporaryFolder } from './models.ts';

const bytesFrom = (seed: number, count: number): Buffer => {
  const next = random(seed);
  return Buffer.from(Array.from({ length: count }, () => Math.floor(next() * 256)));
};

interface Where {
  location?: string;
  offset?: string | undefined;
  length?: string | undefined;
}

/** A tensor of `floats` float32 values that lie elsewhere. */
const external = (name: string, floats: number, where: Where): onnx.ITensorProto => ({
  name,
  dims: [floats],
  dataType: 1,
  dataLocation: 1,
  externalData: Object.entries(where as Record<string, string | undefined>).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, value }],
  ),
});

const saved = (folder: string, initializer: onnx.ITensorProto[], name = 'model.onnx'): string => {
  const path = join(folder, name);
  const graph = { name: 'g', initializer, output: initializer.slice(0, 1).map((t) => ({ name: t.name ?? null })) };
  const opsetImport = [{ domain: '', version: 17 }];
  writeFileSync(path, onnx.ModelProto.encode({ irVersion: 8, opsetImport, graph }).finish());
  return path;
};

const payload = (model: Model, name: string): Buffer =>
  Buffer.from(model.graph.constants.get(name)?.payload.read() ?? []);

/** Two data files, an offset, a missing length, a missing offset, a shared range and small data inside. */
const scattered = () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'sub'));
  const a = bytesFrom(1, 10_000);
  const b = bytesFrom(2, 8_000);
  writeFileSync(join(folder, 'a.bin'), a);
  writeFileSync(join(folder, 'sub', 'b.bin'), b);
  const inside = bytesFrom(3, 4_000);
  const path = saved(folder, [
    external('first', 1000, { location: 'a.bin', offset: '100', length: '4000' }),
    external('second', 500, { location: './sub/b.bin', offset: '4000', length: undefined }),
    external('third', 2000, { location: 'sub/b.bin', offset: undefined, length: '8000' }),
    external('shared', 1000, { location: 'a.bin', offset: '100', length: '4000' }),
    external('tiny', 2, { location: 'a.bin', offset: '9992', length: '8' }),
    { name: 'inside', dims: [1000], dataType: 1, rawData: inside },
    { name: 'typed', dims: [400], dataType: 1, floatData: Array.from({ length: 400 }, (_, i) => i) },
  ]);
  const data: Record<string, Buffer> = {
    first: a.subarray(100, 4100),
    second: b.subarray(4000, 6000),
    third: b,
    shared: a.subarray(100, 4100),
    tiny: a.subarray(9992),
    inside,
    typed: Buffer.from(Float32Array.from({ length: 400 }, (_, i) => i).buffer),
  };
  return { folder, path, data };
};

const places = (path: string): Record<string, string> =>
  Object.fromEntries<string>(
    (onnx.ModelProto.decode(readFileSync(path)).graph?.initializer ?? []).map((t) => [
      t.name ?? '',
      t.dataLocation === 1 ? (t.externalData?.map((e) => e.value).join(' ') ?? '') : 'inside',
    ]),
  );

describe('external data', () => {
  it('is found and read', () => {
    const { path, data } = scattered();
    const model = readModel(path);
    for (const [name, bytes] of Object.entries(data)) expect(payload(model, name).equals(bytes), name).toBe(true);
  });

  it('is found for a model given as bytes with a folder', () => {
    const { folder, path, data } = scattered();
    const model = readModel(readFileSync(path), { baseDir: folder });
    expect(payload(model, 'second').equals(data['second'] ?? Buffer.alloc(0))).toBe(true);
  });

  it('is kept outside, in one new file, shared ranges once', () => {
    const { folder, path, data } = scattered();
    const before = readdirSync(folder).sort();
    const out = temporaryFolder();
    const target = join(out, 'out.onnx');
    const written = writeModel(readModel(path), target, { externalData: 'keep' });
    expect(readdirSync(out).sort()).toEqual(['out.onnx', 'out.onnx.data']);
    expect(readdirSync(folder).sort()).toEqual(before);
    expect(written).toEqual({
      bytes: statSync(target).size,
      externalBytes: statSync(`${target}.data`).size,
      externalFile: 'out.onnx.data',
    });
    expect(places(target)).toEqual({
      first: 'out.onnx.data 0 4000',
      second: 'out.onnx.data 4032 2000',
      third: 'out.onnx.data 6080 8000',
      shared: 'out.onnx.data 0 4000',
      tiny: 'out.onnx.data 14080 8',
      inside: 'inside',
      typed: 'inside',
    });
    const model = readModel(target);
    for (const [name, bytes] of Object.entries(data)) expect(payload(model, name).equals(bytes), name).toBe(true);
  });

  it('is taken inside', () => {
    const { path, data } = scattered();
    const out = temporaryFolder();
    const written = writeModel(readModel(path), join(out, 'out.onnx'), { externalData: 'inline' });
    expect(readdirSync(out)).toEqual(['out.onnx']);
    expect(written.externalBytes).toBe(0);
    expect(new Set(Object.values(places(join(out, 'out.onnx'))))).toEqual(new Set(['inside']));
    const bytes = readFileSync(join(out, 'out.onnx'));
    for (const [name, wanted] of Object.entries(data))
      expect(payload(readModel(bytes), name).equals(wanted), name).toBe(true);
    expect(Buffer.from(encodeModel(readModel(path))).equals(bytes)).toBe(true);
  });

  it('is moved to a file of the user, from 1 KiB up', () => {
    const { path, data } = scattered();
    const out = temporaryFolder();
    writeModel(readModel(path), join(out, 'out.onnx'), { externalData: { file: 'weights.bin' } });
    expect(readdirSync(out).sort()).toEqual(['out.onnx', 'weights.bin']);
    const where = places(join(out, 'out.onnx'));
    expect(where['tiny']).toBe('inside');
    for (const name of ['first', 'second', 'third', 'inside', 'typed']) expect(where[name]).toMatch(/^weights\.bin /);
    const model = readModel(join(out, 'out.onnx'));
    for (const [name, bytes] of Object.entries(data)) expect(payload(model, name).equals(bytes), name).toBe(true);
  });

  it('writes no data file where nothing is external', () => {
    const out = temporaryFolder();
    const written = writeModel(smallModel(), join(out, 'm.onnx'), { externalData: 'keep' });
    expect(written).toEqual({ bytes: statSync(join(out, 'm.onnx')).size, externalBytes: 0 });
    expect(readdirSync(out)).toEqual(['m.onnx']);
  });

  it('starts large tensors on a page', () => {
    const out = temporaryFolder();
    const big = bytesFrom(5, 64);
    writeFileSync(join(out, 'd.bin'), Buffer.concat([big, Buffer.alloc(1 << 20, 7)]));
    const path = saved(out, [
      external('small', 16, { location: 'd.bin', offset: '0', length: '64' }),
      external('large', 1 << 18, { location: 'd.bin', offset: '64', length: String(1 << 20) }),
    ]);
    writeModel(readModel(path), join(out, 'o.onnx'), { externalData: 'keep' });
    expect(places(join(out, 'o.onnx'))['large']).toBe(`o.onnx.data 4096 ${1 << 20}`);
    expect(payload(readModel(join(out, 'o.onnx')), 'large')[0]).toBe(7);
  });

  it('of a tensor that was changed is no longer wanted', () => {
    const { path } = scattered();
    const model = readModel(path);
    const constants = new Map(model.graph.constants);
    const third = constants.get('third');
    if (third === undefined) throw new Error('missing');
    constants.set('third', { ...third, dims: [1], payload: { length: 4, read: () => Uint8Array.of(1, 2, 3, 4) } });
    const out = join(temporaryFolder(), 'o.onnx');
    writeModel({ ...model, graph: { ...model.graph, constants } }, out, { externalData: 'keep' });
    expect(places(out)['third']).toBe('inside');
    expect([...payload(readModel(out), 'third')]).toEqual([1, 2, 3, 4]);
  });
});

describe('refused at the door', () => {
  const open = (where: Where, prepare: (folder: string) => void = () => {}): (() => Model) => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'd.bin'), new Uint8Array(100));
    prepare(folder);
    const path = saved(folder, [external('w', 10, where)]);
    return () => readModel(path);
  };

  it.each<[string, string, Where]>([
    ['a missing file', 'external-data-missing', { location: 'gone.bin' }],
    ['an absolute path', 'external-data-outside', { location: '/etc/passwd' }],
    ['a path out of the folder', 'external-data-outside', { location: 'sub/../../d.bin' }],
    ['a Windows path', 'external-data-outside', { location: 'C:\\d.bin' }],
    ['the folder itself', 'external-data-outside', { location: '.' }],
    ['an empty location', 'external-data-malformed', { location: '' }],
    ['no location', 'external-data-malformed', { offset: '0' }],
    ['a strange offset', 'external-data-malformed', { location: 'd.bin', offset: '-4' }],
    ['a strange length', 'external-data-malformed', { location: 'd.bin', length: '1e3' }],
    ['a range past the end', 'external-data-too-short', { location: 'd.bin', offset: '80', length: '40' }],
    ['a shape past the end', 'external-data-too-short', { location: 'd.bin', offset: '61' }],
    [
      'an offset past the end',
      'external-data-too-short',
      { location: 'd.bin', offset: '9007199254740991', length: '4' },
    ],
  ])('%s', (_, code, where) => {
    const diagnostic = refusal(open(where));
    expect(diagnostic.code).toBe(code);
    expect(diagnostic.at).toMatchObject({ value: 'w' });
    expect(diagnostic.message).toContain("'w'");
  });

  it('a folder in place of the data', () => {
    expect(refusal(open({ location: 'dir' }, (folder) => mkdirSync(join(folder, 'dir')))).code).toBe(
      'external-data-unreadable',
    );
  });

  it('a Git LFS pointer in place of the data', () => {
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n';
    const diagnostic = refusal(
      open({ location: 'p.bin', length: '400' }, (folder) => writeFileSync(join(folder, 'p.bin'), pointer)),
    );
    expect(diagnostic.code).toBe('git-lfs-pointer');
    expect(diagnostic.message).toContain('p.bin');
  });

  it('bytes without a folder', () => {
    const { path } = scattered();
    expect(refusal(() => readModel(readFileSync(path))).code).toBe('external-data-without-folder');
  });
});

describe('outputs that would harm the input', () => {
  it.each([
    ['the model', 'model.onnx', 'keep' as const],
    ['a data file', 'a.bin', 'keep' as const],
    ['a data file, as the place for data', 'out.onnx', { file: 'a.bin' }],
    ['the model, as the place for data', 'out.onnx', { file: 'model.onnx' }],
  ])('%s', (_, name, externalData) => {
    const { folder, path } = scattered();
    const before = readdirSync(folder).map((f) => [
      f,
      f === 'sub' ? '' : readFileSync(join(folder, f)).toString('hex'),
    ]);
    expect(refusal(() => writeModel(readModel(path), join(folder, name), { externalData })).code).toBe(
      'output-is-input',
    );
    expect(
      readdirSync(folder).map((f) => [f, f === 'sub' ? '' : readFileSync(join(folder, f)).toString('hex')]),
    ).toEqual(before);
  });

  it('a data file whose name `keep` would take', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'b.onnx.data'), new Uint8Array(40));
    const path = saved(folder, [external('w', 10, { location: 'b.onnx.data' })], 'a.onnx');
    expect(refusal(() => writeModel(readModel(path), join(folder, 'b.onnx'), { externalData: 'keep' })).code).toBe(
      'output-is-input',
    );
  });

  it.each([
    ['a symbolic link', symlinkSync],
    ['a hard link', linkSync],
  ])('%s to the model', (_, link) => {
    const { folder, path } = scattered();
    link(path, join(folder, 'other.onnx'));
    expect(
      refusal(() => writeModel(readModel(path), join(folder, 'other.onnx'), { externalData: 'inline' })).code,
    ).toBe('output-is-input');
  });

  it.each(['', '.', '..', '../w.bin', 'sub/w.bin', '/tmp/w.bin', 'a\\b', 'out.onnx', 'C:w'])('data in "%s"', (file) => {
    const { path } = scattered();
    const out = join(temporaryFolder(), 'out.onnx');
    expect(refusal(() => writeModel(readModel(path), out, { externalData: { file } })).code).toBe('external-file-name');
  });
});
