/**
 * Two models on the same samples, or one against what was recorded: how far every output is off, whether the answers
 * are the same, and how many of them are right where there are labels. Decides nothing: see gates.ts.
 */
import { setImmediate } from 'node:timers/promises';
import type { AccuracyComparison, ModelComparison } from '../metrics/comparison.ts';
import { metricOn } from '../metrics/built-in.ts';
import type { Tolerance } from '../metrics/error-stats.ts';
import { meanInterval, pairedInterval } from '../metrics/interval.ts';
import type { Session } from '../runtime/session.ts';
import type { SampleBatch, SampleSet, Tensors } from '../samples/sample-set.ts';
import { comparisonOf } from './output-comparison.ts';

export interface ComparedSessions {
  /** Absent where the candidate is held against recorded outputs. */
  readonly reference?: Session;
  readonly candidate: Session;
  /** The candidate with its reducers on the fused kernels. */
  readonly fused?: Session;
}

export interface CompareSettings {
  /** Rows run together, at most. */
  readonly rows: number;
  /** Of every output that has none of its own. */
  readonly tolerance?: Tolerance;
  readonly tolerances: ReadonlyMap<string, Tolerance>;
  /** The output with the answers; labels are about it. */
  readonly answers?: string;
  readonly signal?: AbortSignal;
  readonly progress?: (step: string) => void;
}

interface AccuracyScores {
  readonly add: (batch: SampleBatch, candidate: Tensors, reference: Tensors | undefined) => void;
  readonly result: () => AccuracyComparison | null;
}

const accuracyOn = (output: string | undefined): AccuracyScores => {
  const was: number[] = [];
  const is: number[] = [];
  return {
    add: ({ labels, samples }, candidate, reference) => {
      if (output === undefined || labels === undefined) return;
      const score = (outputs: Tensors): readonly number[] | Float64Array =>
        metricOn('accuracy', output).score({ outputs, reference: outputs, labels, rows: samples.length });
      is.push(...score(candidate));
      if (reference !== undefined) was.push(...score(reference));
    },
    result: () => {
      if (output === undefined || is.length === 0) return null;
      const isPaired = was.length > 0;
      return {
        output,
        reference: isPaired ? meanInterval(was) : null,
        candidate: meanInterval(is),
        drop: isPaired ? pairedInterval(was.map((score, i) => score - (is[i] as number))) : null,
      };
    },
  };
};

/** Seconds left, told once a few have passed. */
const leftText = (start: number, done: number, all: number): string => {
  const seconds = (performance.now() - start) / 1000;
  return seconds < 2 || done === 0 ? '' : `, ${Math.ceil((seconds * (all - done)) / done)} s left`;
};

/**
 * Runs all samples through the sessions. Rejects with a CompileError output-shapes-differ, what a run or a metric
 * throws, or the signal's reason.
 */
export const compareModels = async (
  { reference, candidate, fused }: ComparedSessions,
  set: SampleSet,
  settings: CompareSettings,
): Promise<ModelComparison> => {
  const { rows, answers, signal, progress } = settings;
  const common = { nameOf: set.nameOf, ...(answers !== undefined && { answers }) };
  const compared = comparisonOf({
    ...common,
    toleranceOf: (output) => settings.tolerances.get(output) ?? settings.tolerance,
  });
  const onKernels = comparisonOf({ ...common, toleranceOf: () => undefined });
  const accuracy = accuracyOn(answers);
  const start = performance.now();
  let done = 0;
  for (const batch of set.batches(
    Array.from({ length: set.count }, (_, i) => i),
    rows,
  )) {
    progress?.(`sample ${done} of ${set.count}${leftText(start, done, set.count)}`);
    // An interrupt is heard between batches.
    await setImmediate();
    signal?.throwIfAborted();
    const { feeds, samples } = batch;
    const is = await candidate.run(feeds);
    const was = await reference?.run(feeds);
    compared.add(is, was ?? batch.recorded ?? new Map(), samples);
    if (fused !== undefined) onKernels.add(await fused.run(feeds), is, samples);
    accuracy.add(batch, is, was);
    done += samples.length;
  }
  return {
    samples: set.count,
    outputs: compared.result(),
    accuracy: accuracy.result(),
    fused: fused === undefined ? null : onKernels.result(),
  };
};
