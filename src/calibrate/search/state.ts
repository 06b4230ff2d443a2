/**
 * What a search has found out so far, as plain JSON: every trial of a plan on a part of the samples. A search that goes
 * on from it takes the same decisions again and finds their answers here, so that it ends where an uninterrupted one
 * would have.
 */
import type { ReductionPlan } from '../../reduction/plan.ts';
import { parsePlan, type PlannedSite } from '../../reduction/plan.ts';
import type { LatencyTable } from '../latency/model.ts';
import type { Moments, Summary } from './moments.ts';
import { isFields, parseVersioned } from '../../support/versioned-json.ts';

/** What makes a search the one it is. Facts that differ make another search. */
export type ProblemFacts = Readonly<Record<string, string | number | boolean | null>>;

/** Trial of a plan on the samples of one rung; figures as [count, mean, spread], null for what is no number. */
export interface StoredTrial {
  readonly sites: readonly PlannedSite[];
  readonly rung: number;
  readonly metric: StoredMoments;
  readonly disagreement: StoredMoments;
  readonly distance: StoredMoments;
}

type StoredMoments = readonly [count: number, mean: number | null, spread: number | null];

export interface SearchState {
  readonly schema_version: 1;
  readonly problem: ProblemFacts;
  /** Decides as much as the samples do: measured anew it would be another search. */
  readonly latency: LatencyTable;
  readonly trials: readonly StoredTrial[];
}

const numberOrNull = (value: number): number | null => (Number.isFinite(value) ? value : null);
const stored = ({ count, mean, spread }: Moments): StoredMoments => [count, numberOrNull(mean), numberOrNull(spread)];
const restored = ([count, mean, spread]: StoredMoments): Moments => ({
  count,
  mean: mean ?? NaN,
  spread: spread ?? NaN,
});

export const storedTrial = (plan: ReductionPlan, rung: number, summary: Summary): StoredTrial => ({
  sites: plan.sites,
  rung,
  metric: stored(summary.metric),
  disagreement: stored(summary.disagreement),
  distance: stored(summary.distance),
});

export const summaryOfTrial = (trial: StoredTrial): Summary => ({
  metric: restored(trial.metric),
  disagreement: restored(trial.disagreement),
  distance: restored(trial.distance),
});

export const trialName = (sites: readonly PlannedSite[], rung: number): string =>
  `${rung}: ${sites.map((s) => `${s.layer} ${s.prune} ${s.merge} ${s.mergeText}`).join(', ')}`;

/** A short name for a text of any length (FNV-1a, twice 32 bits): tells texts apart, keeps no secret. */
export const textHash = (text: string): string => {
  const half = (basis: number): string => {
    let hash = basis;
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    return (hash >>> 0).toString(16).padStart(8, '0');
  };
  return half(0x811c9dc5) + half(0x9e3779b9);
};

/** Names of the facts that differ; empty where the state is one of this search. */
export const differences = (state: SearchState, problem: ProblemFacts): string[] =>
  [...new Set([...Object.keys(problem), ...Object.keys(state.problem)])].filter(
    (name) => state.problem[name] !== problem[name],
  );

const isNumberOrNull = (value: unknown): boolean => value === null || typeof value === 'number';
const isStoredMoments = (value: unknown): boolean =>
  Array.isArray(value) && value.length === 3 && typeof value[0] === 'number' && value.slice(1).every(isNumberOrNull);

const isTrial = (value: unknown): boolean =>
  isFields(value) &&
  Number.isInteger(value['rung']) &&
  [value['metric'], value['disagreement'], value['distance']].every(isStoredMoments) &&
  typeof parsePlan(JSON.stringify({ schema_version: 1, semantics: 'safe', sites: value['sites'] })) !== 'string';

/** Reads a state; what is wrong with it comes back as a part of a sentence. The latency table is the caller's to check. */
export const parseSearchState = (text: string): SearchState | string => {
  const given = parseVersioned(text);
  if (typeof given === 'string') return given;
  if (!isFields(given['problem'])) return 'problem must be an object';
  if (!isFields(given['latency'])) return 'latency must be an object';
  const trials = given['trials'];
  if (!Array.isArray(trials)) return 'trials must be a list';
  const wrong = trials.findIndex((trial) => !isTrial(trial));
  if (wrong >= 0) return `trials[${wrong}] is not a trial`;
  return given as unknown as SearchState;
};
