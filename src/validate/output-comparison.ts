/**
 * Two models' outputs side by side, gathered batch by batch: the figures of every output, and the samples where they
 * differ most, by name.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import { outputShapesDiffer } from '../diagnostics/messages-validate.ts';
import { DataType } from '../graph/model.ts';
import { metricOn } from '../metrics/built-in.ts';
import type { OutputComparison } from '../metrics/comparison.ts';
import { errorStats, type ErrorStats, type Tolerance } from '../metrics/error-stats.ts';
import { meanInterval } from '../metrics/interval.ts';
import type { TensorData } from '../runtime/tensor-data.ts';
import type { Tensors } from '../samples/sample-set.ts';

export interface Comparison {
  readonly add: (candidate: Tensors, reference: Tensors, samples: readonly number[]) => void;
  readonly result: () => readonly OutputComparison[];
}

export interface ComparisonSettings {
  readonly nameOf: (sample: number) => string;
  readonly toleranceOf: (output: string) => Tolerance | undefined;
  /** The output with the answers; others have answers, too, where they are [rows, classes]. */
  readonly answers?: string;
}

interface Gathered {
  readonly tolerance: Tolerance | undefined;
  readonly stats: ErrorStats;
  readonly agreement: Map<number, number>;
}

/** Names of samples with another answer that are kept. */
const mostChanged = 20;

const floats: ReadonlySet<DataType> = new Set([DataType.FLOAT, DataType.DOUBLE, DataType.FLOAT16, DataType.BFLOAT16]);

const hasAnswers = (name: string, { dataType, dims }: TensorData, rows: number, answers?: string): boolean => {
  const fits = floats.has(dataType) && dims.length >= 2 && (dims.at(-1) ?? 0) >= 2 && (rows === 1 || dims[0] === rows);
  return fits && (name === answers || dims.length === 2);
};

const shapeText = (dims: readonly number[]): string => `[${dims.join(', ')}]`;

export const comparisonOf = ({ nameOf, toleranceOf, answers }: ComparisonSettings): Comparison => {
  const outputs = new Map<string, Gathered>();
  const gatheredFor = (name: string): Gathered => {
    const known = outputs.get(name);
    if (known !== undefined) return known;
    const tolerance = toleranceOf(name);
    const fresh = { tolerance, stats: errorStats(tolerance), agreement: new Map<number, number>() };
    outputs.set(name, fresh);
    return fresh;
  };
  const summary = (output: string, { tolerance, stats, agreement }: Gathered): OutputComparison => {
    const { worst, ...figures } = stats.result();
    const same = (sample: number): boolean | null => (agreement.size === 0 ? null : agreement.get(sample) === 1);
    return {
      output,
      tolerance: tolerance ?? null,
      ...figures,
      agreement: agreement.size === 0 ? null : meanInterval([...agreement.values()]),
      changed: [...agreement]
        .filter(([, score]) => score < 1)
        .map(([sample]) => sample)
        .sort((a, b) => a - b)
        .slice(0, mostChanged)
        .map(nameOf),
      worst: worst
        .filter(({ error }) => error > 0)
        .map(({ sample, error }) => ({
          sample: nameOf(sample),
          error: Number.isFinite(error) ? error : null,
          sameAnswer: same(sample),
        })),
    };
  };
  return {
    add: (candidate, reference, samples) => {
      for (const [name, was] of reference) {
        const is = candidate.get(name);
        if (is?.dims.join() !== was.dims.join())
          throw new CompileError(
            outputShapesDiffer(
              name,
              nameOf(samples[0] ?? 0),
              is === undefined ? 'missing' : shapeText(is.dims),
              shapeText(was.dims),
            ),
          );
        const { stats, agreement } = gatheredFor(name);
        stats.add(is, was, samples);
        const rows = samples.length;
        if (!hasAnswers(name, was, rows, answers)) continue;
        const scores = metricOn('top1', name).score({ outputs: candidate, reference, rows });
        for (const [i, sample] of samples.entries()) agreement.set(sample, scores[i] ?? 0);
      }
    },
    result: () => [...outputs].map(([name, gathered]) => summary(name, gathered)),
  };
};
