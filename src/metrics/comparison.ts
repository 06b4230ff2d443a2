/**
 * The figures of a comparison of two models, as plain data: what `validate` finds out and its report shows.
 */
import type { ErrorSummary, Tolerance } from './error-stats.ts';
import type { Interval } from './interval.ts';

export interface NamedWorst {
  readonly sample: string;
  /** Its largest absolute error; null where one of both is not finite. */
  readonly error: number | null;
  /** Whether it gets the same answer; null for outputs without classes. */
  readonly sameAnswer: boolean | null;
}

export interface OutputComparison extends Omit<ErrorSummary, 'worst'> {
  readonly output: string;
  readonly tolerance: Tolerance | null;
  /** Share of samples with the same answer; null for outputs without classes. */
  readonly agreement: Interval | null;
  /** The first samples with another answer. */
  readonly changed: readonly string[];
  /** By largest absolute error, the worst first. */
  readonly worst: readonly NamedWorst[];
}

/** On the labels. */
export interface AccuracyComparison {
  readonly output: string;
  /** Null where there is no second model. */
  readonly reference: Interval | null;
  readonly candidate: Interval;
  /** The reference's accuracy less the candidate's, sample by sample; null where there is no second model. */
  readonly drop: Interval | null;
}

export interface ModelComparison {
  readonly samples: number;
  /** Candidate against reference. */
  readonly outputs: readonly OutputComparison[];
  /** Null without labels, or where no output holds the answers. */
  readonly accuracy: AccuracyComparison | null;
  /** The candidate on the fused kernels against itself on the function body; null where that was not run. */
  readonly fused: readonly OutputComparison[] | null;
}

/** A demand, and whether it is met. */
export interface Gate {
  readonly gate: 'finite' | 'tolerance' | 'min-agreement' | 'max-drop';
  readonly output: string;
  /** Elements outside (finite, tolerance) or the share that is judged. */
  readonly found: number;
  /** The most (finite, tolerance, max-drop) or the least (min-agreement) that passes. */
  readonly limit: number;
  readonly passed: boolean;
  /** In words, for what does not pass. */
  readonly message: string;
}
