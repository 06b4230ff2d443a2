/** `bench`: its words, its labels, and its table; no model is opened here. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { labelsOf } from '../../src/commands/bench.ts';
import type { Diagnostic } from '../../src/diagnostics/diagnostic.ts';
import { plainStyle } from '../../src/diagnostics/style.ts';
import { parseCommandLine } from '../../src/flags/command-line.ts';
import { UsageError } from '../../src/flags/usage-error.ts';
import { benchTable, type BenchReport, type BenchRow } from '../../src/report/bench-table.ts';
import { isBusy, machineText } from '../../src/timing/machine.ts';
import { spreadOf } from '../../src/timing/spread.ts';

const parse = (line: string): ReturnType<typeof parseCommandLine> => parseCommandLine(line.split(' '), 100);

const refusal = (line: string): Diagnostic => {
  try {
    parse(line);
  } catch (error) {
    if (error instanceof UsageError) return error.diagnostic;
    throw error;
  }
  throw new Error(`nothing is wrong with: ${line}`);
};

describe('what is asked for', () => {
  const display = { json: false, quiet: false, verbose: false, colour: true };

  test('models alone', () => {
    expect(parse('bench a.onnx b.onnx')).toEqual({
      command: 'bench',
      input: 'a.onnx',
      models: ['a.onnx', 'b.onnx'],
      batches: [1],
      ops: 'auto',
      memory: true,
      display,
    });
  });

  test.each([
    ['--batches 1,4,16,4', { batches: [1, 4, 16] }],
    ['--threads 2', { threads: 2 }],
    ['--turns 9', { turns: 9 }],
    ['--seconds 2.5', { seconds: 2.5 }],
    ['--data samples', { data: 'samples' }],
    ['--text 12 --pixels 96', { text: 12, pixels: 96 }],
    ['--ops portable', { ops: 'portable' }],
    ['--no-memory --json', { memory: false, display: { ...display, json: true } }],
  ])('%s', (flags, wanted) => {
    expect(parse(`bench ${flags} a.onnx`)).toMatchObject({ command: 'bench', models: ['a.onnx'], ...wanted });
    expect(parse(`bench a.onnx ${flags}`)).toEqual(parse(`bench ${flags} a.onnx`));
  });

  test("help that teaches; the command that measures itself is no user's", () => {
    const { text } = parse('bench --help') as { text: string };
    for (const part of ['A.onnx [B.onnx ...]', 'median of the ratios within turns', 'Examples:', '--no-memory'])
      expect(text).toContain(part);
    expect((parse('--help') as { text: string }).text).not.toContain('bench-memory');
  });
});

test.each<[line: string, code: string, says: RegExp]>([
  ['bench', 'usage', /missing required argument/],
  ['bnech a.onnx', 'command-unknown', /did you mean bench\?/],
  ['bench a.onnx --batches 1;4', 'bad-flag-value', /such as 1,4,16/],
  ['bench a.onnx --batches 0', 'bad-flag-value', /--batches/],
  ['bench a.onnx --threads 0', 'bad-flag-value', /--threads takes a whole number from 1 on/],
  ['bench a.onnx --turns 1.5', 'bad-flag-value', /--turns/],
  ['bench a.onnx --seconds 0', 'bad-flag-value', /--seconds takes a number of seconds above 0/],
  ['bench a.onnx --turns 3 --seconds 3', 'flags-exclude', /--turns .*--seconds/],
  ['bench a.onnx --data d --text 3', 'flags-exclude', /samples have their own sizes/],
  ['bench a.onnx --ops kernels', 'bad-flag-value', /auto or fused or portable/],
  ['bench a.onnx --thread 2', 'usage', /did you mean --threads\?/],
])('%s is refused', (line, code, says) => {
  const found = refusal(line);
  expect(found.code).toBe(code);
  expect(`${found.message} ${found.fix ?? ''}`).toMatch(says);
});

test('labels are as short as tells files apart', () => {
  expect(labelsOf(['x/a.onnx', 'y/b.onnx'])).toEqual(['a.onnx', 'b.onnx']);
  expect(labelsOf(['x/model.onnx', 'y/model.onnx', 'faster.onnx'])).toEqual([
    'x/model.onnx',
    'y/model.onnx',
    'faster.onnx',
  ]);
  expect(labelsOf(['p/x/model.onnx', 'q/x/model.onnx'])).toEqual(['p/x/model.onnx', 'q/x/model.onnx']);
  expect(labelsOf(['a.onnx', join('.', 'a.onnx'), 'a.onnx'])).toEqual(['a.onnx', 'a.onnx (2)', 'a.onnx (3)']);
});

test('a machine is busy where others leave fewer cores than threads', () => {
  const machine = { processor: 'P', cores: 4, node: 'v20.1.0', onnxRuntime: '1.30.0', load: 2.2 };
  expect([isBusy(machine, 1), isBusy(machine, 2), isBusy(machine)]).toEqual([false, false, true]);
  expect(isBusy({ ...machine, load: 0.3 })).toBe(false);
  expect(machineText(machine)).toBe('P, 4 cores, Node 20.1.0, ONNX Runtime 1.30.0');
});

const row = (label: string, times: number[], speedUp: BenchRow['speedUp'], peak: number[] | null): BenchRow => {
  const { median, least, most } = spreadOf(peak ?? []);
  return {
    label,
    milliseconds: spreadOf(times),
    rowsPerSecond: spreadOf(times.map((t) => 1000 / t)),
    speedUp,
    peakBytes: peak === null ? null : { median, least, most, runs: peak.length, before: 5e7 },
  };
};
const report: BenchReport = {
  machine: { processor: 'P', cores: 2, node: 'v20.1.0', onnxRuntime: '1.30.0', load: 0.1 },
  threads: 2,
  ops: 'portable',
  reducers: 'function body',
  inputs: { kind: 'synthetic', sizes: [{ symbol: 'sequence', size: 40 }] },
  models: [
    { label: 'a.onnx', file: 'x/a.onnx', reducers: false },
    { label: 'b.onnx', file: 'x/b.onnx', reducers: true },
  ],
  batches: [
    {
      batch: 1,
      turns: 5,
      stopped: 'seconds',
      seconds: 20.04,
      rows: [
        row('a.onnx', [200, 210, 220, 230, 240], null, [3e8, 3.1e8, 3.3e8]),
        row(
          'b.onnx',
          [100, 105, 110, 115, 120],
          { median: 2, low: 1.9, high: 2.1, confidence: 0.9375 },
          [2e8, 2e8, 2e8],
        ),
      ],
    },
  ],
};

describe('the table', () => {
  test('gives every figure with its spread', () => {
    expect(benchTable(report, plainStyle).split('\n')).toEqual([
      'machine   P, 2 cores, Node 20.1.0, ONNX Runtime 1.30.0, load 0.10',
      'run       CPU, 2 threads',
      'reducers  function body (b.onnx)',
      'inputs    synthetic (sequence = 40)',
      '',
      'batch 1, 5 turns in 20.0 s (stopped by time)',
      '  model              ms          speed-up            rows/s        peak MB',
      '  a.onnx  220 (210-230)                 1  4.55 (4.35-4.76)  310 (300-330)',
      '  b.onnx  110 (105-115)  2.00 (1.90-2.10)  9.09 (8.70-9.52)  200 (200-200)',
      '',
      'ms, rows/s: median (quartiles)',
      'speed-up over a.onnx: median of the ratios within turns (94 % interval of that median)',
      'peak MB: resident memory of a process that runs this model alone, median (least-most) of 3',
    ]);
  });

  test('of one model compares nothing', () => {
    const [first] = report.batches;
    const alone = benchTable(
      {
        ...report,
        reducers: null,
        threads: null,
        inputs: { kind: 'data', data: 'samples' },
        models: report.models.slice(0, 1),
        batches: [{ ...first!, rows: [{ ...first!.rows[0]!, peakBytes: null }] }],
      },
      plainStyle,
    );
    expect(alone).not.toMatch(/speed-up|peak|reducers/);
    expect(alone).toContain('inputs   from samples');
  });
});

describe('docs/benchmark-models.md', () => {
  const page = readFileSync(fileURLToPath(new URL('../../docs/benchmark-models.md', import.meta.url)), 'utf8');

  test('tells every flag', () => {
    const { text } = parse('bench --help') as { text: string };
    const flags = [...text.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map((m) => m[1] ?? '');
    expect(flags.length).toBeGreaterThan(11);
    expect(flags.filter((flag) => !page.includes(flag))).toEqual([]);
  });

  test('has examples that are command lines', () => {
    const examples = [...page.matchAll(/^npx pumer-compile (bench .*)$/gm)].map((m) => parse(m[1] ?? ''));
    expect(examples.length).toBeGreaterThan(2);
    expect(examples.map((request) => request.command)).toEqual(examples.map(() => 'bench'));
  });

  test('tells every field', () => {
    const [batch] = report.batches;
    const [, second] = batch!.rows;
    const parts = [report, report.machine, report.models[0]!, batch!, second!, second!.speedUp!, second!.milliseconds];
    const fields = [...parts, second!.peakBytes!].flatMap((part) => Object.keys(part));
    const told = new Set(page.slice(page.indexOf('## JSON')).match(/\w+/g));
    expect(fields.filter((field) => !told.has(field))).toEqual([]);
  });
});
