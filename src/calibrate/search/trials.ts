/**
 * Every plan a search has looked at, and what the samples said of it so far. Samples come in rungs, each with all those
 * of the one before: a plan is tried on few first and on all of them only if somebody asks (successive halving).
 * Counts the work, keeps the state, answers from an earlier state what that already knows.
 */
import type { PlannedSite, ReductionPlan } from '../../reduction/plan.ts';
import type { Evaluator } from '../evaluator.ts';
import type { LatencyModel, Predicted } from '../latency/model.ts';
import { isFinite, joined, lossless, noSamples, summaryOf, type Summary } from './moments.ts';
import type { NamedPlan, PlanSpace } from './plan-space.ts';
import { storedTrial, summaryOfTrial, trialName, type StoredTrial } from './state.ts';

export interface Trial extends NamedPlan {
  readonly predicted: Predicted;
  /** Highest rung whose samples have been tried; -1 before the first. */
  rung: number;
  /** Over all samples tried. */
  summary: Summary;
  /** A loss was no number: the plan is out of the race. */
  broken: boolean;
}

/** The search was told to stop. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

export interface TrialsOptions {
  readonly space: PlanSpace;
  readonly evaluator: Evaluator;
  readonly latency: LatencyModel;
  /** Samples in the order in which rungs take them. */
  readonly order: readonly number[];
  readonly recorded: readonly StoredTrial[];
  readonly signal?: AbortSignal;
  /** After every evaluation; `fresh`: plan-samples that were run for it, 0 where a state held the answer. */
  readonly onEvaluated: (trial: Trial, fresh: number) => void;
}

export interface Trials {
  /** Numbers of samples, rising. */
  readonly rungs: readonly number[];
  /** In the order in which they were tried first; the plan that removes nothing leads. */
  readonly all: readonly Trial[];
  readonly stored: readonly StoredTrial[];
  /** The plan of these ratios, tidied, and what is known of it. */
  readonly look: (
    sites: readonly PlannedSite[],
  ) => NamedPlan & { readonly predicted: Predicted; readonly known?: Trial };
  /** Tries a plan on all samples up to a rung. Rejects with Interrupted. */
  readonly tryUpTo: (sites: readonly PlannedSite[] | Trial, rung: number) => Promise<Trial>;
  /** Plan-samples so far: one sample under one plan. */
  readonly spent: () => number;
}

const FEWEST = 16;
const MOST_AT_FIRST = 128;
/** A rung of more than this share of the next one saves nothing. */
const WORTH_A_RUNG = 0.7;

/** A tenth of the samples, three tenths, all; fewer rungs where there are few samples. */
export const rungSizes = (count: number): number[] => {
  const first = Math.min(Math.max(Math.round(count / 10), FEWEST), MOST_AT_FIRST);
  return [...[first, 3 * first].filter((size) => size <= WORTH_A_RUNG * count), count];
};

export const openTrials = (options: TrialsOptions): Trials => {
  const { space, evaluator, latency, order, signal } = options;
  const rungs = rungSizes(order.length);
  const recorded = new Map(options.recorded.map((t) => [trialName(t.sites, t.rung), summaryOfTrial(t)]));
  const stored: StoredTrial[] = [];
  const byKey = new Map<string, Trial>();
  const looked = new Map<string, NamedPlan & { readonly predicted: Predicted }>();
  let spent = 0;

  const named = (sites: readonly PlannedSite[]): NamedPlan & { readonly predicted: Predicted } => {
    const name = JSON.stringify(sites.map((s) => [s.layer, s.prune, s.merge, s.mergeText]));
    let found = looked.get(name);
    if (found === undefined) {
      const plan = space.plan(sites);
      found = { ...plan, predicted: byKey.get(plan.key)?.predicted ?? latency.predict(plan.plan) };
      looked.set(name, found);
    }
    return found;
  };

  const isAborted = (): boolean => signal?.aborted === true;

  const summaryAt = async (plan: ReductionPlan, rung: number): Promise<{ summary: Summary; fresh: number }> => {
    const known = recorded.get(trialName(plan.sites, rung));
    if (known !== undefined) return { summary: known, fresh: 0 };
    const samples = order.slice(rungs[rung - 1] ?? 0, rungs[rung]).sort((a, b) => a - b);
    if (isAborted()) throw new Interrupted();
    try {
      return { summary: summaryOf(await evaluator.losses(plan, samples, signal)), fresh: samples.length };
    } catch (error) {
      if (isAborted()) throw new Interrupted(undefined, { cause: error });
      throw error;
    }
  };

  const empty: Trial = {
    ...named([]),
    rung: rungs.length - 1,
    summary: lossless(order.length),
    broken: false,
  };
  byKey.set(empty.key, empty);

  return {
    rungs,
    get all() {
      return [...byKey.values()];
    },
    stored,
    look: (sites) => {
      const found = named(sites);
      const known = byKey.get(found.key);
      return known === undefined ? found : { ...found, known };
    },
    tryUpTo: async (given, rung) => {
      const { key, plan, predicted } = 'rung' in given ? given : named(given);
      const trial = byKey.get(key) ?? { key, plan, predicted, rung: -1, summary: noSamples, broken: false };
      while (trial.rung < rung && !trial.broken) {
        const next = trial.rung + 1;
        const { summary, fresh } = await summaryAt(trial.plan, next);
        stored.push(storedTrial(trial.plan, next, summary));
        spent += (rungs[next] ?? 0) - (rungs[next - 1] ?? 0);
        trial.rung = next;
        trial.summary = joined(trial.summary, summary);
        trial.broken = !isFinite(summary);
        byKey.set(key, trial);
        options.onEvaluated(trial, fresh);
      }
      return trial;
    },
    spent: () => spent,
  };
};
