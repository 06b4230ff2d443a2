/**
 * What a plan loses on the half that judges, with intervals; and whether a control that spends the same work loses
 * less, sample by sample.
 */
import { meanInterval, pairedInterval, type Interval, type MeanFigure } from '../metrics/interval.ts';
import type { Losses } from './evaluator.ts';

const judged = ({ mean, low, high }: Interval): MeanFigure => ({ mean, low, high });

export interface Verdict {
  /** Of the metric: more is worse. */
  readonly drop: MeanFigure;
  /** Share of samples with the unreduced model's answer. */
  readonly agreement: MeanFigure;
}

export const verdictOf = ({ metric, disagreement }: Losses): Verdict => ({
  drop: judged(pairedInterval(metric)),
  agreement: judged(meanInterval(disagreement.map((d) => 1 - d))),
});

/** Drop of the control minus that of the plan on the same samples: below 0 where the control loses less. */
export const against = (control: Losses, plan: Losses): MeanFigure =>
  judged(pairedInterval(control.metric.map((loss, i) => loss - (plan.metric[i] ?? Number.NaN))));
