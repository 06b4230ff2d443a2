/** A calibration's report with every field filled in. Figures made up. */
import type { CalibrationReport, PlanFigures } from '../../src/report/calibration.ts';

const mean = (value: number): PlanFigures['drop'] => ({ mean: value, low: value - 0.01, high: value + 0.01 });
const time = (median: number): { median: number; low: number; high: number } => ({
  median,
  low: 0.9 * median,
  high: 1.1 * median,
});
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

export const report: CalibrationReport = {
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
  chosen: {
    ...figures(1),
    measured: { original: time(3), compiled: time(2), ratio: time(0.67), speedup: time(1.5) },
  },
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
