/**
 * The search itself: sensitivity of every site, seeds, then generations of plans near the best ones, each tried on few
 * samples first. Draws come from the seed and decisions from the figures; no clock is read.
 */
import { keepToRatios } from '../../reduction/counts.ts';
import type { PlannedSite } from '../../reduction/plan.ts';
import { chooseWithin, hasQualityLimit, type Budget } from './budget.ts';
import { mutated, pricesOf, type MutationContext, type Prices } from './mutations.ts';
import { nothingAt, ratioAt, withRatio, type PlanSpace } from './plan-space.ts';
import { outlook, promiseAt, type Outlook, type Point, type Target } from './promise.ts';
import type { Random } from '../random.ts';
import { guessedLoss, probedRatios, type GuessedLoss, type Sensitivity } from './sensitivity.ts';
import type { Trial, Trials } from './trials.ts';

type Sites = readonly PlannedSite[];

export interface Exploration {
  readonly trials: Trials;
  readonly space: PlanSpace;
  readonly random: Random;
  readonly budget: Budget;
  /** Layers that compiling without a plan reduces. */
  readonly usualLayers: readonly number[];
  /** Samples that choose. */
  readonly count: number;
  /** Plan-samples to spend, about. */
  readonly total: number;
  /** Share by which predicted times may be off. */
  readonly margin: number;
}

/** Shares of the effort: no more than a third for sensitivity, the last fifth for trying the best on all samples. */
const FOR_SENSITIVITY = 1 / 3;
const FOR_GENERATIONS = 0.8;

const PARENTS = 10;
const PROPOSALS = 96;
/** Children of a generation: those that look best, and some drawn from the others, for guesses may be wrong. */
const GUIDED = 8;
const DRAWN = 4;
/** Generations in a row without a plan not seen before: the neighbourhood is searched. */
const STALE = 6;

/** How far the search may leave the budget's own region to fill the front: times the limit, or of the time. */
const FRONT_LOSS = 4;
const FRONT_RATIO = 0.15;

/** Shares kept per site: at the default layers, and at all of them. */
const seedKeeps = { few: [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], all: [0.96, 0.93, 0.9, 0.85, 0.8] } as const;

const isFull = (trials: Trials, trial: Trial): boolean => trial.rung === trials.rungs.length - 1 && !trial.broken;

/** The plans of which everything is known: the only ones that may be chosen. */
export const fullyTried = (trials: Trials): Trial[] => trials.all.filter((trial) => isFull(trials, trial));

/** Tries every ratio alone, at one or two values. */
const measureSensitivity = async ({ trials, space, total }: Exploration, found: Sensitivity[]): Promise<void> => {
  const [few = 0] = trials.rungs;
  const both = 2 * few * space.knobs.length <= FOR_SENSITIVITY * total;
  for (const knob of space.knobs) {
    const levels: Sensitivity['levels'][number][] = [];
    for (const ratio of probedRatios[knob.kind].slice(both ? 0 : 1)) {
      const trial = await trials.tryUpTo(withRatio([], knob, ratio), 0);
      const { metric, disagreement, distance } = trial.summary;
      if (!trial.broken && trial.plan.sites.length > 0)
        levels.push({ ratio, metric: metric.mean, disagreement: disagreement.mean, distance: distance.mean });
    }
    found.push({ ...knob, levels });
  }
};

/** `--keep` at the default layers and at all layers: what users would try by hand. */
const keepFamily = ({ space, usualLayers }: Exploration): Sites[] => {
  const image = space.layers.filter((layer) => space.knobs.some((k) => k.layer === layer && k.kind === 'merge'));
  const spread = usualLayers.filter((layer) => image.includes(layer));
  const at = (layers: readonly number[], keep: number): Sites =>
    layers.map((layer) => ({ ...nothingAt(layer), ...keepToRatios(keep, space.semantics) }));
  return [...seedKeeps.few.map((keep) => at(spread, keep)), ...seedKeeps.all.map((keep) => at(image, keep))];
};

/** From nothing to much, each step where the guessed loss for the time saved is least; a plan every tenth of the time. */
const greedyPath = ({ trials, space }: Exploration, guess: GuessedLoss): Sites[] => {
  const path: Sites[] = [];
  const step = 0.1;
  let sites: Sites = [];
  let wanted = 0.9;
  while (wanted > 0.25) {
    const here = trials.look(sites).predicted.ratio;
    const steps = space.knobs.map((knob) => {
      const next = trials.look(withRatio(sites, knob, ratioAt(sites, knob) + step));
      const saved = here - next.predicted.ratio;
      const { plan } = next;
      return { sites: plan.sites, price: saved > 1e-6 ? (guess(plan.sites) - guess(sites)) / saved : Infinity };
    });
    const cheapest = steps.reduce((a, b) => (b.price < a.price ? b : a), { sites, price: Infinity });
    if (cheapest.price === Infinity) break;
    sites = cheapest.sites;
    const { ratio } = trials.look(sites).predicted;
    if (ratio > wanted) continue;
    path.push(sites);
    while (wanted >= ratio) wanted -= 0.1;
  }
  return path;
};

/** What is known at a moment, and how to rank by it. */
export interface View {
  readonly outlook: Outlook;
  readonly tried: readonly Trial[];
  readonly pointOf: (trial: Trial) => Point;
  readonly points: readonly Point[];
}

export const viewOf = ({ trials, budget, count }: Pick<Exploration, 'trials' | 'budget' | 'count'>): View => {
  const tried = trials.all.filter((trial) => !trial.broken);
  const known = tried.filter((trial) => trial.plan.sites.length > 0).map((trial) => trial.summary);
  const seen = outlook(known, budget, count);
  const points = new Map(tried.map((t) => [t, { ratio: t.predicted.ratio, loss: seen.lossOf(t.summary) }]));
  return { outlook: seen, tried, pointOf: (trial) => points.get(trial) as Point, points: [...points.values()] };
};

/** Where the budget's own plan is to be found. */
const targetOf = ({ budget, trials, margin }: Exploration): Target => {
  if (hasQualityLimit(budget)) return { loss: 1 };
  const { ratio, milliseconds } = trials.look([]).predicted;
  const limits = [
    ...(budget.minSpeedup === undefined ? [] : [1 / budget.minSpeedup]),
    ...(budget.maxLatencyMs === undefined ? [] : [(budget.maxLatencyMs * ratio) / milliseconds]),
  ];
  return { ratio: Math.min(...limits) / (1 + margin) };
};

/** Somewhere along the front, so that it is known as a whole and not only at the budget. */
const targetAlongFront = (own: Target, { points }: View, random: Random): Target => {
  const near = points.filter((p) => ('loss' in own ? p.loss <= FRONT_LOSS : p.ratio >= own.ratio - FRONT_RATIO));
  const fastest = Math.min(...near.map((p) => p.ratio), 1);
  return { ratio: fastest + (1 - fastest) * random.next() };
};

const ranked = (trials: readonly Trial[], view: View, target: Target): Trial[] => {
  const promise = promiseAt(view.points, target);
  return trials
    .map((trial) => ({ trial, rank: promise(view.pointOf(trial)) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ trial }) => trial);
};

/** Sizes of steps, one of which each child takes. */
type Steps = readonly [number, ...number[]];

/** Plans not tried yet, near the best tried ones: those that look best by the guess, and some others. */
const children = (search: Exploration, guess: GuessedLoss, target: Target, steps: Steps): Sites[] => {
  const { trials, space, random } = search;
  const view = viewOf(search);
  const parents = ranked(view.tried, view, target).slice(0, PARENTS);
  const timeOf = (sites: Sites): number => trials.look(sites).predicted.ratio;
  const remembered = new Map<Sites, Prices>();
  const prices = (sites: Sites): Prices => {
    const found = remembered.get(sites) ?? pricesOf(sites, { space, guess, timeOf, step: steps[0] });
    remembered.set(sites, found);
    return found;
  };
  const promise = promiseAt(view.points, target);
  const found = new Map<string, { readonly sites: Sites; readonly rank: number }>();
  for (let i = 0; i < PROPOSALS; i++) {
    const parent = parents[Math.min(random.below(parents.length), random.below(parents.length))] as Trial;
    const mate = random.pick(parents) as Trial;
    const context: MutationContext = { space, random, guess, timeOf, prices, step: random.pick(steps) as number };
    const { key, plan, predicted, known } = trials.look(mutated(parent.plan.sites, mate.plan.sites, context));
    if (known !== undefined || found.has(key)) continue;
    const [own, of] = [guess(plan.sites), guess(parent.plan.sites)];
    const loss = of > 0 ? (view.pointOf(parent).loss * own) / of : view.outlook.lossAtDistance(own);
    found.set(key, { sites: plan.sites, rank: promise({ ratio: predicted.ratio, loss }) });
  }
  const sorted = [...found.values()].sort((a, b) => a.rank - b.rank);
  const drawn = random.shuffled(sorted.slice(GUIDED)).slice(0, DRAWN);
  return [...sorted.slice(0, GUIDED), ...drawn].map((child) => child.sites);
};

/** The most promising of those that are at a rung go on to the next. */
const promote = async (search: Exploration, target: Target, rung: number, most: number): Promise<void> => {
  const { trials, total } = search;
  const view = viewOf(search);
  const waiting = view.tried.filter((trial) => trial.rung === rung - 1);
  for (const trial of ranked(waiting, view, target).slice(0, most)) {
    if (trials.spent() >= total) return;
    await trials.tryUpTo(trial, rung);
  }
};

/** A third goes on to each next rung, at least two to the last. */
const halve = async (search: Exploration, target: Target, tried: number): Promise<void> => {
  const last = search.trials.rungs.length - 1;
  for (let rung = 1, most = Math.ceil(tried / 3); rung <= last; rung++, most = Math.ceil(most / 3))
    await promote(search, target, rung, Math.max(most, 2));
};

/** Steps get finer as the effort is used up. */
const stepsAt = (used: number): Steps => (used < 0.4 ? [0.05, 0.1] : used < 0.7 ? [0.05, 0.02] : [0.02, 0.01]);

/** What is left of the effort goes to the plans that may yet be chosen, on all samples. */
const confirm = async (search: Exploration, target: Target): Promise<void> => {
  const { trials, budget, total, margin } = search;
  const last = trials.rungs.length - 1;
  while (trials.spent() < total) {
    const view = viewOf(search);
    const { chosen } = chooseWithin(fullyTried(trials), budget, margin, (trial) => view.outlook.keeps(trial.summary));
    const waiting = ranked(
      view.tried.filter((trial) => !isFull(trials, trial)),
      view,
      target,
    );
    const better = (trial: Trial): boolean =>
      'loss' in target
        ? view.pointOf(trial).loss <= target.loss && trial.predicted.ratio < chosen.predicted.ratio
        : trial.predicted.ratio <= target.ratio;
    const next = waiting.find(better) ?? waiting[0];
    if (next === undefined) return;
    await trials.tryUpTo(next, last);
  }
};

/** Fills `trials` and `sensitivity`. Rejects with Interrupted; what was tried until then stays in both. */
export const explore = async (search: Exploration, sensitivity: Sensitivity[]): Promise<void> => {
  const { trials, space, random, total } = search;
  if (space.knobs.length === 0) return;
  await measureSensitivity(search, sensitivity);
  const guess = guessedLoss(sensitivity);
  const target = targetOf(search);

  const seeds = [...keepFamily(search), ...greedyPath(search, guess)];
  for (const seed of seeds) if (trials.spent() < total) await trials.tryUpTo(seed, 0);
  await halve(search, target, seeds.length);

  let stale = 0;
  for (let generation = 0; trials.spent() < FOR_GENERATIONS * total && stale < STALE; generation++) {
    const aim = generation % 4 === 3 ? targetAlongFront(target, viewOf(search), random) : target;
    const known = trials.all
      .filter((trial) => !trial.broken && trial.plan.sites.length > 0)
      .map(({ plan, summary: { distance } }) => ({
        sites: plan.sites,
        distance: distance.mean,
        count: distance.count,
      }));
    const next = children(search, guessedLoss(sensitivity, known), aim, stepsAt(trials.spent() / total));
    stale = next.length === 0 ? stale + 1 : 0;
    for (const sites of next) if (trials.spent() < total) await trials.tryUpTo(sites, 0);
    await halve(search, aim, next.length);
  }
  await confirm(search, target);
};
