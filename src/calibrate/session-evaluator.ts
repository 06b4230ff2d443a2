/**
 * Evaluators over models that run: the unreduced model's outputs are computed once for every sample and kept, every plan
 * is scored beside them.
 */
import type { Model } from '../graph/model.ts';
import { metricOn } from '../metrics/built-in.ts';
import { chosenOutput } from '../metrics/chosen-output.ts';
import type { Metric, ScoredBatch } from '../metrics/metric.ts';
import type { ReductionPlan } from '../reduction/plan.ts';
import type { SampleBatch, SampleSet, Tensors } from '../samples/sample-set.ts';
import { joinRows, rowsOf, sliceRows } from '../samples/tensors.ts';
import { invariant } from '../support/assert.ts';
import type { Evaluator, Losses } from './evaluator.ts';

export type Run = (feeds: Tensors) => Promise<Tensors>;

/** What outputs are scored by, beside the metric of the budget. */
export interface Scoring {
  readonly metric: Metric;
  /** Scores of 1 for the unreduced model's answer, 0 for another; between where the output has no answers. */
  readonly agreement: Metric;
  /** Smaller is nearer; may have no upper end. */
  readonly distance: (batch: ScoredBatch) => readonly number[] | Float64Array;
  /** Outputs that are looked at; all of them where undefined. */
  readonly outputs?: readonly string[];
}

/** Agreement in the answer and KL divergence where the chosen output has classes, cosine for both where it has none. */
export const scoringOf = (model: Model, metric: Metric, output?: string, keepsAll = false): Scoring => {
  const { name, type } = chosenOutput(model, output);
  const hasClasses = type?.dims === undefined || (type.dims.length > 1 && type.dims.at(-1) !== 1);
  const cosine = metricOn('cosine', name);
  return {
    metric,
    agreement: hasClasses ? metricOn('top1', name) : cosine,
    distance: hasClasses
      ? (batch) => metricOn('kl', name).score(batch)
      : (batch) => Float64Array.from(cosine.score(batch), (c) => 1 - c),
    ...(!keepsAll && { outputs: [name] }),
  };
};

/** The unreduced model on the samples. */
export interface References {
  readonly samples: SampleSet;
  readonly scoring: Scoring;
  /** Batches with the unreduced model's outputs on them; each sample is run once, when it is first asked for. */
  readonly batches: (samples: readonly number[]) => AsyncIterable<SampleBatch & { readonly reference: Tensors }>;
  /** Mean of the metric's score of the unreduced model itself. */
  readonly meanScore: (samples: readonly number[]) => Promise<number>;
}

export interface ReferenceOptions {
  readonly samples: SampleSet;
  readonly scoring: Scoring;
  /** Rows that run together, at most. */
  readonly rows: number;
  /** The unreduced model. */
  readonly run: Run;
}

const picked = (outputs: Tensors, names: readonly string[] | undefined): Tensors =>
  names === undefined ? outputs : new Map([...outputs].filter(([name]) => names.includes(name)));

const scored = (
  outputs: Tensors,
  { reference, labels, samples }: SampleBatch & { readonly reference: Tensors },
): ScoredBatch => ({ outputs, reference, rows: samples.length, ...(labels !== undefined && { labels }) });

export const referencesOf = ({ samples, scoring, rows, run }: ReferenceOptions): References => {
  const known = new Map<number, Tensors>();
  const runOn = async (batch: SampleBatch): Promise<void> => {
    const outputs = picked(await run(batch.feeds), scoring.outputs);
    batch.samples.forEach((sample, row) => {
      const own = [...outputs].map(([name, tensor]) => {
        if (batch.samples.length === 1) return [name, tensor] as const;
        invariant(rowsOf(tensor) === batch.samples.length, `output "${name}" has a row for every sample`);
        return [name, sliceRows(tensor, row, row + 1)] as const;
      });
      known.set(sample, new Map(own));
    });
  };
  async function* batches(
    asked: readonly number[],
  ): AsyncGenerator<SampleBatch & { readonly reference: Tensors }, void, undefined> {
    for (const batch of samples.batches(asked, rows)) {
      if (!batch.samples.every((s) => known.has(s))) await runOn(batch);
      const own = batch.samples.map((s) => known.get(s) as Tensors);
      const names = [...(own[0]?.keys() ?? [])];
      const joined = names.map((name) => [name, joinRows(own.flatMap((o) => o.get(name) ?? []))] as const);
      yield { ...batch, reference: new Map(joined) };
    }
  }
  const meanScore = async (asked: readonly number[]): Promise<number> => {
    let sum = 0;
    for await (const batch of batches(asked))
      for (const score of scoring.metric.score(scored(batch.reference, batch))) sum += score;
    return sum / asked.length;
  };
  return { samples, scoring, batches, meanScore };
};

/** `run` is the model under a plan. Losses are those of contract evaluator.ts. */
export const evaluatorOf = (
  references: References,
  run: (plan: ReductionPlan, feeds: Tensors) => Promise<Tensors>,
): Evaluator => {
  const { scoring } = references;
  const { metric, agreement } = scoring;
  const sign = metric.better === 'higher' ? 1 : -1;
  const losses = async (plan: ReductionPlan, samples: readonly number[], signal?: AbortSignal): Promise<Losses> => {
    const place = new Map(samples.map((sample, i) => [sample, i]));
    const found = {
      metric: new Float64Array(samples.length),
      disagreement: new Float64Array(samples.length),
      distance: new Float64Array(samples.length),
    };
    for await (const batch of references.batches(samples)) {
      signal?.throwIfAborted();
      const own = scored(picked(await run(plan, batch.feeds), scoring.outputs), batch);
      const was = metric.score(scored(batch.reference, batch));
      const is = metric.score(own);
      const agreed = agreement.score(own);
      const apart = scoring.distance(own);
      batch.samples.forEach((sample, row) => {
        const i = place.get(sample) as number;
        found.metric[i] = sign * ((was[row] as number) - (is[row] as number));
        found.disagreement[i] = 1 - (agreed[row] as number);
        found.distance[i] = apart[row] as number;
      });
    }
    return found;
  };
  return { count: references.samples.count, losses };
};
