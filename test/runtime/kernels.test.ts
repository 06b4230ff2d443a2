/**
 * Finding the kernels, saying why they cannot be used, and choosing by `ops`; compiled models on kernels and on the
 * function body, one file for both.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { CompileError, type Diagnostic } from '../../src/diagnostics/diagnostic.ts';
import { reducersLine } from '../../src/diagnostics/messages-runtime.ts';
import { compile, createSession, type CompileOptions, type Session, type SessionOptions } from '../../src/index.ts';
import { readModel } from '../../src/onnx/read.ts';
import { findKernels, kernelsFolder, reducersHere } from '../../src/runtime/kernels.ts';
import { loadRuntime } from '../../src/runtime/session.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { syntheticInputs } from '../../src/validate/synthetic-inputs.ts';
import { describeKernels, kernels } from '../support/kernels.ts';

const model = (name: string): string => fileURLToPath(new URL(`../../models/${name}/model.onnx`, import.meta.url));
const vilt = model('vilt-vqa-tiny');
const libraries = ['libpumer_ops.so', 'libpumer_ops.dylib'];

const refusal = async (promise: Promise<unknown>): Promise<Diagnostic | undefined> =>
  promise.then(
    () => undefined,
    (error: unknown) => (error instanceof CompileError ? error.diagnostic : undefined),
  );

describe('without kernels', () => {
  let folder = '';
  const set = (files: Readonly<Record<string, string>>): void => {
    folder = mkdtempSync(join(tmpdir(), 'pumer-kernels-'));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    vi.stubEnv('PUMER_KERNELS', folder);
  };
  afterEach(() => {
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true, force: true });
  });
  const noLibraries = Object.fromEntries(libraries.map((name) => [name, 'not a library']));

  test('where they are looked for', () => {
    set({});
    expect(kernelsFolder()).toBe(folder);
    vi.stubEnv('PUMER_KERNELS', '');
    expect(kernelsFolder()).toMatch(/kernels.build$/);
  });

  test.each([
    ['nothing is built', {}, 'kernels-not-built', /^the fused kernels are not built$/, false],
    ['the addon alone', { 'pumer_node.node': '' }, 'kernels-not-built', /libpumer_ops.* is missing/, true],
    ['the library alone', noLibraries, 'kernels-not-built', /pumer_node.node is missing/, true],
    ['broken files', { 'pumer_node.node': 'x', ...noLibraries }, 'kernels-not-loaded', /do not load: .+/, true],
  ] as const)('%s', async (_name, files, code, message, isBuilt) => {
    set(files);
    const found = findKernels();
    expect(found).toMatchObject({ isBuilt, reason: { code, severity: 'warning' } });
    expect(found.reason?.message).toMatch(message);
    expect(reducersHere()).toEqual({ ops: 'portable', level: null, cuda: null, why: found.reason });
    expect(await loadRuntime('fused')).toEqual({ reason: found.reason });
    expect(await refusal(createSession(vilt, { ops: 'fused' }))).toMatchObject({ code, severity: 'error' });
    for (const ops of ['auto', 'portable', undefined] as const) {
      const session = await createSession(vilt, ops === undefined ? {} : { ops });
      expect(session.ops).toBe('portable');
      expect(session.inputs.map((i) => i.name)).toContain('pixel_values');
      await session.release();
    }
  });

  test('the line that tells it', () => {
    set({});
    expect(reducersLine(reducersHere())).toBe('reducers: function body; kernels are not built (npm run build:kernels)');
    const fused = { level: 'avx2', why: null };
    expect(reducersLine({ ...fused, cuda: false })).toBe('reducers: fused kernels (avx2, CUDA not built)');
    expect(reducersLine({ ...fused, cuda: true })).toBe('reducers: fused kernels (avx2, CUDA)');
  });
});

describeKernels('with kernels', () => {
  beforeAll(() => void kernels());

  test('they tell what they are', () => {
    const { level, cuda } = kernels();
    expect(['scalar', 'avx2', 'avx512']).toContain(level);
    expect(reducersHere()).toEqual({ ops: 'fused', level, cuda, why: null });
  });

  test('ops chooses', async () => {
    for (const [ops, used] of [
      ['auto', 'fused'],
      ['fused', 'fused'],
      ['portable', 'portable'],
    ] as const) {
      const session = await createSession(vilt, { ops });
      expect(session.ops).toBe(used);
      await session.release();
    }
  });

  test('on a library that is not ONNX Runtime they cannot be used', () => {
    for (const [runtime, why] of [
      ['/no/such/library.so', /no\/such\/library/],
      [kernels().library, /has no function OrtGetApiBase/],
    ] as const) {
      const found = findKernels(kernelsFolder(), runtime);
      expect(found).toMatchObject({ reason: { code: 'kernels-runtime-unusable' }, isBuilt: true });
      expect(found.reason?.message).toMatch(why);
    }
  });

  test('asked for on CUDA they must have been built with it', async () => {
    if (kernels().cuda) return;
    const told = await refusal(createSession(vilt, { ops: 'fused', providers: 'cuda' }));
    expect(told).toMatchObject({ code: 'kernels-without-cuda', severity: 'error' });
  });

  /** Runs every output on both; gives the names of the nodes that ran, too. */
  const runOn = async (bytes: Uint8Array, feeds: ReadonlyMap<string, TensorData>, options: SessionOptions) => {
    const session: Session = await createSession(bytes, { threads: 1, profile: true, ...options });
    const outputs = await session.run(feeds);
    const operators = session.profile().map((run) => run.op);
    await session.release();
    return { outputs, reducers: operators.filter((op) => op === 'TokenReduce').length };
  };

  test.each<[string, CompileOptions, number]>([
    ['vilt-vqa-tiny', { keep: 0.5, mergeText: 0.2 }, 6],
    ['vilt-pumer', { semantics: 'pumer', prune: 0.1, merge: 0.3, mergeText: 0.2 }, 4],
  ])('%s: the same file runs on kernels and on the body, to the same outputs', async (name, options, least) => {
    const source = model(name);
    const bytes = (await compile(source, options)).bytes();
    const made = syntheticInputs(readModel(source), { batch: 2, text: 12, pixels: 384, regions: 36 });
    if ('cannot' in made) throw new Error(made.cannot);
    const fused = await runOn(bytes, made.feeds, { ops: 'fused' });
    const portable = await runOn(bytes, made.feeds, { ops: 'portable' });
    expect(fused.reducers).toBeGreaterThanOrEqual(least);
    expect(portable.reducers).toBe(0);
    for (const [output, expected] of portable.outputs) {
      const found = fused.outputs.get(output) as TensorData;
      expect(found.dims).toEqual(expected.dims);
      const [a, b] = [numbersOf(found), numbersOf(expected)];
      const largest = Math.max(...b.map(Math.abs));
      expect(Math.max(...a.map((v, i) => Math.abs(v - (b[i] ?? NaN))))).toBeLessThan(1e-5 * largest);
    }
  });
});
