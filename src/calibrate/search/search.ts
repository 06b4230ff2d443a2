/**
 * Finds the plan that keeps a budget, and the front of plans around it, on the samples that choose. Whether the plan is
 * as good on other samples is asked elsewhere, of the half that took no part here.
 */
import { CompileError } from '../../diagnostics/diagnostic.ts';
import * as say from '../../diagnostics/messages-search.ts';
import type { ReductionPlan, Semantics } from '../../reduction/plan.ts';
import { invariant } from '../../support/assert.ts';
import { checkBudget, chooseWithin, hasQualityLimit, type Budget, type MissedLimit } from './budget.ts';
import type { OpenSite, PlanCost } from '../candidate-model.ts';
import type { Evaluator } from '../evaluator.ts';
import { explore, fullyTried, viewOf, type View } from './explore.ts';
import type { LatencyModel } from '../latency/model.ts';
import { standardError } from './moments.ts';
import { paretoFront } from './pareto-front.ts';
import { planSpace } from './plan-space.ts';
import { randomFrom } from '../random.ts';
import { differences, textHash, type ProblemFacts, type SearchState } from './state.ts';
import type { Sensitivity } from './sensitivity.ts';
import { Interrupted, openTrials, type Trial, type Trials } from './trials.ts';

export type Effort = 'quick' | 'default' | 'thorough';

export interface SearchProgress {
  /** Plan-samples: one sample under one plan. */
  readonly done: number;
  readonly total: number;
  /** What would be chosen now. */
  readonly best: TriedPlan;
  /** Absent until something was run, and without a clock. */
  readonly secondsLeft?: number;
}

export interface SearchOptions {
  /** Layers that may become sites. */
  readonly sites: readonly OpenSite[];
  readonly semantics: Semantics;
  /** Layers that compiling without a plan reduces. */
  readonly usualLayers: readonly number[];
  readonly evaluator: Evaluator;
  readonly latency: LatencyModel;
  /** With it, plans that remove the same tokens in the same way are tried once. */
  readonly cost?: (plan: ReductionPlan) => PlanCost;
  /** The samples that choose. Their order does not matter. */
  readonly choose: readonly number[];
  readonly budget: Budget;
  readonly effort: Effort;
  readonly seed: number;
  /** What else makes this search the one it is (hashes of model and data, metric): a state of other facts is refused. */
  readonly facts?: ProblemFacts;
  /** Goes on from here. */
  readonly state?: SearchState;
  /** After every plan that was tried on all samples. */
  readonly onState?: (state: SearchState) => void;
  readonly onProgress?: (progress: SearchProgress) => void;
  /** Milliseconds; for the time left and nothing else. */
  readonly now?: () => number;
  /** Ends the search with what it has. */
  readonly signal?: AbortSignal;
}

/** Mean over the samples that choose, with its standard error (Infinity for one sample). */
export interface ChoosingFigure {
  readonly mean: number;
  readonly standardError: number;
}

export interface TriedPlan {
  readonly plan: ReductionPlan;
  /** Of the metric: more is worse. */
  readonly drop: ChoosingFigure;
  /** The drop to be expected on other samples: the measured one and what the distance tells of it, by how sure each is. */
  readonly expectedDrop: number;
  /** Share of samples with the unreduced model's answer. */
  readonly agreement: ChoosingFigure;
  readonly distance: number;
  /** Predicted: time / time of the original. */
  readonly ratio: number;
  readonly milliseconds: number;
  readonly samples: number;
}

export interface SearchResult {
  readonly chosen: TriedPlan;
  /** Whether the chosen plan keeps the budget; else it is the nearest. */
  readonly reached: boolean;
  readonly missed: readonly MissedLimit[];
  /** No other plan tried on all samples is as fast and expected to lose less; from the slowest to the fastest. */
  readonly front: readonly TriedPlan[];
  readonly sensitivity: readonly Sensitivity[];
  readonly interrupted: boolean;
  /** `full`: plans tried on all samples; `broken`: plans whose losses were no numbers. */
  readonly tried: {
    readonly plans: number;
    readonly full: number;
    readonly broken: number;
    readonly planSamples: number;
  };
  readonly state: SearchState;
}

/** A change of the search that makes states of before useless. */
const REVISION = 2;

/** Whole passes over the choosing half at 18 open ratios (6 layers); for others by the root of their number. */
const passes: Readonly<Record<Effort, number>> = { quick: 12, default: 40, thorough: 150 };
const USUAL_RATIOS = 18;
/** With fewer samples a first look is not a tenth of them but more, so there is more to do for each. */
const FEW_SAMPLES = 160;

const effortOf = (effort: Effort, ratios: number, samples: number): number =>
  Math.round(passes[effort] * Math.max(Math.sqrt(ratios / USUAL_RATIOS), 0.5) * Math.max(samples, FEW_SAMPLES));

const figures = ({ plan, summary, predicted }: Trial, { outlook }: View): TriedPlan => ({
  plan,
  expectedDrop: outlook.expectedDrop(summary),
  drop: { mean: summary.metric.mean, standardError: standardError(summary.metric) },
  agreement: { mean: 1 - summary.disagreement.mean, standardError: standardError(summary.disagreement) },
  distance: summary.distance.mean,
  ratio: predicted.ratio,
  milliseconds: predicted.milliseconds,
  samples: summary.metric.count,
});

const factsOf = (options: SearchOptions, choose: readonly number[]): ProblemFacts => {
  const { budget, latency, sites } = options;
  return {
    ...options.facts,
    budget: (['maxDrop', 'minAgreement', 'minSpeedup', 'maxLatencyMs'] as const)
      .flatMap((limit) => (budget[limit] === undefined ? [] : [`${limit} ${budget[limit]}`]))
      .join(', '),
    effort: options.effort,
    seed: options.seed,
    semantics: options.semantics,
    layers: sites.map((s) => `${s.layer}${s.image ? ' image' : ''}${s.text ? ' text' : ''}`).join(', '),
    usual: options.usualLayers.join(', '),
    samples: `${choose.length} (${textHash(choose.join())})`,
    latency: textHash(JSON.stringify(latency.table)),
    search: REVISION,
  };
};

const isExpectedToKeep =
  ({ outlook }: View) =>
  ({ summary }: Trial): boolean =>
    outlook.keeps(summary);

/** Interrupted before any plan was tried on all samples: for a limit on speed alone, what few said is better than nothing. */
const candidates = (trials: Trials, budget: Budget, interrupted: boolean): Trial[] => {
  const full = fullyTried(trials);
  const early = interrupted && full.length < 2 && !hasQualityLimit(budget);
  return early ? trials.all.filter((trial) => !trial.broken) : full;
};

/**
 * Deterministic: the same options give the same result, and so does a search that goes on from the state of an
 * interrupted one. Throws CompileError state-of-another-search; rejects with what the evaluator rejects with.
 */
export const search = async (options: SearchOptions): Promise<SearchResult> => {
  const { budget, latency, signal, onProgress, onState, now } = options;
  checkBudget(budget);
  const choose = [...new Set(options.choose)].sort((a, b) => a - b);
  invariant(choose.length > 0, 'a search needs samples');
  const problem = factsOf(options, choose);
  const differing = options.state === undefined ? [] : differences(options.state, problem);
  if (differing.length > 0) throw new CompileError(say.stateOfAnotherSearch(differing));

  const space = planSpace(options.sites, options.semantics, options.cost);
  const random = randomFrom(options.seed);
  const total = effortOf(options.effort, space.knobs.length, choose.length);
  const margin = Number.isFinite(latency.leftOut.median) ? latency.leftOut.median : 0;
  const started = now?.();
  let freshly = 0;

  const trials: Trials = openTrials({
    space,
    evaluator: options.evaluator,
    latency,
    order: random.shuffled(choose),
    recorded: options.state?.trials ?? [],
    ...(signal !== undefined && { signal }),
    onEvaluated: (trial, fresh) => {
      freshly += fresh;
      const done = trials.spent();
      if (trial.rung === trials.rungs.length - 1) onState?.(stateNow());
      if (onProgress === undefined) return;
      const view = viewOf({ trials, budget, count: choose.length });
      const { chosen } = chooseWithin(fullyTried(trials), budget, margin, isExpectedToKeep(view));
      const elapsed = now === undefined || started === undefined ? undefined : now() - started;
      const left = Math.max(total - done, 0);
      onProgress({
        done,
        total: Math.max(total, done),
        best: figures(chosen, view),
        ...(elapsed !== undefined && freshly > 0 && { secondsLeft: (left * elapsed) / freshly / 1000 }),
      });
    },
  });
  const stateNow = (): SearchState => ({
    schema_version: 1,
    problem,
    latency: latency.table,
    trials: [...trials.stored],
  });

  const sensitivity: Sensitivity[] = [];
  let interrupted = false;
  try {
    await explore(
      { trials, space, random, budget, usualLayers: options.usualLayers, count: choose.length, total, margin },
      sensitivity,
    );
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    interrupted = true;
  }

  const view = viewOf({ trials, budget, count: choose.length });
  const { chosen, missed } = chooseWithin(
    candidates(trials, budget, interrupted),
    budget,
    margin,
    isExpectedToKeep(view),
  );
  const full = fullyTried(trials);
  const expected = ({ summary }: Trial): number => view.outlook.expectedDrop(summary);
  const front = paretoFront(
    full,
    (trial) => trial.predicted.ratio,
    (a, b) => expected(a) - expected(b) || a.summary.distance.mean - b.summary.distance.mean,
  );
  return {
    chosen: figures(chosen, view),
    reached: missed.length === 0,
    missed,
    front: front.map((trial) => figures(trial, view)),
    sensitivity,
    interrupted,
    tried: {
      plans: trials.all.length - 1,
      full: full.length - 1,
      broken: trials.all.filter((trial) => trial.broken).length,
      planSamples: trials.spent(),
    },
    state: stateNow(),
  };
};
