/**
 * Calibrations through the library that are interrupted behind the search, and gone on with: on the model that has
 * learned something, with few samples and recorded times.
 */
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { calibrate, type CalibrateResult } from '../../src/index.ts';

const here = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const model = here('models/shapes-vqa/model.onnx');
const folder = mkdtempSync(join(tmpdir(), 'pumer-halves-'));
const data = join(folder, 'data');
mkdirSync(data);
const samples = join(data, 'samples.npz');
copyFileSync(here('models/shapes-vqa/data/held-out-0000.npz'), samples);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The state lies among the samples: that makes no other data of them. */
const stateFile = join(data, 'plan.json.state');

const run = (options: { resume: boolean; abortAt?: string }): Promise<CalibrateResult> => {
  const interruption = new AbortController();
  return calibrate(model, data, {
    budget: { maxDrop: 0.2 },
    effort: 'quick',
    limit: 24,
    latencyTable: here('golden/calibration-shapes-vqa/latency.json'),
    stateFile,
    resume: options.resume,
    signal: interruption.signal,
    onProgress: (step) => {
      if (options.abortAt !== undefined && step.includes(options.abortAt)) interruption.abort();
    },
  });
};

describe('interrupted while judging', () => {
  test('the chosen plan is judged and nothing else is; what was searched is not searched again', async () => {
    const { report, plan } = await run({ resume: false, abortAt: 'judging' });
    expect(report.interrupted).toBe(true);
    expect(plan.sites.length).toBeGreaterThan(0);
    expect(report.chosen.drop.mean).not.toBeNaN();
    expect(report.chosen.measured).toBeUndefined();
    expect(report).toMatchObject({ front: [], uncalibrated: null });
    expect(report.controls.map((c) => c.why)).toEqual(Array(5).fill('interrupted before'));

    const between = await run({ resume: true, abortAt: 'a control: average pooling' });
    expect(between.report.interrupted).toBe(true);
    expect(between.report.controls.map((c) => c.why === 'interrupted before')).toEqual([
      false,
      false,
      true,
      true,
      true,
    ]);

    const whole = await run({ resume: true });
    expect(whole.plan).toEqual(plan);
    expect(whole.report.interrupted).toBe(false);
    expect(whole.report.chosen.drop).toEqual(report.chosen.drop);
    expect(whole.report.uncalibrated?.drop.mean).not.toBeNaN();
  }, 120_000);

  test('samples that changed since are other samples', async () => {
    utimesSync(samples, new Date(2001, 0, 1), new Date(2001, 0, 1));
    await expect(run({ resume: true })).rejects.toMatchObject({
      diagnostic: { code: 'state-of-another-search' },
    });
  }, 60_000);
});
