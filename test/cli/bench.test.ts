/** `bench` as users run it: what it prints, what it refuses, and that it leaves nothing behind. No time decides. */
import { readdirSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { benchFiles, type BenchResult } from '../../src/commands/bench.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { compile } from '../../src/index.ts';
import { parseCommandLine } from '../../src/flags/command-line.ts';
import type { BenchRequest } from '../../src/flags/bench.ts';
import { DataType } from '../../src/graph/model.ts';
import { writeNpz, type NpyArray } from '../../src/runtime/npz.ts';
import { cli, emptyFolder, filesIn, models } from './run-cli.ts';

const folder = emptyFolder();
const faster = join(folder, 'faster.onnx');
(await compile(models.vilt, { keep: 0.5 })).write(faster);

const bench = (words: string, self = { program: process.execPath, args: ['--version'] }): Promise<BenchResult> =>
  benchFiles(parseCommandLine(['bench', ...words.split(' ')], 100) as BenchRequest, {
    progress: () => undefined,
    signal: new AbortController().signal,
    self,
    node: process.version,
  });
const codes = ({ diagnostics }: BenchResult): string[] =>
  diagnostics.map((d) => d.code).filter((code) => !['machine-busy', 'times-spread', 'order-undecided'].includes(code));

const leftovers = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('pumer-bench-'));

test('in a process of its own: one JSON object, with memory of further processes', () => {
  const before = leftovers();
  const ran = cli(folder, ['bench', 'faster.onnx', '--turns', '2', '--threads', '1', '--ops', 'portable', '--json']);
  expect([ran.code, ran.stderr]).toEqual([0, '']);
  const found = JSON.parse(ran.stdout) as Record<string, unknown>;
  expect(found).toMatchObject({
    schema_version: 1,
    command: 'bench',
    ok: true,
    threads: 1,
    ops: 'portable',
    reducers: 'function body',
    models: [{ label: 'faster.onnx', file: 'faster.onnx', reducers: true }],
    batches: [{ batch: 1, turns: 2, stopped: 'turns' }],
  });
  const [{ rows }] = found['batches'] as [{ rows: [{ peakBytes: Record<string, number> }] }];
  const [{ peakBytes }] = rows;
  expect(peakBytes['runs']).toBe(3);
  // Node alone has some 40 MB, and the model adds to it.
  expect(peakBytes['before']).toBeGreaterThan(2e7);
  expect(peakBytes['least']).toBeGreaterThan(peakBytes['before']!);
  expect(peakBytes['most']).toBeLessThan(1e9);
  expect(filesIn(folder)).toEqual(['data', 'faster.onnx']);
  expect(leftovers()).toEqual(before);
}, 90_000);

test('two models in turns, each figure with its spread', async () => {
  const { report } = await bench(`${models.vilt} ${faster} --turns 3 --threads 1 --ops portable --no-memory`);
  expect(report).toMatchObject({
    inputs: { kind: 'synthetic', sizes: [{ symbol: 'sequence', size: 40 }] },
    models: [
      { label: 'model.onnx', reducers: false },
      { label: 'faster.onnx', reducers: true },
    ],
  });
  const [first, second] = report.batches[0]!.rows;
  expect([first!.speedUp, first!.peakBytes]).toEqual([null, null]);
  for (const { milliseconds, rowsPerSecond } of [first!, second!]) {
    expect(milliseconds.least).toBeGreaterThan(0);
    expect(milliseconds.least).toBeLessThanOrEqual(milliseconds.median);
    expect(rowsPerSecond.most * milliseconds.least).toBeCloseTo(1000, 6);
  }
  const { low, high, median, confidence } = second!.speedUp!;
  expect(low).toBeLessThanOrEqual(median);
  expect(median).toBeLessThanOrEqual(high);
  // Three turns cannot give more.
  expect(confidence).toBe(0.75);
  // No ratio within a turn lies outside of those of all times.
  expect(high).toBeLessThanOrEqual(first!.milliseconds.most / second!.milliseconds.least);
  expect(low).toBeGreaterThanOrEqual(first!.milliseconds.least / second!.milliseconds.most);
});

test('one model on one batch size after the other', async () => {
  const { report } = await bench(`${models.vilt} --batches 1,3 --turns 2 --text 7 --no-memory`);
  expect(report.batches.map((b) => [b.batch, b.turns, b.rows.length])).toEqual([
    [1, 2, 1],
    [3, 2, 1],
  ]);
  for (const { batch, rows } of report.batches) {
    const { milliseconds, rowsPerSecond } = rows[0]!;
    expect(rowsPerSecond.most).toBeCloseTo((1000 * batch) / milliseconds.least, 6);
  }
  expect(report.inputs).toEqual({ kind: 'synthetic', sizes: [{ symbol: 'sequence', size: 7 }] });
});

test('the same file twice keeps two names', async () => {
  const { report } = await bench(`${models.vilt} ${models.vilt} --turns 2 --no-memory`);
  expect(report.batches[0]!.rows.map((row) => row.label)).toEqual(['model.onnx', 'model.onnx (2)']);
});

test('memory that cannot be measured is told, and times stay', async () => {
  const found = await bench(`${models.vilt} --turns 2`, { program: join(folder, 'nothing'), args: [] });
  expect(codes(found)).toEqual(['memory-not-measured']);
  expect(found.report.batches[0]!.rows[0]!.peakBytes).toBeNull();
});

describe('samples', () => {
  const data = join(folder, 'data');
  mkdirSync(data);
  const array = (dtype: DataType, dims: number[], size: number): NpyArray => {
    const bytes = new Uint8Array(dims.reduce((a, b) => a * b, size));
    for (let at = 0; dtype === DataType.INT64 && at < bytes.length; at += 8) bytes[at] = 1;
    return { dtype, dims, bytes };
  };
  const inputs = (rows: number): Map<string, NpyArray> =>
    new Map([
      ['input_ids', array(DataType.INT64, [rows, 9], 8)],
      ['attention_mask', array(DataType.INT64, [rows, 9], 8)],
      ['token_type_ids', array(DataType.INT64, [rows, 9], 8)],
      ['pixel_values', array(DataType.FLOAT, [rows, 3, 160, 160], 4)],
    ]);
  writeFileSync(join(data, 'some.npz'), writeNpz(inputs(3)));

  test('are run, as many as a batch takes', async () => {
    const found = await bench(`${models.vilt} ${faster} --data ${data} --batches 2,4 --turns 2 --no-memory`);
    expect(found.report.inputs).toEqual({ kind: 'data', data });
    expect(found.report.batches.map((b) => b.batch)).toEqual([2]);
    expect(codes(found)).toEqual(['batch-not-filled']);
  });

  test('too few for any batch are refused', async () => {
    await expect(bench(`${models.vilt} --data ${data} --batches 8 --no-memory`)).rejects.toThrow(CompileError);
  });
});

test('a file that is no model, and one that is not there, are refused by name', async () => {
  writeFileSync(join(folder, 'text.onnx'), 'not a model');
  for (const name of ['text.onnx', 'absent.onnx'])
    await expect(bench(`${models.vilt} ${join(folder, name)} --turns 1 --no-memory`)).rejects.toThrow(name);
});
