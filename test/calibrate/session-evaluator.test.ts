/**
 * Losses of plans as the evaluator finds them, against the same arithmetic by hand on a model that is a few lines:
 * logits are the inputs, moved by what a plan removes.
 */
import { describe, expect, test } from 'vitest';
import {
  createScoring,
  sessionEvaluator,
  unreducedRun,
  type Run,
  type ScoringOptions,
} from '../../src/calibrate/session-evaluator.ts';
import { DataType } from '../../src/graph/model.ts';
import { metricOn } from '../../src/metrics/built-in.ts';
import type { Metric } from '../../src/metrics/metric.ts';
import type { ReductionPlan } from '../../src/reduction/plan.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import type { SampleSet, Tensors } from '../../src/samples/sample-set.ts';

const CLASSES = 3;
const COUNT = 7;
/** Sample s: logits, and a label. */
const logits = Array.from({ length: COUNT }, (_, s) => [s % 3, (s * 2) % 5, 1.5]);
const labels = [1, 0, 1, 2, 1, 2, 0];

const floats = (rows: readonly (readonly number[])[]): TensorData => ({
  dataType: DataType.FLOAT,
  dims: [rows.length, CLASSES],
  data: Float32Array.from(rows.flat()),
});

/** Batches in another order than asked, the odd samples first, as sizes may demand. */
const samples = (labelled = true): SampleSet => ({
  count: COUNT,
  labelled,
  recorded: false,
  nameOf: (s) => `sample ${s}`,
  batches: (asked, rows) => {
    const sorted = [...asked.filter((s) => s % 2 === 1), ...asked.filter((s) => s % 2 === 0)];
    return Array.from({ length: Math.ceil(sorted.length / rows) }, (_, i) => {
      const own = sorted.slice(i * rows, (i + 1) * rows);
      return {
        samples: own,
        feeds: new Map([['x', floats(own.map((s) => logits[s] as number[]))]]),
        ...(labelled && {
          labels: {
            dataType: DataType.INT64,
            dims: [own.length],
            data: BigInt64Array.from(own.map((s) => BigInt(labels[s] as number))),
          },
        }),
      };
    });
  },
});

/** The first class's logit grows by three times what is pruned. */
const moved = (row: readonly number[], prune: number): number[] => [(row[0] as number) + 3 * prune, ...row.slice(1)];

const model = (): { runs: Tensors[]; run: Run } => {
  const runs: Tensors[] = [];
  return {
    runs,
    run: (feeds) => {
      runs.push(feeds);
      const { data, dims } = feeds.get('x') as TensorData;
      const prune = (feeds.get('prune')?.data[0] as number | undefined) ?? 0;
      const rows = Array.from({ length: dims[0] as number }, (_, r) =>
        moved([...(data.slice(r * CLASSES, (r + 1) * CLASSES) as Float32Array)], prune),
      );
      return Promise.resolve(
        new Map([
          ['y', floats(rows)],
          ['other', floats(rows)],
        ]),
      );
    },
  };
};

const candidate = {
  semantics: 'safe',
  feedsFor: ({ sites }: ReductionPlan) =>
    new Map([['prune', { dataType: DataType.FLOAT, dims: [1], data: Float32Array.from([sites[0]?.prune ?? 0]) }]]),
} as const;

const plan = (prune: number): ReductionPlan => ({
  schema_version: 1,
  semantics: 'safe',
  sites: prune === 0 ? [] : [{ layer: 0, prune, merge: 0, mergeText: 0 }],
});

const scoring = (original: Run, more: Partial<ScoringOptions> = {}): ReturnType<typeof createScoring> =>
  createScoring({
    samples: samples(),
    rows: 2,
    original,
    metric: metricOn('accuracy', 'y'),
    agreement: metricOn('top1', 'y'),
    distance: metricOn('kl', 'y'),
    outputs: ['y'],
    ...more,
  });

const answer = (row: readonly number[]): number => row.indexOf(Math.max(...row));
const softmax = (row: readonly number[]): number[] => {
  const all = row.map(Math.exp);
  return all.map((e) => e / all.reduce((a, b) => a + b));
};

describe('losses of plans', () => {
  test.each([0, 0.25, 0.5])('pruned %d: as by hand, in the order asked', async (prune) => {
    const { run } = model();
    const asked = [6, 3, 0, 5, 1];
    const { metric, disagreement, distance } = await sessionEvaluator(
      { run: run as never },
      candidate,
      scoring(run),
    ).losses(plan(prune), asked);
    for (const [i, s] of asked.entries()) {
      const before = logits[s] as number[];
      const after = moved(before, prune);
      expect(metric[i]).toBe(Number(answer(before) === labels[s]) - Number(answer(after) === labels[s]));
      expect(disagreement[i]).toBe(Number(answer(before) !== answer(after)));
      const [p, q] = [softmax(before), softmax(after)];
      const kl = p.reduce((sum, v, c) => sum + v * Math.log(v / (q[c] as number)), 0);
      expect(distance[i]).toBeCloseTo(kl, 6);
    }
  });

  test('a metric where less is better is signed', async () => {
    const { run } = model();
    const first: Metric = {
      name: 'first logit',
      better: 'lower',
      needsLabels: false,
      score: ({ outputs, rows }) =>
        Array.from({ length: rows }, (_, r) => (outputs.get('y') as TensorData).data[r * CLASSES] as number),
    };
    const { metric } = await sessionEvaluator({ run: run as never }, candidate, scoring(run, { metric: first })).losses(
      plan(0.5),
      [0, 1, 2],
    );
    expect([...metric]).toEqual([1.5, 1.5, 1.5]);
  });

  test('the unreduced model runs once a sample, plans once each; both are counted', async () => {
    const [original, reduced] = [model(), model()];
    const scored = scoring(original.run);
    const evaluator = sessionEvaluator({ run: reduced.run as never }, candidate, scored);
    await evaluator.losses(plan(0.25), [0, 1, 2, 3]);
    await evaluator.losses(plan(0.5), [0, 1, 2, 3]);
    expect([...(await scored.unreduced([0, 1, 2, 3]))]).toEqual(
      [0, 1, 2, 3].map((s) => Number(answer(logits[s] as number[]) === labels[s])),
    );
    expect(original.runs).toHaveLength(2);
    expect(reduced.runs).toHaveLength(4);
    expect(evaluator.counts()).toEqual({ evaluations: 2, planSamples: 8 });
  });

  test('inputs beyond what may be held are read again, to the same losses', async () => {
    const { run } = model();
    const held = sessionEvaluator({ run: run as never }, candidate, scoring(run));
    const read = sessionEvaluator({ run: run as never }, candidate, scoring(run, { heldBytes: 0 }));
    for (const prune of [0.25, 0.5])
      expect(await read.losses(plan(prune), [0, 1, 2, 3, 4])).toEqual(await held.losses(plan(prune), [0, 1, 2, 3, 4]));
  });

  test('where the unreduced model has no number nothing is lost; a plan that has none is', async () => {
    const { run } = model();
    const without: Run = async (feeds) => {
      const outputs = await run(feeds);
      const y = outputs.get('y') as TensorData;
      (y.data as Float32Array)[0] = NaN;
      return outputs;
    };
    const both = await sessionEvaluator({ run: without as never }, candidate, scoring(without)).losses(plan(0.25), [0]);
    expect([both.metric[0], both.disagreement[0], both.distance[0]]).toEqual([0, 0, 0]);
    const one = await sessionEvaluator({ run: without as never }, candidate, scoring(run)).losses(plan(0.25), [0]);
    expect([one.disagreement[0], one.distance[0]]).toEqual([1, Infinity]);
  });

  test('the unreduced model on the session of the plans', async () => {
    const { runs, run } = model();
    await unreducedRun({ run: run as never }, candidate)(new Map([['x', floats([[1, 2, 3]])]]));
    expect([...(runs[0] as Tensors).keys()]).toEqual(['x', 'prune']);
    expect(runs[0]?.get('prune')?.data[0]).toBe(0);
  });

  test('stops between batches where it is told to', async () => {
    const stop = new AbortController();
    const { runs, run } = model();
    const evaluator = sessionEvaluator(
      { run: ((feeds: Tensors) => (stop.abort(new Error('enough')), run(feeds))) as never },
      candidate,
      scoring(run),
    );
    await expect(evaluator.losses(plan(0.25), [0, 1, 2, 3], stop.signal)).rejects.toThrow('enough');
    expect(runs).toHaveLength(2);
  });

  test('a metric that gives another number of scores is our or its author’s mistake, not silence', async () => {
    const { run } = model();
    const short: Metric = { name: 'short', better: 'higher', needsLabels: false, score: () => [1] };
    await expect(scoring(run, { metric: short }).losses(run, [0, 1])).rejects.toThrow('"short" gave 1 scores for 2');
  });
});
