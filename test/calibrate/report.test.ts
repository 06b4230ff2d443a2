/** The table of a calibration: what it must not keep to itself. Figures made up. */
import { describe, expect, test } from 'vitest';
import { calibrationTable, type CalibrationReport, type PlanFigures } from '../../src/report/calibration.ts';

const mean = (value: number): PlanFigures['drop'] => ({ mean: value, low: value - 0.01, high: value + 0.01 });
const figures = (layer: number): PlanFigures => ({
  plan: { schema_version: 1, semantics: 'safe', sites: [{ layer, prune: 0, merge: 0.3, mergeText: 0 }] },
  drop: mean(0.004),
  agreement: mean(0.99),
  multiplyAddsLeft: 0.6,
  predictedSpeedup: 1.5,
});
const why = (message: string): CalibrationReport['closed'][number]['why'] => ({
  code: 'text-lane-fixed',
  severity: 'note',
  message,
});

const report: CalibrationReport = {
  model: 'm.onnx',
  data: 'd',
  samples: { choosing: 10, judging: 10, labelled: true },
  metric: 'accuracy',
  unreduced: 0.9,
  budget: { 'max-drop': 0.01 },
  missed: [],
  interrupted: false,
  closed: [
    { layer: 0, what: 'text', why: why('the text keeps its length at layer 0') },
    { layer: 2, what: 'text', why: why('the text keeps its length at layer 2') },
    { layer: 3, what: 'layer', why: { ...why('another reason'), code: 'other' } },
  ],
  sites: [
    { layer: 1, prune: 0, merge: 0.3, mergeText: 0, image: { before: 10, after: 7 }, text: { before: 4, after: 4 } },
  ],
  chosen: figures(1),
  front: [figures(1), figures(2)],
  uncalibrated: figures(2),
  controls: [
    { control: 'random pruning', drop: mean(0.001), agreement: mean(1), multiplyAddsLeft: 0.6, against: mean(-0.02) },
    { control: 'strided pruning', drop: mean(0.003), agreement: mean(1), multiplyAddsLeft: 0.6, against: mean(-0.005) },
    { control: 'smaller images', why: 'the model fixes its size' },
  ],
  latency: { machine: 'here', threads: null, batch: 1, timedPlans: 3, error: { median: 0.05, largest: 0.1 } },
  search: { effort: 'quick', seed: 0, plans: 5, evaluations: 100, evaluationsPerMinute: 600 },
  seconds: { latency: 1, search: 1, judging: 1 },
};

describe('the table', () => {
  test('says what no plan touches, a reason once', () => {
    const lines = calibrationTable(report).split('\n');
    expect(lines.filter((l) => l.startsWith('not open'))).toEqual([
      'not open       text of layers 0, 2: the text keeps its length at layer 0',
      'not open       layer 3: another reason',
    ]);
  });

  test('says which control won, and only where that is more than chance', () => {
    const text = calibrationTable(report);
    expect(text).toContain('note           random pruning lost less than the chosen plan at the same cost');
    const [, ...others] = report.controls;
    expect(calibrationTable({ ...report, controls: others })).not.toContain('lost less');
  });

  test('says which control was not tried and why, which limit is missed and where', () => {
    const missed = [{ limit: 'max-drop', wanted: 0.01, found: 0.02, where: 'judging' } as const];
    const text = calibrationTable({ ...report, missed });
    expect(text).toContain('not tried      smaller images: the model fixes its size');
    expect(text).toContain('not reached    --max-drop 0.01 is not kept: 0.0200 on the held-out half');
  });

  test('lists the chosen plan once; without the default where that was not judged', () => {
    expect(calibrationTable(report).match(/^front \d/gm)).toEqual(['front 1']);
    expect(calibrationTable(report)).toContain('default (--keep 0.7)');
    expect(calibrationTable({ ...report, uncalibrated: null })).not.toContain('default (--keep 0.7)');
  });
});
