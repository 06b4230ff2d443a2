/** The table of a calibration: what it must not keep to itself. */
import { describe, expect, test } from 'vitest';
import { calibrationTable } from '../../src/report/calibration.ts';
import { report } from './made-up-report.ts';

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

  test('claims no interval, and no winner, where one sample judges', () => {
    const alone = { mean: -0.02, low: null, high: null };
    const [control] = report.controls;
    const controls = [{ ...control, against: alone } as (typeof report.controls)[number]];
    const text = calibrationTable({ ...report, controls, chosen: { ...report.chosen, drop: alone } });
    expect(text).toContain('-0.0200 (one sample)');
    expect(text).not.toContain('lost less');
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
