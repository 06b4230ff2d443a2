/**
 * What each ratio of each site costs in quality on its own, measured on few samples, and from that a first guess at what
 * any plan loses: the sum over its ratios. Rough, but it says where to look.
 */
import type { PlannedSite } from '../reduction/plan.ts';
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

const nameOf = ({ layer, kind }: Knob): string => `${kind} ${layer}`;

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

export const guessedLoss = (sensitivities: readonly Sensitivity[]): GuessedLoss => {
  const distances = sensitivities.flatMap((s) => s.levels.map((l) => l.distance)).sort((a, b) => a - b);
  // Where a ratio seems to cost nothing, few samples say so: never quite nothing.
  const floor = Math.max((distances[distances.length >> 1] ?? 0) / 100, 1e-9);
  const curves = new Map(
    sensitivities.map((s) => {
      let least = floor;
      const levels = s.levels.map(({ ratio, distance }) => ({ ratio, loss: (least = Math.max(distance, least)) }));
      return [nameOf(s), { knob: s as Knob, levels }];
    }),
  );
  return (sites) => {
    let sum = 0;
    for (const { knob, levels } of curves.values()) {
      const ratio = ratioAt(sites, knob);
      // A ratio that could not be tried alone counts as one that costs the usual.
      if (ratio > 0) sum += levels.length === 0 ? floor * 100 * ratio : lossAt(levels, ratio);
    }
    return sum;
  };
};
