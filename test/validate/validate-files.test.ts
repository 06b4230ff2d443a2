/** Two models on the same samples: figures that can be worked out by hand, laws, demands, and what cannot be compared. */
import { join } from 'node:path';
import { onnx } from 'onnx-proto';
import { describe, expect, test } from 'vitest';
import { CompileError, type Diagnostic } from '../../src/diagnostics/diagnostic.ts';
import { parseCommandLine } from '../../src/flags/command-line.ts';
import { UsageError } from '../../src/flags/usage-error.ts';
import type { ValidateRequest } from '../../src/flags/validate.ts';
import { DataType } from '../../src/graph/model.ts';
import { compile } from '../../src/index.ts';
import { validationText, type ValidationReport } from '../../src/report/validation.ts';
import { findKernels } from '../../src/runtime/kernels.ts';
import { validateFiles } from '../../src/commands/validate.ts';
import { randomFrom } from '../reduction/harness.ts';
import { encodeTiny, tensorsOf, tinyFeeds, tinyVilt } from '../support/tiny-vilt.ts';
import { writeNpz } from '../../src/runtime/npz.ts';
import { folderWith, samplesFile, smallOnnx, type SmallModel } from './small-models.ts';

const watch = { progress: () => undefined, signal: new AbortController().signal };

/** In the folder: files by their names. */
const validate = (folder: string, line: string): Promise<ValidationReport> => {
  const words = line
    .split(' ')
    .map((word) => (/^[\w-]+\.(onnx|npz)$|^data$|^gold$/.test(word) ? join(folder, word) : word));
  return validateFiles(parseCommandLine(['validate', ...words], 100) as ValidateRequest, watch);
};

const refusal = async (folder: string, line: string): Promise<Diagnostic> => {
  const error: unknown = await validate(folder, line).catch((e: unknown) => e);
  if (error instanceof CompileError || error instanceof UsageError) return error.diagnostic;
  throw error instanceof Error ? error : new Error('nothing was refused');
};

const failed = ({ gates }: ValidationReport): string[] =>
  gates.filter(({ passed }) => !passed).map(({ gate, output }) => `${gate} ${output}`);

// The answers of A are 0, 1, 2, 0; those of B, with 1 added to the last, 0, 1, 2, 2.
const rows = [
  [4, 0, 0],
  [0, 4, 0],
  [0, 0, 4],
  [0.5, 0, 0],
];
const labels = [0, 1, 0, 0];
const pair = (other: SmallModel = { bias: [0, 0, 1] }): string =>
  folderWith({
    'a.onnx': smallOnnx(),
    'b.onnx': smallOnnx(other),
    'data/one.npz': samplesFile(rows.slice(0, 3), labels.slice(0, 3)),
    'data/two.npz': samplesFile(rows.slice(3), labels.slice(3)),
  });

describe('figures', () => {
  test('are those worked out by hand', async () => {
    const report = await validate(pair(), 'a.onnx b.onnx --data data');
    expect(report.samples).toBe(4);
    const [logits] = report.outputs;
    expect(logits).toMatchObject({
      output: 'logits',
      elements: 12,
      maxAbsolute: 1,
      maxRelative: 0.25,
      agreement: { mean: 0.75, samples: 4 },
      changed: ['two.npz'],
      outside: null,
    });
    expect(logits?.meanAbsolute).toBeCloseTo(1 / 3, 12);
    expect(logits?.normRelative).toBeCloseTo(2 / Math.sqrt(48.25), 12);
    expect(logits?.cosine).toBeCloseTo((2 * (16 / (4 * Math.sqrt(17))) + 1 + 0.25 / (0.5 * Math.sqrt(1.25))) / 4, 12);
    expect(logits?.worst.map(({ error, sameAnswer }) => [error, sameAnswer])).toEqual([
      [1, true],
      [1, true],
      [1, true],
      [1, false],
    ]);
    expect(report.accuracy).toMatchObject({
      output: 'logits',
      reference: { mean: 0.75 },
      candidate: { mean: 0.5 },
      drop: { mean: 0.25, method: 'bonett-price' },
    });
    expect(report.fused).toBeNull();
    expect(failed(report)).toEqual([]);
    const text = validationText(report);
    expect(text).toMatch(/logits +1\.00 +0\.333 +0\.250 +0\.288 .* 75\.00 %/);
    expect(text).toMatch(/accuracy +75\.00 % .*-> 50\.00 %/);
    expect(text).toMatch(/drop +25\.00 points/);
    expect(text).toMatch(/worst +logits on one\.npz\[0\]: 1\.00\n/);
    expect(text).toMatch(/other answers +logits on two\.npz\n/);
  });

  test('a model against itself has none', async () => {
    const report = await validate(pair(), 'a.onnx a.onnx --data data --atol 0 --min-agreement 1 --max-drop 0');
    expect(report.outputs[0]).toMatchObject({ maxAbsolute: 0, maxRelative: 0, outside: 0, changed: [], worst: [] });
    expect(report.accuracy?.drop?.mean).toBe(0);
    expect(report.gates.map(({ gate, passed }) => [gate, passed])).toEqual([
      ['finite', true],
      ['tolerance', true],
      ['min-agreement', true],
      ['max-drop', true],
    ]);
  });

  test('neither batches nor the order of the samples change them', async () => {
    const other = folderWith({
      'a.onnx': smallOnnx(),
      'b.onnx': smallOnnx({ bias: [0, 0, 1] }),
      'data/a.npz': samplesFile([...rows].reverse(), [...labels].reverse()),
    });
    const strip = ({ outputs, accuracy }: ValidationReport): unknown => ({
      accuracy,
      outputs: outputs.map(({ changed, worst, ...figures }) => [
        figures,
        changed.length,
        worst.map(({ error }) => error),
      ]),
    });
    const wanted = strip(await validate(pair(), 'a.onnx b.onnx --data data'));
    for (const batch of [1, 3, 100])
      expect(strip(await validate(other, `a.onnx b.onnx --data data --batch ${batch}`))).toEqual(wanted);
  });

  test('a limit', async () => {
    const report = await validate(pair(), 'a.onnx b.onnx --data data --limit 3 --threads 1');
    expect(report.samples).toBe(3);
    expect(report.outputs[0]?.agreement?.mean).toBe(1);
  });
});

describe('demands', () => {
  test.each<[flags: string, failed: readonly string[]]>([
    ['--atol 1', []],
    ['--atol 0.999', ['tolerance logits']],
    ['--rtol 0.5', ['tolerance logits']],
    ['--atol 0 --tol logits:1', []],
    ['--tol logits:0.2,0.1', ['tolerance logits']],
    ['--tol logits:1,0.1 --min-agreement 0.75 --max-drop 0.25', []],
    ['--min-agreement 0.76', ['min-agreement logits']],
    ['--max-drop 0.24', ['max-drop logits']],
  ])('%s', async (flags, wanted) => {
    expect(failed(await validate(pair(), `a.onnx b.onnx --data data ${flags}`))).toEqual(wanted);
  });

  test('what becomes NaN fails without being asked', async () => {
    const nan = { values: { zero: 'f[3]:0,0,0' }, nodes: ['odd = Div(zero, logits)'], outputs: ['odd'] };
    const folder = folderWith({
      'a.onnx': smallOnnx({ ...nan, bias: [1, 1, 1] }),
      'b.onnx': smallOnnx(nan),
      'x.npz': samplesFile(rows),
    });
    const report = await validate(folder, 'a.onnx b.onnx --data x.npz');
    expect(failed(report)).toEqual(['finite odd']);
    expect(report.outputs[0]).toMatchObject({
      notFinite: { candidate: { nan: 8 }, reference: { nan: 0 }, different: 8 },
      worst: [{ sample: 'x.npz[0]', error: null }, {}, {}, {}],
    });
    expect(validationText(report)).toContain('not finite     odd: 0 NaN and 0 infinite in the reference, 8 NaN');
    // Against itself the same values are the same.
    expect(failed(await validate(folder, 'b.onnx b.onnx --data x.npz'))).toEqual([]);
  });
});

const pb = (dims: readonly number[], values: readonly number[]): Uint8Array =>
  onnx.TensorProto.encode({ dataType: DataType.FLOAT, dims: [...dims], floatData: [...values] }).finish();

describe('one model', () => {
  test('against recorded outputs', async () => {
    const folder = folderWith({
      'a.onnx': smallOnnx({ bias: [0, 0.5, 0] }),
      'gold/test_data_set_0/input_0.pb': pb([2, 3], [1, 0, 0, 0, 1, 0]),
      'gold/test_data_set_0/output_0.pb': pb([2, 3], [1, 0.5, 0, 0, 1.25, 0]),
    });
    const report = await validate(folder, 'a.onnx --data gold --atol 0.2');
    expect(report).toMatchObject({ reference: null, samples: 2, batch: null, accuracy: null });
    expect(report.outputs[0]).toMatchObject({
      maxAbsolute: 0.25,
      outside: 1,
      worst: [{ sample: 'test_data_set_0[1]' }],
    });
    expect(failed(report)).toEqual(['tolerance logits']);
    expect((await refusal(folder, 'a.onnx --data gold --max-drop 0.1')).code).toBe('accuracy-of-one');
  });

  test('needs recorded outputs', async () => {
    expect((await refusal(pair(), 'a.onnx --data data')).code).toBe('recorded-none');
  });
});

describe('what cannot be compared', () => {
  const more = { nodes: ['more = Identity(logits)'] };
  test.each<[what: string, a: SmallModel, b: SmallModel, code: string, says: RegExp]>([
    ['outputs of other names', {}, { ...more, outputs: ['more'] }, 'outputs-differ', /only in .*a\.onnx: logits/],
    [
      'outputs in another order',
      { ...more, outputs: ['logits', 'more'] },
      { ...more, outputs: ['more', 'logits'] },
      'outputs-order-differs',
      /more, logits/,
    ],
    [
      'inputs of other names',
      {},
      { values: { y: 'f[batch,3]' }, nodes: ['more = Add(logits, y)'] },
      'inputs-differ',
      /only in .*b\.onnx: y/,
    ],
    ['inputs of other types', {}, { input: 'd[batch,3]' }, 'input-types-differ', /float in .* double/],
    ['inputs of other sizes', { input: 'f[2,3]' }, { input: 'f[1,3]' }, 'input-shapes-differ', /\[2, 3\] .*\[1, 3\]/],
    [
      'outputs of other sizes',
      { nodes: ['more = Identity(logits)'], outputs: ['more'] },
      { nodes: ['more = Transpose(logits) perm=[1,0]'], outputs: ['more'] },
      'output-shapes-differ',
      /"more" is \[3, 4\] instead of \[4, 3\] on x\.npz\[0\]/,
    ],
  ])('%s', async (_, a, b, code, says) => {
    const folder = folderWith({ 'a.onnx': smallOnnx(a), 'b.onnx': smallOnnx(b), 'x.npz': samplesFile(rows) });
    const found = await refusal(folder, 'a.onnx b.onnx --data x.npz');
    expect(found.code).toBe(code);
    expect([found.message, ...(found.notes ?? [])].join('\n')).toMatch(says);
  });

  test('a size that only one of them fixes holds for both', async () => {
    const folder = folderWith({
      'a.onnx': smallOnnx(),
      'b.onnx': smallOnnx({ input: 'f[1,3]' }),
      'x.npz': samplesFile(rows),
    });
    const report = await validate(folder, 'a.onnx b.onnx --data x.npz --batch 4');
    expect(report).toMatchObject({ samples: 4, outputs: [{ maxAbsolute: 0 }] });
  });

  test.each<[flags: string, code: string, says: RegExp]>([
    ['--tol logit:1', 'output-unknown', /did you mean logits\?/],
    ['--output-name logit', 'metric-output-unknown', /did you mean logits\?/],
    ['--max-drop 0.1', 'accuracy-without-labels', /--min-agreement/],
  ])('%s', async (flags, code, says) => {
    const folder = folderWith({ 'a.onnx': smallOnnx(), 'x.npz': samplesFile(rows) });
    const found = await refusal(folder, `a.onnx a.onnx --data x.npz ${flags}`);
    expect(found.code).toBe(code);
    expect(`${found.message} ${found.fix ?? ''}`).toMatch(says);
  });
});

describe('a compiled model', () => {
  test('runs on the kernels, too, where they are built; else the reason is told', async () => {
    const tiny = encodeTiny(tinyVilt());
    const { bytes } = await compile(tiny, { keep: 0.6 });
    const feeds = tensorsOf(tinyFeeds(randomFrom(3), [0, 2, 1, 0, 3]));
    const arrays = new Map(
      [...feeds].map(([name, { dataType, dims, data }]) => [
        name,
        { dtype: dataType, dims, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) },
      ]),
    );
    const folder = folderWith({ 'a.onnx': tiny, 'b.onnx': bytes(), 'x.npz': writeNpz(arrays) });
    const report = await validate(folder, 'a.onnx b.onnx --data x.npz');
    expect(report.outputs[0]?.maxAbsolute).toBeGreaterThan(0);
    if (findKernels().kernels === undefined) {
      expect(report).toMatchObject({ fused: null, reducers: { ops: 'portable' } });
      expect(validationText(report)).toContain('reducers       function body');
    } else {
      expect(report.reducers?.ops).toBe('fused');
      expect(report.fused?.[0]?.maxAbsolute).toBeLessThan(1e-4);
      expect(validationText(report)).toContain('fused kernels  logits: at most');
    }
  });
});
