/**
 * Losses of plans by running them: every plan on one session of the calibration model, beside the unreduced model's
 * outputs, which are computed once and kept. The same scoring serves any other model of the same outputs: a compiled
 * one, a control.
 */
import type { ReductionPlan } from '../reduction/plan.ts';
import type { Metric } from '../metrics/metric.ts';
import type { Session } from '../runtime/session.ts';
import type { SampleBatch, SampleSet, Tensors } from '../samples/sample-set.ts';
import { invariant } from '../support/assert.ts';
import type { CandidateModel } from './candidate-model.ts';
import type { Evaluator, Losses } from './evaluator.ts';

export type Run = (feeds: Tensors) => Promise<Tensors>;

export interface ScoringOptions {
  readonly samples: SampleSet;
  /** Rows that run together, at most. */
  readonly rows: number;
  /** The unreduced model. */
  readonly original: Run;
  /** The one the budget is on. */
  readonly metric: Metric;
  /** Whether the answer is the unreduced model's: top1, or another metric that gives 1 for yes and 0 for no. */
  readonly agreement: Metric;
  /** A fine measure of how far outputs moved: kl, or cosine. */
  readonly distance: Metric;
  /** Outputs that the metrics read, where not all: those of the unreduced model are kept in memory. */
  readonly outputs?: readonly string[];
  /** Inputs kept in memory instead of being read for every plan, at most. */
  readonly heldBytes?: number;
}

export interface Scoring {
  readonly count: number;
  /** What a model loses on the given samples, in their order. Rejects with the signal's reason, and with what runs reject with. */
  readonly losses: (run: Run, samples: readonly number[], signal?: AbortSignal) => Promise<Losses>;
  /** The unreduced model's own scores by the metric, in the order of the samples. */
  readonly unreduced: (samples: readonly number[], signal?: AbortSignal) => Promise<Float64Array>;
}

const measures = ['metric', 'agreement', 'distance'] as const;
type Measure = (typeof measures)[number];
type Scores = Readonly<Record<Measure, ArrayLike<number>>>;

/** What is known of a batch without running a plan. */
interface Prepared {
  readonly reference: Tensors;
  readonly own: Scores;
  /** Absent where inputs are read anew each time. */
  readonly feeds?: Tensors;
}

const HELD_BYTES = 512 * 2 ** 20;

const bytesOf = (tensors: Tensors): number => [...tensors.values()].reduce((sum, t) => sum + t.data.byteLength, 0);

/** The batches of samples that were asked for together come again together; their names are their samples. */
export const createScoring = (options: ScoringOptions): Scoring => {
  const { samples: all, rows, original, outputs, heldBytes = HELD_BYTES } = options;
  const prepared = new Map<string, Prepared>();
  let held = 0;

  const scored = (measure: Measure, batch: SampleBatch, found: Tensors, reference: Tensors): ArrayLike<number> => {
    const metric = options[measure];
    const { labels } = batch;
    const count = batch.samples.length;
    const scores = metric.score({ outputs: found, reference, rows: count, ...(labels !== undefined && { labels }) });
    invariant(scores.length === count, `metric "${metric.name}" gave ${scores.length} scores for ${count} samples`);
    return scores;
  };
  const allScores = (batch: SampleBatch, found: Tensors, reference: Tensors): Scores => ({
    metric: scored('metric', batch, found, reference),
    agreement: scored('agreement', batch, found, reference),
    distance: scored('distance', batch, found, reference),
  });

  const prepare = async (batch: SampleBatch): Promise<Prepared & { readonly feeds: Tensors }> => {
    const name = batch.samples.join();
    const known = prepared.get(name);
    const feeds = known?.feeds ?? batch.feeds;
    if (known !== undefined) return { ...known, feeds };
    const whole = await original(feeds);
    const reference = new Map([...whole].filter(([output]) => outputs?.includes(output) !== false));
    const own = allScores(batch, reference, reference);
    held += bytesOf(feeds);
    prepared.set(name, { reference, own, ...(held <= heldBytes && { feeds }) });
    return { reference, own, feeds };
  };

  /** Calls `visit` with every batch; `place` of its row i is where that sample stands among those asked. */
  const each = async (
    samples: readonly number[],
    signal: AbortSignal | undefined,
    visit: (batch: SampleBatch, known: Prepared & { readonly feeds: Tensors }, place: number[]) => Promise<void> | void,
  ): Promise<void> => {
    const places = new Map(samples.map((sample, place) => [sample, place]));
    invariant(places.size === samples.length, 'a sample is asked for twice');
    for (const batch of all.batches(samples, rows)) {
      signal?.throwIfAborted();
      const known = await prepare(batch);
      await visit(
        batch,
        known,
        batch.samples.map((sample) => places.get(sample) as number),
      );
    }
  };

  /** What is lost of a score. Where the unreduced model itself has no number, nothing can be. */
  const lost = (measure: Measure, own: number, score: number): number => {
    if (!Number.isFinite(own)) return 0;
    return options[measure].better === 'higher' ? own - score : score - own;
  };

  return {
    count: all.count,
    losses: async (run, samples, signal) => {
      const [metric, disagreement, distance] = measures.map(() => new Float64Array(samples.length)) as [
        Float64Array,
        Float64Array,
        Float64Array,
      ];
      const into = { metric, agreement: disagreement, distance };
      await each(samples, signal, async (batch, { feeds, reference, own }, place) => {
        const found = allScores(batch, await run(feeds), reference);
        for (const measure of measures)
          for (const [row, at] of place.entries())
            into[measure][at] = lost(measure, own[measure][row] as number, found[measure][row] as number);
      });
      return { metric, disagreement, distance };
    },
    unreduced: async (samples, signal) => {
      const scores = new Float64Array(samples.length);
      await each(samples, signal, (_, { own }, place) => {
        for (const [row, at] of place.entries()) scores[at] = own.metric[row] as number;
      });
      return scores;
    },
  };
};

export interface SessionEvaluator extends Evaluator {
  /** Plans evaluated (the same on other samples counts again) and samples run for them, since the start. */
  readonly counts: () => { readonly evaluations: number; readonly planSamples: number };
}

/** Of plans, on a session of the calibration model. */
export const sessionEvaluator = (
  session: Pick<Session, 'run'>,
  candidate: Pick<CandidateModel, 'feedsFor'>,
  scoring: Scoring,
): SessionEvaluator => {
  let [evaluations, planSamples] = [0, 0];
  return {
    count: scoring.count,
    counts: () => ({ evaluations, planSamples }),
    losses: async (plan: ReductionPlan, samples, signal) => {
      const ratios = candidate.feedsFor(plan);
      const losses = await scoring.losses((feeds) => session.run(new Map([...feeds, ...ratios])), samples, signal);
      evaluations++;
      planSamples += samples.length;
      return losses;
    },
  };
};

/** The unreduced model as the calibration model runs it: with a plan that removes nothing. */
export const unreducedRun =
  (session: Pick<Session, 'run'>, { feedsFor, semantics }: Pick<CandidateModel, 'feedsFor' | 'semantics'>): Run =>
  (feeds) =>
    session.run(new Map([...feeds, ...feedsFor({ schema_version: 1, semantics, sites: [] })]));
