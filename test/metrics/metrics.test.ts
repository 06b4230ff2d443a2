/** The built-in metrics against PyTorch and NumPy (metrics.py), and what they do with ties, NaN and odd shapes. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { DataType, type DeclaredDim, type Model } from '../../src/graph/model.ts';
import { numberToHalf } from '../../src/graph/tensors.ts';
import { metricNamed, metricOn, type MetricName } from '../../src/metrics/built-in.ts';
import { chosenOutput } from '../../src/metrics/chosen-output.ts';
import { errorStats } from '../../src/metrics/error-stats.ts';
import type { ScoredBatch } from '../../src/metrics/metric.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';

const recorded = JSON.parse(readFileSync(new URL('metrics.json', import.meta.url), 'utf8')) as Record<
  'reference' | 'candidate' | 'labels' | 'scores' | 'top1' | 'kl' | 'cosine' | 'accuracy' | 'soft',
  number[]
> & { rows: number; classes: number; errors: Record<string, number> & { worst: number[] } };
const { rows, classes } = recorded;

const floats = (values: readonly number[], dims: readonly number[]): TensorData => ({
  dataType: DataType.FLOAT,
  dims,
  data: Float32Array.from(values),
});
const ints = (values: readonly number[]): TensorData => ({
  dataType: DataType.INT32,
  dims: [values.length],
  data: Int32Array.from(values),
});
const doubles = (values: readonly number[], dims: readonly number[]): TensorData => ({
  dataType: DataType.DOUBLE,
  dims,
  data: Float64Array.from(values),
});

const batch = (candidate: TensorData, reference: TensorData, more: Partial<ScoredBatch> = {}): ScoredBatch => ({
  outputs: new Map([['logits', candidate]]),
  reference: new Map([['logits', reference]]),
  rows: candidate.dims[0] ?? 1,
  ...more,
});
const score = (metric: MetricName, of: ScoredBatch): number[] => [...metricOn(metric, 'logits').score(of)];

const candidate = floats(recorded.candidate, [rows, classes]);
const reference = floats(recorded.reference, [rows, classes]);

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof CompileError) return error.diagnostic.code;
    throw error;
  }
  return 'no error';
};

describe('as PyTorch and NumPy have them', () => {
  test.each(['top1', 'kl', 'cosine'] as const)('%s', (metric) => {
    const found = score(metric, batch(candidate, reference));
    expect(found).toHaveLength(rows);
    for (const [i, value] of found.entries()) expect(value).toBeCloseTo(recorded[metric][i] ?? NaN, 12);
  });

  test('accuracy on class numbers and on soft scores', () => {
    expect(score('accuracy', batch(candidate, reference, { labels: ints(recorded.labels) }))).toEqual(
      recorded.accuracy,
    );
    const soft = score('accuracy', batch(candidate, reference, { labels: doubles(recorded.scores, [rows, classes]) }));
    expect(soft).toEqual(recorded.soft);
  });

  test('errors, in one go and batch by batch', () => {
    const { worst, ...figures } = recorded.errors;
    const samples = Array.from({ length: rows }, (_, i) => i);
    const part = (tensor: TensorData, from: number, to: number): TensorData =>
      floats([...(tensor.data as Float32Array)].slice(from * classes, to * classes), [to - from, classes]);
    const whole = errorStats({ absolute: 0.25, relative: 0.5 }, 3);
    whole.add(candidate, reference, samples);
    const pieces = errorStats({ absolute: 0.25, relative: 0.5 }, 3);
    // In an order of its own: nothing depends on it.
    for (const [from, to] of [
      [7, rows],
      [0, 5],
      [5, 7],
    ] as const)
      pieces.add(part(candidate, from, to), part(reference, from, to), samples.slice(from, to));
    for (const found of [whole.result(), pieces.result()]) {
      for (const [name, value] of Object.entries(figures)) expect(found[name as 'maxAbsolute']).toBeCloseTo(value, 12);
      expect(found.worst.map(({ sample }) => sample)).toEqual(worst);
      expect(found.cosine).toBeCloseTo(recorded.cosine.reduce((a, b) => a + b, 0) / rows, 12);
      expect(found.elements).toBe(rows * classes);
    }
  });
});

describe('laws', () => {
  test('a model against itself', () => {
    const same = batch(reference, reference);
    expect(score('top1', same)).toEqual(Array(rows).fill(1));
    expect(score('kl', same)).toEqual(Array(rows).fill(0));
    for (const value of score('cosine', same)) expect(value).toBeCloseTo(1, 14);
    const stats = errorStats({ absolute: 0, relative: 0 });
    stats.add(reference, reference, [...Array(rows).keys()]);
    expect(stats.result()).toMatchObject({
      maxAbsolute: 0,
      meanAbsolute: 0,
      maxRelative: 0,
      normRelative: 0,
      outside: 0,
    });
  });

  test('KL is not negative, and adding a constant to the logits changes nothing', () => {
    const shifted = floats(
      recorded.candidate.map((v) => v + 64),
      [rows, classes],
    );
    const found = score('kl', batch(shifted, reference));
    for (const [i, value] of found.entries()) {
      expect(value).toBeGreaterThanOrEqual(0);
      expect(value).toBeCloseTo(recorded.kl[i] ?? NaN, 4);
    }
  });

  test('large logits do not overflow', () => {
    const [value = NaN] = score('kl', batch(floats([1000, 0], [1, 2]), floats([1000, 1000], [1, 2])));
    expect(value).toBeCloseTo(500 - Math.LN2, 9);
  });
});

describe('ties, NaN, shapes and types', () => {
  test('of equal values the lower index is the answer', () => {
    expect(score('top1', batch(floats([1, 1, 0], [1, 3]), floats([1, 0, 1], [1, 3])))).toEqual([1]);
    expect(score('top1', batch(floats([0, 1, 1], [1, 3]), floats([0, 0, 1], [1, 3])))).toEqual([0]);
  });

  test('what is no number never agrees', () => {
    const broken = floats([NaN, 1, 2], [1, 3]);
    const fine = floats([0, 1, 2], [1, 3]);
    for (const pair of [batch(broken, fine), batch(fine, broken), batch(broken, broken)]) {
      expect(score('top1', pair)).toEqual([0]);
      expect(score('kl', pair)).toEqual([Infinity]);
      expect(score('cosine', pair)).toEqual([0]);
    }
    expect(score('accuracy', batch(broken, fine, { labels: ints([2]) }))).toEqual([0]);
  });

  test('an answer that is ruled out', () => {
    const masked = floats([0, 0, -Infinity], [1, 3]);
    expect(score('kl', batch(floats([0, 0, 0], [1, 3]), masked))[0]).toBeCloseTo(Math.log(1.5), 9);
    expect(score('kl', batch(masked, floats([0, 0, 0], [1, 3])))).toEqual([Infinity]);
    expect(score('kl', batch(masked, masked))).toEqual([0]);
  });

  test('several positions in a row: their mean', () => {
    const [a, b] = [floats([1, 0, 0, 1, 1, 0, 1, 0], [2, 2, 2]), floats([1, 0, 1, 0, 1, 0, 1, 0], [2, 2, 2])];
    expect(score('top1', batch(a, b))).toEqual([0.5, 1]);
    // The same tensors as one feed that cannot be cut.
    expect(score('top1', batch(a, b, { rows: 1 }))).toEqual([0.75]);
    expect(score('accuracy', batch(a, b, { rows: 1, labels: ints([0, 1, 1, 0]) }))).toEqual([0.75]);
  });

  test('float16 and bfloat16 are read as the numbers they are', () => {
    const half = (dataType: DataType, bits: readonly number[]): TensorData => ({
      dataType,
      dims: [1, bits.length],
      data: Uint16Array.from(bits),
    });
    // As bit patterns negative numbers would be the largest.
    const values = [-2, 0.5, -1];
    const f16 = half(DataType.FLOAT16, values.map(numberToHalf));
    const bf16 = half(DataType.BFLOAT16, [0xc000, 0x3f00, 0xbf80]);
    const f64 = doubles(values, [1, 3]);
    for (const one of [f16, bf16]) {
      expect(score('top1', batch(one, f64))).toEqual([1]);
      expect(score('cosine', batch(one, f64))[0]).toBeCloseTo(1, 14);
    }
  });

  test('labels that do not fit', () => {
    const three = floats([0, 1, 2, 0, 1, 2], [2, 3]);
    const code = (labels: TensorData): string => codeOf(() => score('accuracy', batch(three, three, { labels })));
    expect(code(ints([0]))).toBe('labels-unfit');
    expect(code(ints([0, 3]))).toBe('labels-out-of-range');
    expect(code(doubles([1, 0, 0, 1], [2, 2]))).toBe('labels-unfit');
  });

  test('outputs without answers', () => {
    const one = floats([1, 2], [2, 1]);
    expect(codeOf(() => score('top1', batch(one, one)))).toBe('metric-needs-classes');
    const shared = floats([1, 2, 3], [1, 3]);
    expect(codeOf(() => score('top1', batch(shared, shared, { rows: 2 })))).toBe('metric-needs-rows');
  });

  test('values that are not finite are counted, and their samples are the worst', () => {
    const stats = errorStats({ absolute: 1, relative: 0 }, 2);
    stats.add(
      floats([1, NaN, Infinity, 5, NaN, 3], [3, 2]),
      floats([1, 2, Infinity, 5.5, NaN, -Infinity], [3, 2]),
      [4, 5, 6],
    );
    expect(stats.result()).toMatchObject({
      maxAbsolute: 0.5,
      meanAbsolute: 0.25,
      notFinite: { candidate: { nan: 2, infinite: 1 }, reference: { nan: 1, infinite: 2 }, different: 2 },
      outside: 2,
      worst: [
        { sample: 4, error: Infinity },
        { sample: 6, error: Infinity },
      ],
    });
  });
});

describe('which output', () => {
  const withOutputs = (outputs: readonly [string, DataType, (readonly DeclaredDim[])?][]): Model =>
    ({
      graph: {
        outputs: outputs.map(([name, dataType, dims]) => ({ name, type: { dataType, ...(dims && { dims }) } })),
      },
    }) as unknown as Model;
  const { FLOAT, INT64 } = DataType;

  test.each<[what: string, outputs: Parameters<typeof withOutputs>[0], chosen: string]>([
    [
      'the only one of floating point',
      [
        ['ids', INT64, ['b']],
        ['states', FLOAT, ['b', 't', 8]],
      ],
      'states',
    ],
    [
      'the one called logits',
      [
        ['pooled', FLOAT, ['b', 8]],
        ['logits', FLOAT, ['b', 3]],
      ],
      'logits',
    ],
    [
      'the first [rows, classes]',
      [
        ['states', FLOAT, ['b', 't', 8]],
        ['answers', FLOAT, ['b', 3]],
      ],
      'answers',
    ],
  ])('%s', (_, outputs, chosen) => {
    expect(chosenOutput(withOutputs(outputs)).name).toBe(chosen);
  });

  test('asked for, unknown, unclear', () => {
    const model = withOutputs([
      ['states', FLOAT, ['b', 't', 8]],
      ['scores', FLOAT, ['b', 't', 3]],
    ]);
    expect(chosenOutput(model, 'scores').name).toBe('scores');
    expect(codeOf(() => chosenOutput(model))).toBe('metric-output-unclear');
    expect(codeOf(() => chosenOutput(model, 'scors'))).toBe('metric-output-unknown');
    expect(codeOf(() => metricNamed('top-1', model, { output: 'scores' }))).toBe('metric-unknown');
    expect(codeOf(() => metricNamed('top1', withOutputs([['value', FLOAT, ['b', 1]]])))).toBe('metric-needs-classes');
    expect(metricNamed('cosine', withOutputs([['value', FLOAT, ['b', 1]]]))).toMatchObject({ better: 'higher' });
  });
});
