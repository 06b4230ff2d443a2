/**
 * What outputs are scored by: the metric of the budget, whether answers agree, and a fine measure to rank plans by.
 */
import type { Model } from '../graph/model.ts';
import { metricOn } from '../metrics/built-in.ts';
import { chosenOutput } from '../metrics/chosen-output.ts';
import type { Metric } from '../metrics/metric.ts';
import type { ScoringOptions } from './session-evaluator.ts';

export type ScoringMetrics = Pick<ScoringOptions, 'metric' | 'agreement' | 'distance' | 'outputs'>;

/**
 * Top-1 agreement and KL divergence of the asked output (chosen-output.ts) where it has classes, cosine for both where
 * it has none. `isOwn`: the metric is a user's and may read any output.
 */
export const scoringMetrics = (
  model: Model,
  metric: Metric,
  { output, isOwn = false }: { readonly output?: string; readonly isOwn?: boolean } = {},
): ScoringMetrics => {
  const { name, type } = chosenOutput(model, output);
  const hasClasses = type?.dims === undefined || (type.dims.length > 1 && type.dims.at(-1) !== 1);
  return {
    metric,
    agreement: metricOn(hasClasses ? 'top1' : 'cosine', name),
    distance: metricOn(hasClasses ? 'kl' : 'cosine', name),
    ...(!isOwn && { outputs: [name] }),
  };
};
