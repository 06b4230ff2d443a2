/**
 * A calibration from model and samples to a plan and its figures: times a few plans, searches on one half of the
 * samples, judges on the other, tries controls. Reads no plan and writes none: commands/calibrate.ts does.
 */
import type { Budget, MissedLimit } from './calibrate/search/budget.ts';
import type { LaneSizes } from './calibrate/candidate-model.ts';
import type { Evaluator, Losses } from './calibrate/evaluator.ts';
import { splitHalves, type Halves } from './calibrate/halves.ts';
import { verdictOf } from './calibrate/judge.ts';
import { latencyDesign, latencyTurns } from './calibrate/latency/design.ts';
import { measureLatencies } from './calibrate/latency/measure.ts';
import { whyUnfit } from './calibrate/latency/table.ts';
import { fitLatencyModel, type LatencyModel, type LatencyTable, type TimedPlan } from './calibrate/latency/model.ts';
import type { SearchState } from './calibrate/search/state.ts';
import { search, type Effort, type SearchProgress, type SearchResult } from './calibrate/search/search.ts';
import { createScoring, sessionEvaluator, type Scoring } from './calibrate/session-evaluator.ts';
import type { ScoringMetrics } from './calibrate/scoring-metrics.ts';
import type { CalibrationModel } from './calibration-model.ts';
import type { Workshop } from './calibration-workshop.ts';
import { tryControls } from './calibration-controls.ts';
import { CompileError } from './diagnostics/diagnostic.ts';
import * as say from './diagnostics/messages-calibrate.ts';
import type { ReductionPlan, Semantics } from './reduction/plan.ts';
import type { ControlFigures, HeldOut, PlanFigures } from './report/calibration.ts';
import type { SampleBatch, SampleSet } from './samples/sample-set.ts';
import { unlessAborted } from './support/abort.ts';

/** Everything a calibration is asked for, defaults filled in. */
export interface CalibrationRequest {
  readonly semantics: Semantics;
  readonly layers?: readonly number[];
  readonly budget: Budget;
  readonly metrics: ScoringMetrics;
  readonly effort: Effort;
  readonly seed: number;
  /** Rows of the runs that are timed. */
  readonly batch: number;
  /** Times measured before. */
  readonly latencyTable?: LatencyTable;
  /** Of an interrupted search. */
  readonly state?: SearchState;
  /** Names model and data in a state: of others it is refused. */
  readonly facts: Readonly<Record<string, string | number>>;
}

export interface CalibrationWatch {
  readonly progress: (step: string) => void;
  readonly searching?: (progress: SearchProgress) => void;
  /** A state to go on from, after every plan tried on all samples. */
  readonly keep?: (state: SearchState) => void;
  /** Aborted: before the search the calibration rejects, then it ends with what it has. */
  readonly signal: AbortSignal;
}

export interface Calibration {
  readonly plan: ReductionPlan;
  readonly candidate: CalibrationModel;
  readonly latency: LatencyModel;
  readonly result: SearchResult;
  readonly halves: Halves;
  /** Tokens of the samples that are timed. */
  readonly sizes: LaneSizes;
  /** While searching, or while judging: then parts of what is judged are missing. */
  readonly interrupted: boolean;
  readonly missed: readonly (MissedLimit & { readonly where: 'choosing' | 'judging' | 'measured' })[];
  readonly chosen: PlanFigures;
  readonly front: readonly PlanFigures[];
  /** Null where interrupted before. */
  readonly uncalibrated: PlanFigures | null;
  readonly controls: readonly ControlFigures[];
  /** Mean of the metric's own score on the samples that judge. */
  readonly unreduced: number;
  readonly seconds: { readonly latency: number; readonly search: number; readonly judging: number };
}

/** Rows of one run while plans are evaluated. */
const EVALUATED_ROWS = 50;

/** The runs that are timed: one batch and its tokens. */
interface TimedRuns {
  readonly batch: SampleBatch;
  readonly sizes: LaneSizes;
}

const timedRuns = (candidate: CalibrationModel, samples: SampleSet, halves: Halves, rows: number): TimedRuns => {
  const [batch] = samples.batches(halves.choosing, rows);
  if (batch === undefined) throw new CompileError(say.tooFewSamples(samples.count));
  const sizes = candidate.sizesOf(batch.feeds);
  if (sizes === undefined) throw new CompileError(say.tokensUncounted());
  return { batch, sizes };
};

/** Measured, or measured before, and then of runs like these. */
const latencyTable = async (
  shop: Workshop,
  candidate: CalibrationModel,
  { batch, sizes }: TimedRuns,
  { effort, state, latencyTable: given }: CalibrationRequest,
  { progress, signal }: CalibrationWatch,
): Promise<LatencyTable> => {
  const { sites, semantics } = candidate;
  const facts = { threads: shop.threads ?? null, batch: batch.samples.length, ...sizes };
  const known = state?.latency ?? given;
  if (known !== undefined) {
    const reason = whyUnfit(known, { ...facts, sites, semantics });
    if (reason !== undefined) throw new CompileError(say.latencyTableUnfit(reason));
    return known;
  }
  const timed: readonly TimedPlan[] = await measureLatencies(
    {
      plans: latencyDesign(candidate, sizes, effort),
      original: shop.original,
      compilePlan: (plan) => shop.compiled(plan),
      discard: shop.discard,
      open: (model) => shop.open(model),
      feeds: batch.feeds,
      turns: latencyTurns(effort),
    },
    { progress: (done, count) => progress(say.timing(done, count)), signal },
  );
  return { schema_version: 1, machine: shop.machine, ...facts, timed };
};

/** A limit on quality that the half that judges does not confirm. */
const unconfirmed = (budget: Budget, { drop, agreement }: HeldOut): Calibration['missed'] => [
  ...(budget.maxDrop !== undefined && drop.mean > budget.maxDrop
    ? [{ limit: 'max-drop', wanted: budget.maxDrop, found: drop.mean, where: 'judging' } as const]
    : []),
  ...(budget.minAgreement !== undefined && agreement.mean < budget.minAgreement
    ? [{ limit: 'min-agreement', wanted: budget.minAgreement, found: agreement.mean, where: 'judging' } as const]
    : []),
];

const slow = (budget: Budget, measured: NonNullable<PlanFigures['measured']>): Calibration['missed'] => [
  // The upper quartile: a limit is missed where it is, not where the clock was unlucky.
  ...(budget.minSpeedup !== undefined && measured.speedup.high < budget.minSpeedup
    ? [{ limit: 'min-speedup', wanted: budget.minSpeedup, found: measured.speedup.median, where: 'measured' } as const]
    : []),
  ...(budget.maxLatencyMs !== undefined && measured.compiled.low > budget.maxLatencyMs
    ? [
        {
          limit: 'max-latency-ms',
          wanted: budget.maxLatencyMs,
          found: measured.compiled.median,
          where: 'measured',
        } as const,
      ]
    : []),
];

const measuredPlan = async (
  { shop, samples, halves }: Pick<Judging, 'shop' | 'samples' | 'halves'>,
  plan: ReductionPlan,
  request: CalibrationRequest,
  signal: AbortSignal,
): Promise<NonNullable<PlanFigures['measured']> | undefined> => {
  const [batch] = samples.batches(halves.judging, request.batch);
  if (batch === undefined || plan.sites.length === 0) return undefined;
  const [timed] = await measureLatencies(
    {
      plans: [plan],
      original: shop.original,
      compilePlan: (p) => shop.compiled(p),
      discard: shop.discard,
      open: (model) => shop.open(model),
      feeds: batch.feeds,
      turns: { ...latencyTurns(request.effort), seconds: 15 },
    },
    { signal },
  );
  if (timed === undefined) return undefined;
  const { median, low, high } = timed.ratio;
  return {
    ratio: timed.ratio,
    original: timed.original,
    compiled: timed.compiled,
    speedup: { median: 1 / median, low: 1 / high, high: 1 / low },
  };
};

interface Judging {
  readonly shop: Workshop;
  readonly candidate: CalibrationModel;
  readonly latency: LatencyModel;
  readonly result: SearchResult;
  readonly scoring: Scoring;
  readonly evaluator: Evaluator;
  readonly samples: SampleSet;
  readonly halves: Halves;
  readonly sizes: LaneSizes;
  readonly request: CalibrationRequest;
  readonly watch: CalibrationWatch;
}

/** On the half that took no part. The chosen plan always; once interrupted nothing else is begun. */
const judgePlans = async ({
  request,
  watch: { progress, signal },
  ...given
}: Judging): Promise<Pick<Calibration, 'chosen' | 'front' | 'uncalibrated' | 'controls'>> => {
  const { shop, candidate, latency, result, scoring, evaluator, halves, sizes } = given;
  const { seed, semantics } = request;
  const whole = candidate.costOf({ schema_version: 1, semantics, sites: [] }, sizes).multiplyAdds;
  const figures = (plan: ReductionPlan, losses: Losses): PlanFigures => ({
    plan,
    ...verdictOf(losses),
    multiplyAddsLeft: candidate.costOf(plan, sizes).multiplyAdds / whole,
    predictedSpeedup: 1 / latency.predict(plan).ratio,
  });
  const unlessStopped = <T>(step: () => Promise<T>): Promise<T | undefined> => unlessAborted(signal, step);

  const { plan } = result.chosen;
  // The chosen plan is judged as it will run: compiled, not by the calibration model.
  const losses = await shop.lossesOf(plan, scoring, halves.judging);
  const measured = await unlessStopped(() => measuredPlan(given, plan, request, signal));
  const chosen = { ...figures(plan, losses), ...(measured !== undefined && { measured }) };
  const front: PlanFigures[] = [];
  for (const point of thinned(result)) {
    const found = await unlessStopped(() => evaluator.losses(point, halves.judging, signal));
    if (found !== undefined) front.push(figures(point, found));
  }
  const usual = shop.defaultPlan(semantics);
  const usualLosses = await unlessStopped(() => shop.lossesOf(usual, scoring, halves.judging, signal));
  return {
    chosen,
    front,
    uncalibrated: usualLosses === undefined ? null : figures(usual, usualLosses),
    controls: await tryControls({ ...given, plan, losses, seed, progress, signal }),
  };
};

/** Splits, times, searches, judges. Throws CompileError too-few-samples and what its parts throw. */
export const calibrateModel = async (
  shop: Workshop,
  samples: SampleSet,
  request: CalibrationRequest,
  watch: CalibrationWatch,
): Promise<Calibration> => {
  const { progress, signal } = watch;
  const { budget, metrics, effort, seed, semantics } = request;
  if (samples.count < 2) throw new CompileError(say.tooFewSamples(samples.count));
  const halves = splitHalves(samples.count, seed);
  progress(say.preparing());
  const candidate = shop.calibrationModel({
    semantics,
    ...(request.layers !== undefined && { layers: request.layers }),
  });
  const started = performance.now();
  const runs = timedRuns(candidate, samples, halves, request.batch);
  const { sizes } = runs;
  const table = await latencyTable(shop, candidate, runs, request, watch);
  const latency = fitLatencyModel(table, candidate.costOf);
  const timed = performance.now();

  const original = await shop.open(shop.original);
  const session = await shop.openCalibration(candidate);
  try {
    const scoring = createScoring({
      samples,
      rows: EVALUATED_ROWS,
      original: (feeds) => original.run(feeds),
      ...metrics,
    });
    const evaluator = sessionEvaluator(session, candidate, scoring);
    const result = await search({
      sites: candidate.sites,
      semantics,
      usualLayers: shop.usualLayers(semantics),
      evaluator,
      latency,
      cost: (plan) => candidate.costOf(plan, sizes),
      choose: halves.choosing,
      budget,
      effort,
      seed,
      facts: { ...request.facts, metric: metrics.metric.name },
      ...(request.state !== undefined && { state: request.state }),
      ...(watch.keep !== undefined && { onState: watch.keep }),
      ...(watch.searching !== undefined && { onProgress: watch.searching }),
      now: () => performance.now(),
      signal,
    });
    const searched = performance.now();
    progress(say.judging());
    const judged = await judgePlans({
      shop,
      candidate,
      latency,
      result,
      scoring,
      evaluator,
      samples,
      halves,
      sizes,
      request,
      watch,
    });
    const { chosen } = judged;
    return {
      ...judged,
      plan: result.chosen.plan,
      candidate,
      latency,
      result,
      halves,
      sizes,
      interrupted: signal.aborted,
      missed: [
        ...result.missed.map((m) => ({ ...m, where: 'choosing' as const })),
        ...unconfirmed(budget, chosen),
        ...(chosen.measured === undefined ? [] : slow(budget, chosen.measured)),
      ],
      unreduced: mean(await scoring.unreduced(halves.judging)),
      seconds: {
        latency: (timed - started) / 1000,
        search: (searched - timed) / 1000,
        judging: (performance.now() - searched) / 1000,
      },
    };
  } finally {
    await session.release();
    await original.release();
  }
};

const mean = (values: Float64Array): number => values.reduce((sum, v) => sum + v, 0) / values.length;

/** At most so many plans of a front are judged: each costs a pass over the half. */
const MOST_JUDGED = 8;

/** The front's plans but the chosen one, evenly thinned where they are many. */
const thinned = ({ front, chosen }: SearchResult): readonly ReductionPlan[] => {
  const others = front.map((p) => p.plan).filter((p) => p !== chosen.plan);
  const step = Math.max(1, others.length / MOST_JUDGED);
  return others.filter((_, i) => Math.floor(i / step) !== Math.floor((i - 1) / step)).slice(0, MOST_JUDGED);
};
