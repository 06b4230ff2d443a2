/**
 * What a plan's model takes on this machine: measured for some plans, told from those for all others. Time follows the
 * multiply-adds, at an efficiency that depends on the number of tokens (tiles, vector lengths, threads) and is linear
 * between measured lengths; to that come the other operators and the reducers themselves.
 */
import type { ReductionPlan } from '../../reduction/plan.ts';
import { invariant } from '../../support/assert.ts';
import { median, spreadOf, type Quartiles } from '../../timing/spread.ts';
import type { LaneSizes, PlanCost } from '../candidate-model.ts';
import { fitNonNegative, type Observation } from './least-squares.ts';

/** Of milliseconds, or of ratios of paired runs. */
export type Measured = Quartiles;

/** A plan that was compiled and timed in turns with the original. */
export interface TimedPlan {
  readonly plan: ReductionPlan;
  readonly original: Measured;
  readonly compiled: Measured;
  /** Compiled / original of the same turn. */
  readonly ratio: Measured;
  readonly turns: number;
}

/** Everything a latency model is made from; printed, read again and kept with a calibration. */
export interface LatencyTable {
  readonly schema_version: 1;
  /** Processor, cores, Node and ONNX Runtime versions, what runs the reducers. */
  readonly machine: string;
  readonly threads: number | null;
  readonly batch: number;
  readonly image: number;
  readonly text: number;
  readonly timed: readonly TimedPlan[];
}

export interface Predicted {
  /** Time of the compiled model / time of the original. */
  readonly ratio: number;
  readonly milliseconds: number;
}

export interface LatencyModel {
  readonly table: LatencyTable;
  readonly predict: (plan: ReductionPlan) => Predicted;
  /** Error of the ratio where a measured plan is left out and predicted from the others: median and largest, as shares. */
  readonly leftOut: { readonly median: number; readonly largest: number };
}

/** What `CandidateModel.costOf` says of a plan. */
export type CostOf = (plan: ReductionPlan, sizes: LaneSizes) => PlanCost;

/** No processor works this much better on shorter tokens: no prediction is below this share of the multiply-adds. */
const LEAST_OF_WORK = 0.5;

/** How far the model itself may be off, as a share, however well a plan was measured. */
const MODEL_DEVIATION = 0.01;

/** How far single ratios are thought to spread where too few were taken to tell, as a share. */
const RUN_DEVIATION = 0.05;

/** Turns from which on quartiles tell anything. */
const ENOUGH_TURNS = 4;

/** A measured plan further off than so many deviations counts less (Huber), in so many rounds. */
const [HUBER, HUBER_ROUNDS] = [2, 3];

/**
 * How different the efficiencies at neighbouring lengths are thought to be before anything is measured; which of them
 * fits the measured plans best is tried.
 */
const ROUGHNESSES = [0.03, 0.1, 0.3, 1] as const;

/** The same for the terms that products do not explain, as shares of the original's time. */
const PRIOR = { product: 1, elements: 0.3, constant: 0.05, lane: 0.02, tokens: 0.05 } as const;

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Lengths where measured plans spend a good part of their products, no two of them closer than a sixteenth. */
const knotsOf = (costs: readonly PlanCost[], full: number): number[] => {
  const lengths = costs.flatMap(({ stages, multiplyAdds }) =>
    stages.filter((s) => s.multiplyAdds > 0.05 * multiplyAdds).map((s) => s.image + s.text),
  );
  const kept: number[] = [];
  for (const length of [...new Set(lengths)].sort((a, b) => b - a))
    if ((kept.at(-1) ?? Infinity) - length >= full / 16) kept.push(length);
  return kept.length === 0 ? [full] : kept.reverse();
};

/** Shares of the knots around a length, linear in between and level beyond the outer ones. */
export const hats = (knots: readonly number[], length: number): number[] => {
  const shares = knots.map(() => 0);
  const above = knots.findIndex((knot) => knot >= length);
  if (above <= 0) shares[above === 0 ? 0 : knots.length - 1] = 1;
  else {
    const [low = 0, high = 1] = [knots[above - 1], knots[above]];
    const share = (length - low) / (high - low);
    shares[above - 1] = 1 - share;
    shares[above] = share;
  }
  return shares;
};

/** The terms of a plan: products at each knot, other operators, a constant, reduced lanes, tokens entering reducers. */
const termsOf = (cost: PlanCost, original: PlanCost, full: number, knots: readonly number[]): number[] => {
  const products = knots.map(() => 0);
  for (const { multiplyAdds, image, text } of cost.stages)
    hats(knots, image + text).forEach((share, k) => {
      products[k] = (products[k] ?? 0) + (share * multiplyAdds) / original.multiplyAdds;
    });
  const elements = (of: PlanCost): number => sum(of.stages.map((s) => s.elements));
  const reduced = cost.sites.flatMap(({ image, text }) => [image, text]).filter((c) => c.before !== c.after);
  return [
    ...products,
    elements(cost) / Math.max(elements(original), 1),
    1,
    reduced.length,
    sum(reduced.map((c) => c.before)) / full,
  ];
};

/** What is thought before anything is measured: weak, but enough to determine every term however little is measured. */
const priorOf = (knots: number, roughness: number): Observation[] => {
  const count = knots + 4;
  const only = (...terms: readonly (readonly [at: number, value: number])[]): number[] => {
    const all = Array.from({ length: count }, () => 0);
    for (const [at, value] of terms) all[at] = value;
    return all;
  };
  const close = Array.from({ length: knots - 1 }, (_, k) => ({
    terms: only([k, 1], [k + 1, -1]),
    value: 0,
    deviation: roughness,
  }));
  return [
    ...close,
    { terms: only([knots - 1, 1]), value: 1, deviation: PRIOR.product },
    { terms: only([knots, 1]), value: 0, deviation: PRIOR.elements },
    { terms: only([knots + 1, 1]), value: 0, deviation: PRIOR.constant },
    { terms: only([knots + 2, 1]), value: 0, deviation: PRIOR.lane },
    { terms: only([knots + 3, 1]), value: 0, deviation: PRIOR.tokens },
  ];
};

/** A measured plan as the fit sees it. */
interface Costed extends Observation {
  /** The least ratio that is believed of it. */
  readonly floor: number;
}

const told = (coefficients: readonly number[], { terms, floor }: Pick<Costed, 'terms' | 'floor'>): number =>
  Math.max(floor, sum(terms.map((term, i) => term * (coefficients[i] ?? 0))));

/** |predicted / measured - 1| of each plan, from the others. */
const leftOutErrors = (
  timed: readonly Costed[],
  fit: (others: readonly Costed[]) => readonly number[],
): readonly number[] =>
  timed.map((one, i) => Math.abs(told(fit(timed.filter((_, j) => j !== i)), one) / one.value - 1));

/** Coefficients at the roughness by which plans are told best from each other. `original` is what all know: ratio 1. */
const fitBest = (timed: readonly Costed[], original: Observation, knots: number): readonly number[] => {
  const fitWith = (known: readonly Costed[], roughness: number): readonly number[] => {
    const certain = [...priorOf(knots, roughness), original];
    let coefficients = fitNonNegative([...certain, ...known], original.terms.length);
    for (let round = 0; round < HUBER_ROUNDS; round++) {
      const off = known.map((one) => Math.abs(told(coefficients, one) - one.value) / one.deviation);
      if (off.every((o) => o <= HUBER)) break;
      const doubted = known.map((one, i) => ({
        ...one,
        deviation: one.deviation * Math.sqrt(Math.max((off[i] ?? 0) / HUBER, 1)),
      }));
      coefficients = fitNonNegative([...certain, ...doubted], original.terms.length);
    }
    return coefficients;
  };
  const [first] = ROUGHNESSES;
  let best: { readonly roughness: number; readonly error: number } = { roughness: first, error: Infinity };
  for (const roughness of ROUGHNESSES) {
    const error = sum(leftOutErrors(timed, (others) => fitWith(others, roughness)).map((e) => e ** 2));
    if (error < best.error) best = { roughness, error };
  }
  return fitWith(timed, best.roughness);
};

/** Of single ratios, as a share, from their quartiles as if they were normal. */
const runDeviation = ({ ratio }: TimedPlan): number => (ratio.high - ratio.low) / 1.349 / ratio.median;

/**
 * Standard errors of the medians. A few ratios may lie close together by chance, so no plan's are thought to spread less
 * than those of the others do in the middle.
 */
const deviationsOf = (timed: readonly TimedPlan[]): number[] => {
  const told = timed.filter((t) => t.turns >= ENOUGH_TURNS).map(runDeviation);
  const usual = told.length === 0 ? RUN_DEVIATION : median(told);
  return timed.map((t) => (1.2533 * t.ratio.median * Math.max(usual, runDeviation(t))) / Math.sqrt(t.turns));
};

/** Deterministic: the same table and costs give the same predictions. The table holds at least one plan. */
export const fitLatencyModel = (table: LatencyTable, costOf: CostOf): LatencyModel => {
  invariant(table.timed.length > 0, 'a latency model needs a measured plan');
  const sizes: LaneSizes = { image: table.image, text: table.text };
  const full = table.image + table.text;
  const [{ plan: some }] = table.timed as [TimedPlan, ...TimedPlan[]];
  const original = costOf({ schema_version: 1, semantics: some.semantics, sites: [] }, sizes);
  const costs = table.timed.map((t) => costOf(t.plan, sizes));
  const knots = knotsOf([original, ...costs], full);
  const costed = (cost: PlanCost): Pick<Costed, 'terms' | 'floor'> => ({
    terms: termsOf(cost, original, full, knots),
    floor: (LEAST_OF_WORK * cost.multiplyAdds) / original.multiplyAdds,
  });
  const deviations = deviationsOf(table.timed);
  const timed = table.timed.map((t, i): Costed => {
    const value = t.ratio.median;
    const deviation = Math.hypot(deviations[i] ?? 0, MODEL_DEVIATION * value);
    return { ...costed(costs[i] as PlanCost), value, deviation };
  });
  const whole: Observation = { ...costed(original), value: 1, deviation: 1e-4 };
  const fit = (known: readonly Costed[]): readonly number[] => fitBest(known, whole, knots.length);
  const coefficients = fit(timed);
  const milliseconds = median(table.timed.map((t) => t.original.median));
  const errors = spreadOf(leftOutErrors(timed, fit));
  return {
    table,
    predict: (plan) => {
      const ratio = told(coefficients, costed(costOf(plan, sizes)));
      return { ratio, milliseconds: ratio * milliseconds };
    },
    leftOut: { median: errors.median, largest: errors.most },
  };
};
