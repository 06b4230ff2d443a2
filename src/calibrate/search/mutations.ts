/**
 * Plans near a plan: one step from it in some direction that may pay. Which steps are drawn is up to the seed; how good
 * they look is judged by whoever asked.
 */
import type { PlannedSite } from '../../reduction/plan.ts';
import { nothingAt, ratioAt, withRatio, type Knob, type PlanSpace } from './plan-space.ts';
import type { Random } from '../random.ts';
import type { GuessedLoss } from './sensitivity.ts';

type Sites = readonly PlannedSite[];

export interface MutationContext {
  readonly space: PlanSpace;
  readonly random: Random;
  readonly guess: GuessedLoss;
  readonly timeOf: (sites: Sites) => number;
  /** Ratios change by this and small multiples of it. */
  readonly step: number;
  /** `pricesOf`, remembered: plans are parents more than once. */
  readonly prices: (sites: Sites) => Prices;
}

/** Onto the grid of `step`, so that plans reached on different ways meet. */
const onGrid = (ratio: number, step: number): number => Math.round(ratio / step) * step;

const changed = (sites: Sites, knob: Knob, by: number, step: number): Sites =>
  withRatio(sites, knob, Math.max(onGrid(ratioAt(sites, knob) + by, step), 0));

/** Ratios of a plan by what a step of them trades: loss for each share of time, the least first. */
export interface Prices {
  readonly up: readonly Knob[];
  readonly down: readonly Knob[];
}

/** What one step up or down of every ratio trades; ratios where no time is to be had are left out. */
export const pricesOf = (
  sites: Sites,
  { space, guess, timeOf, step }: Pick<MutationContext, 'space' | 'guess' | 'timeOf' | 'step'>,
): Prices => {
  const [loss, time] = [guess(sites), timeOf(sites)];
  const sorted = (by: number, knobs: readonly Knob[]): Knob[] =>
    knobs
      .map((knob) => {
        const other = changed(sites, knob, by, step);
        const traded = Math.abs(timeOf(other) - time);
        return { knob, price: traded > 1e-9 ? Math.abs(guess(other) - loss) / traded : Infinity };
      })
      .filter((k) => k.price < Infinity)
      .sort((a, b) => a.price - b.price)
      .map((k) => k.knob);
  return {
    up: sorted(step, space.knobs),
    down: sorted(
      -step,
      space.knobs.filter((knob) => ratioAt(sites, knob) > 0),
    ),
  };
};

/** One of the first few, the first most often. */
const oneOfFirst = <T>(sorted: readonly T[], random: Random): T | undefined =>
  sorted[Math.min(random.below(5), random.below(5), sorted.length - 1)];

/** A ratio up where the loss for the time saved is least. */
const raise = (sites: Sites, { random, step }: MutationContext, { up }: Prices): Sites => {
  const knob = oneOfFirst(up, random);
  return knob === undefined ? sites : changed(sites, knob, step * (1 + random.below(3)), step);
};

/** A ratio down where the loss for the time saved is most. */
const lower = (sites: Sites, { random, step }: MutationContext, { down }: Prices): Sites => {
  const knob = oneOfFirst([...down].reverse(), random);
  return knob === undefined ? sites : changed(sites, knob, -step * (1 + random.below(3)), step);
};

/** One ratio up and another down, whichever. */
const exchange = (sites: Sites, { space, random, step }: MutationContext): Sites => {
  const down = random.pick(space.knobs.filter((knob) => ratioAt(sites, knob) > 0));
  const up = random.pick(space.knobs);
  if (down === undefined || up === undefined) return sites;
  const less = changed(sites, down, -step * (1 + random.below(4)), step);
  return changed(less, up, step * (1 + random.below(4)), step);
};

/** Any ratio, up or down: what no guess would propose. */
const jolt = (sites: Sites, { space, random, step }: MutationContext): Sites => {
  const knob = random.pick(space.knobs);
  const by = step * (1 + random.below(3)) * (random.next() < 0.5 ? -1 : 1);
  return knob === undefined ? sites : changed(sites, knob, by, step);
};

/** One site, or a part of what it removes, moves to the next open layer. */
const shift = (sites: Sites, { space, random, step }: MutationContext): Sites => {
  const site = random.pick(sites);
  if (site === undefined) return sites;
  const to = space.layers[space.layers.indexOf(site.layer) + (random.next() < 0.5 ? -1 : 1)];
  if (to === undefined) return sites;
  const share = random.next() < 0.5 ? 1 : 0.5;
  const there = sites.find((s) => s.layer === to) ?? nothingAt(to);
  const part = (ratio: number): number => onGrid(ratio * share, step);
  const moved = { prune: part(site.prune), merge: part(site.merge), mergeText: part(site.mergeText) };
  return [
    ...sites.filter((s) => s.layer !== site.layer && s.layer !== to),
    {
      layer: site.layer,
      prune: site.prune - moved.prune,
      merge: site.merge - moved.merge,
      mergeText: site.mergeText - moved.mergeText,
    },
    {
      layer: to,
      prune: there.prune + moved.prune,
      merge: there.merge + moved.merge,
      mergeText: there.mergeText + moved.mergeText,
    },
  ];
};

/** Tokens that are pruned at a site are merged instead, or the other way round. */
const swap = (sites: Sites, { random, step }: MutationContext): Sites => {
  const site = random.pick(sites.filter((s) => s.prune + s.merge > 0));
  if (site === undefined) return sites;
  const toMerge = site.merge === 0 || (site.prune > 0 && random.next() < 0.5);
  const most = toMerge ? site.prune : site.merge;
  const by = Math.min(step * (1 + random.below(4)), most) * (toMerge ? 1 : -1);
  return [...sites.filter((s) => s.layer !== site.layer), { ...site, prune: site.prune - by, merge: site.merge + by }];
};

/** All ratios by one factor: along the front. */
const scale = (sites: Sites, { random, step }: MutationContext): Sites => {
  const factor = 0.75 + random.next() * 0.55;
  const scaled = (ratio: number): number => onGrid(ratio * factor, step);
  return sites.map((s) => ({
    layer: s.layer,
    prune: scaled(s.prune),
    merge: scaled(s.merge),
    mergeText: scaled(s.mergeText),
  }));
};

/** Between two plans, site by site: the mean of both, or the site of either. */
const blend = (a: Sites, b: Sites, { space, random, step }: MutationContext): Sites => {
  const mean = random.next() < 0.5;
  return space.layers.map((layer) => {
    const [x, y] = [a, b].map((sites) => sites.find((s) => s.layer === layer) ?? nothingAt(layer)) as [
      PlannedSite,
      PlannedSite,
    ];
    if (!mean) return random.next() < 0.5 ? x : y;
    const between = (p: number, q: number): number => onGrid((p + q) / 2, step);
    return {
      layer,
      prune: between(x.prune, y.prune),
      merge: between(x.merge, y.merge),
      mergeText: between(x.mergeText, y.mergeText),
    };
  });
};

/** A plan one step from `parent`; `mate` is another plan worth taking from. May be the parent itself. */
export const mutated = (parent: Sites, mate: Sites, context: MutationContext): Sites => {
  const { random } = context;
  const draw = random.below(12);
  if (draw < 2) return raise(parent, context, context.prices(parent));
  if (draw < 3) return lower(parent, context, context.prices(parent));
  if (draw < 5) {
    const prices = context.prices(parent);
    return raise(lower(parent, context, prices), context, prices);
  }
  if (draw < 7) return exchange(parent, context);
  if (draw < 8) return shift(parent, context);
  if (draw < 9) return swap(parent, context);
  if (draw < 10) return scale(parent, context);
  if (draw < 11) return blend(parent, mate, context);
  return jolt(parent, context);
};
