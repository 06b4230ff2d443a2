/**
 * What each ratio of each site costs in quality on its own, measured on few samples, and from that a first guess at what
 * any plan loses: the sum over its ratios. Rough, but it says where to look.
 */
import type { PlannedSite } from '../../reduction/plan.ts';
import { fitNonNegative } from '../latency/least-squares.ts';
import { ratioAt, type Kind, type Knob } from './plan-space.ts';

export interface SensitivityLevel {
  readonly ratio: number;
  /** Means over the samples tried. */
  readonly metric: number;
  readonly disagreement: number;
  readonly distance: number;
}

export interface Sensitivity extends Knob {
  /** By rising ratio; without levels that could not be tried. */
  readonly levels: readonly SensitivityLevel[];
}

/** Ratios tried at each site: the second shows how the loss bends. */
export const probedRatios: Readonly<Record<Kind, readonly [low: number, high: number]>> = {
  prune: [0.25, 0.5],
  merge: [0.25, 0.45],
  mergeText: [0.2, 0.4],
};

/** Distance lost, guessed as a sum over ratios; 0 only where nothing is removed. */
export type GuessedLoss = (sites: readonly PlannedSite[]) => number;

/** Loss at one ratio from the levels measured: bent below the first, straight between, steeper beyond the last. */
const lossAt = (levels: readonly { readonly ratio: number; readonly loss: number }[], ratio: number): number => {
  const [first, second] = levels;
  if (first === undefined || ratio === 0) return 0;
  const share = ratio / first.ratio;
  if (ratio <= first.ratio || second === undefined) return first.loss * share * Math.sqrt(share);
  const slope = (second.loss - first.loss) / (second.ratio - first.ratio);
  if (ratio <= second.ratio) return first.loss + slope * (ratio - first.ratio);
  const beyond = (ratio - second.ratio) / second.ratio;
  return second.loss + slope * (ratio - second.ratio) * (1 + beyond) + second.loss * beyond * beyond;
};

/** A plan tried, for what a guess learns from it. */
export interface KnownLoss {
  readonly sites: readonly PlannedSite[];
  readonly distance: number;
  /** Samples it was tried on. */
  readonly count: number;
}

/** How far a ratio's own loss, and the part that grows with what else is removed, may be off before plans correct them. */
const PRIOR = { own: 0.7, together: 1 } as const;
/** A guess is never better than this share of the loss; on few samples the distance itself is rough. */
const ROUGH = { guess: 0.1, samples: 1 } as const;
/** Plans beyond this many say little new, and the fit takes time: the latest are used. */
const MOST_KNOWN = 200;

/**
 * From each ratio's sensitivity, corrected by the plans tried since: what each counts for, and how much more it counts
 * the more is removed beside it.
 */
export const guessedLoss = (sensitivities: readonly Sensitivity[], known: readonly KnownLoss[] = []): GuessedLoss => {
  const distances = sensitivities.flatMap((s) => s.levels.map((l) => l.distance)).sort((a, b) => a - b);
  // Where a ratio seems to cost nothing, few samples say so: never quite nothing.
  const floor = Math.max((distances[distances.length >> 1] ?? 0) / 100, 1e-9);
  const curves = sensitivities.map((s) => {
    let least = floor;
    const levels = s.levels.map(({ ratio, distance }) => ({ ratio, loss: (least = Math.max(distance, least)) }));
    return { knob: s, levels };
  });
  const termsOf = (sites: readonly PlannedSite[]): number[] => {
    let sum = 0;
    let removed = 0;
    const own = curves.map(({ knob, levels }) => {
      const ratio = ratioAt(sites, knob);
      // A ratio that could not be tried alone counts as one that costs the usual.
      const loss = ratio === 0 ? 0 : levels.length === 0 ? floor * 100 * ratio : lossAt(levels, ratio);
      sum += loss;
      removed += ratio;
      return loss;
    });
    return [...own, sum * removed];
  };
  const prior = [...curves.map(() => 1), 0];
  const told = known
    .filter(({ distance }) => distance > 0)
    .slice(-MOST_KNOWN)
    .map(({ sites, distance, count }) => ({
      terms: termsOf(sites),
      value: distance,
      deviation: distance * (ROUGH.guess + ROUGH.samples / Math.sqrt(count)),
    }));
  const weights =
    told.length === 0
      ? prior
      : fitNonNegative(
          [
            ...prior.map((value, k) => ({
              terms: prior.map((_, i) => (i === k ? 1 : 0)),
              value,
              deviation: k < curves.length ? PRIOR.own : PRIOR.together,
            })),
            ...told,
          ],
          prior.length,
        );
  return (sites) => {
    // A weight that ended at 0 is one not known well: never quite nothing.
    const terms = termsOf(sites);
    return terms.reduce((sum, term, k) => sum + term * Math.max(weights[k] ?? 0, k < curves.length ? 0.05 : 0), 0);
  };
};
