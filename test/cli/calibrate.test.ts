/**
 * `calibrate` and compiling on data, as users run them, on the model that has learned something: the golden plan, figures
 * held against runs of the compiled model, budgets that cannot be kept, interrupts.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { splitHalves } from '../../src/calibrate/halves.ts';
import { compile, createSession } from '../../src/index.ts';
import { parsePlan, type ReductionPlan } from '../../src/reduction/plan.ts';
import type { CalibrationReport } from '../../src/report/calibration.ts';
import { readNpz, tensorOf, writeNpz } from '../../src/runtime/npz.ts';
import { sliceRows } from '../../src/samples/tensors.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { cli, emptyFolder, filesIn, startCli } from './run-cli.ts';

const here = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const model = here('models/shapes-vqa/model.onnx');
const data = here('models/shapes-vqa/data/held-out-0000.npz');
const golden = here('golden/calibration-shapes-vqa');
const samples = 120;
const common = [
  ...['--data', data, '--latency-table', join(golden, 'latency.json')],
  ...['--limit', `${samples}`, '--effort', 'quick', '--seed', '0'],
];

const planIn = (file: string): ReductionPlan => {
  const plan = parsePlan(readFileSync(file, 'utf8'));
  if (typeof plan === 'string') throw new Error(plan);
  return plan;
};

/** Which of the samples a model answers rightly, by plain reading of its output. */
const right = async (source: string | Uint8Array, asked: readonly number[]): Promise<boolean[]> => {
  const arrays = [...readNpz(readFileSync(data))].map(([name, array]): [string, TensorData] => [name, tensorOf(array)]);
  const session = await createSession(source, { ops: 'portable' });
  try {
    const found: boolean[] = [];
    for (const sample of asked) {
      const row = new Map(arrays.map(([name, tensor]) => [name, sliceRows(tensor, sample, sample + 1)]));
      const label = numbersOf(row.get('labels') as TensorData)[0];
      row.delete('labels');
      const logits = [...numbersOf((await session.run(row)).get('logits') as TensorData)];
      found.push(logits.indexOf(Math.max(...logits)) === label);
    }
    return found;
  } finally {
    await session.release();
  }
};

const share = (values: readonly boolean[]): number => values.filter(Boolean).length / values.length;

describe('calibrate', () => {
  test('the golden plan; its figures are those of the model compiled with it', async () => {
    const folder = emptyFolder();
    const words = ['calibrate', model, ...common, '-o', 'plan.json', '--max-drop', '0.1', '--json'];
    const { code, stdout, stderr } = cli(folder, words);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(filesIn(folder)).toEqual(['plan.json']);
    const plan = planIn(join(folder, 'plan.json'));
    expect(plan).toEqual(planIn(join(golden, 'plan.json')));

    const told = JSON.parse(stdout) as { ok: boolean; plan: ReductionPlan; report: CalibrationReport };
    expect(told).toMatchObject({ ok: true, plan, report: { missed: [], interrupted: false, metric: 'accuracy' } });
    const { report } = told;
    const { judging, choosing } = splitHalves(samples, 0);
    expect([...judging, ...choosing].sort((a, b) => a - b)).toEqual(Array.from({ length: samples }, (_, i) => i));
    expect(report.samples).toEqual({ choosing: 60, judging: 60, labelled: true });
    const [was, is] = [await right(model, judging), await right((await compile(model, { plan })).bytes(), judging)];
    expect(report.unreduced).toBeCloseTo(share(was), 12);
    expect(report.chosen.drop.mean).toBeCloseTo(share(was) - share(is), 12);
    expect(report.chosen.drop.low).toBeLessThanOrEqual(report.chosen.drop.mean);
    expect(report.chosen.multiplyAddsLeft).toBeLessThan(report.uncalibrated?.multiplyAddsLeft ?? 0);

    // Controls spend what the plan spends; the one that cannot be tried says why.
    const tried = report.controls.filter((c) => c.why === undefined);
    expect(tried.map((c) => c.control)).toEqual([
      'random pruning',
      'strided pruning',
      'average pooling',
      'random saliency',
    ]);
    for (const control of tried) expect(control.multiplyAddsLeft).toBeCloseTo(report.chosen.multiplyAddsLeft, 12);
    expect(report.controls.at(-1)).toMatchObject({
      control: 'smaller images',
      why: expect.stringMatching(/fixes "pixel_values" at 96 x 96/) as string,
    });
  }, 120_000);

  test('a budget out of reach: exit code 1, the nearest plan is written and named', () => {
    const folder = emptyFolder();
    const words = ['calibrate', model, ...common, '-o', 'p.json', '--max-drop', '0', '--min-speedup', '50', '-q'];
    const { code, stdout, stderr } = cli(folder, words);
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/error budget-not-kept: .*--min-speedup 50 is not kept[^]*the nearest plan is in p\.json/);
    expect(planIn(join(folder, 'p.json')).semantics).toBe('safe');
    expect(filesIn(folder)).toEqual(['p.json']);
  }, 120_000);

  test('interrupted: the best plan so far is written, and --resume ends where an uninterrupted run does', async () => {
    const folder = emptyFolder();
    const words = ['calibrate', model, ...common, '-o', 'plan.json', '--max-drop', '0.1'];
    const child = startCli(folder, words);
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    while (!existsSync(join(folder, 'plan.json.state')) && child.exitCode === null) await setTimeout(20);
    child.kill('SIGINT');
    expect(await ended).toBe(130);
    expect(filesIn(folder)).toEqual(['plan.json', 'plan.json.state']);
    planIn(join(folder, 'plan.json'));
    const again = cli(folder, [...words, '--resume', '-q']);
    expect(again).toMatchObject({ code: 0, stdout: '', stderr: '' });
    expect(planIn(join(folder, 'plan.json'))).toEqual(planIn(join(golden, 'plan.json')));
    expect(filesIn(folder)).toEqual(['plan.json']);
  }, 180_000);

  const untimed = [...common.filter((word) => !word.includes('latency')), '--max-drop', '0.1', '-v'];
  test.each([
    ['before the search', ['calibrate', model, '-o', 'plan.json', ...untimed]],
    ['while compiling on data', [model, '-o', 'out.onnx', ...untimed]],
  ])(
    'interrupted %s: nothing is written, and no temporary file is left',
    async (_, words) => {
      const [folder, temporary] = [emptyFolder(), emptyFolder()];
      const child = startCli(folder, words, { TMPDIR: temporary });
      const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
      let told = '';
      child.stderr?.on('data', (text: Buffer) => {
        const wasTold = told.includes('] making the calibration model');
        told += text.toString();
        if (!wasTold && told.includes('] making the calibration model')) child.kill('SIGINT');
      });
      expect(await ended).toBe(130);
      expect(told).toContain('] making the calibration model');
      expect(told).not.toMatch(/error|warning/);
      expect(filesIn(folder)).toEqual([]);
      // What tsx keeps there is its own.
      expect(filesIn(temporary).filter((name) => name.startsWith('pumer'))).toEqual([]);
    },
    60_000,
  );

  test('what cannot be calibrated is said before anything is spent, and nothing is left behind', () => {
    const folder = emptyFolder();
    const arrays = readNpz(readFileSync(data));
    arrays.delete('labels');
    writeFileSync(join(folder, 'bare.npz'), writeNpz(arrays));
    const run = (...words: string[]): ReturnType<typeof cli> => cli(folder, ['calibrate', model, ...words]);
    const bare = run('--data', 'bare.npz', '-o', 'plan.json', '--metric', 'accuracy');
    expect(bare).toMatchObject({ code: 1, stderr: expect.stringMatching(/error labels-needed/) as string });
    expect(run('--data', 'bare.npz', '-o', 'plan.json', '--limit', '1')).toMatchObject({ code: 2 });
    expect(run('--data', 'bare.npz', '-o', 'nowhere/plan.json')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/nowhere/) as string,
    });
    writeFileSync(join(folder, 'table.json'), '{"schema_version": 1}');
    const table = run('--data', 'bare.npz', '-o', 'plan.json', '--latency-table', 'table.json');
    expect(table).toMatchObject({ code: 1, stderr: expect.stringMatching(/error latency-table-unreadable/) as string });
    const golden = ['--data', 'bare.npz', '-o', 'plan.json', ...common.slice(2)];
    const other = run(...golden, '--batch', '2');
    expect(other).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/error latency-table-unfit: .*rows of a run: 1 there, 2 here/) as string,
    });
    expect(filesIn(folder)).toEqual(['bare.npz', 'table.json']);
  }, 60_000);
});
