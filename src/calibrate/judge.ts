/**
 * What a plan loses on the half that judges, with intervals; and whether a control that spends the same work loses
 * less, sample by sample.
 */
import { meanInterval, pairedInterval, type Interval } from '../metrics/interval.ts';
import type { Losses } from './evaluator.ts';

/** A mean over samples with its 95 % interval; one sample has none, and then both ends are the mean. */
export interface Judged {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

const judged = ({ mean, low, high }: Interval): Judged => ({ mean, low: low ?? mean, high: high ?? mean });

export interface Verdict {
  /** Of the metric: more is worse. */
  readonly drop: Judged;
  /** Share of samples with the unreduced model's answer. */
  readonly agreement: Judged;
}

export const verdictOf = ({ metric, disagreement }: Losses): Verdict => ({
  drop: judged(pairedInterval(metric)),
  agreement: judged(meanInterval(disagreement.map((d) => 1 - d))),
});

/** Drop of the control minus that of the plan on the same samples: below 0 where the control loses less. */
export const against = (control: Losses, plan: Losses): Judged =>
  judged(pairedInterval(control.metric.map((loss, i) => loss - (plan.metric[i] ?? Number.NaN))));
