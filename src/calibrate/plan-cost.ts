/**
 * What a plan costs, told without building its model: polynomials in the lengths of lanes, made once and evaluated for
 * any plan. Lengths come from counts.ts, as in the model itself. The reducers' own work is left out.
 */
import { axisDim, isRows, type Labels } from '../analysis/labels.ts';
import { dimValue, sameDim, type Dim } from '../analysis/dim.ts';
import { assumedSizes, givenInputs, symbolOf } from '../analysis/open-sizes.ts';
import { shapesOf } from '../analysis/shapes.ts';
import type { Understanding } from '../analysis/understanding.ts';
import { imageCounts, siteIsIdle, textCounts } from '../reduction/counts.ts';
import type { Modality, ReductionPlan } from '../reduction/plan.ts';
import type { LanePlan, ResolvedPlan } from '../reduction/site-plan.ts';
import type { LaneSizes, PlanCost, Stage } from './candidate-model.ts';
import { bornLengths, lengthSymbol, workByStages, type LaneVersion } from './latency/plan-work.ts';

export interface PlanCosts {
  readonly costOf: (plan: ReductionPlan, sizes: LaneSizes) => PlanCost;
  /** Tokens of one row for inputs of these sizes; undefined where they do not tell. */
  readonly sizesOf: (feeds: ReadonlyMap<string, { readonly dims: readonly number[] }>) => LaneSizes | undefined;
}

/** A polynomial in lengths alone: coefficient and length symbols of every term. */
type Terms = readonly (readonly [number, readonly string[]])[];

interface StageTerms {
  readonly image: LaneVersion | undefined;
  readonly text: LaneVersion | undefined;
  readonly multiplyAdds: Terms;
  readonly elements: Terms;
}

const mostPixels = 4096;

/** Sizes of the model's own symbols under which its lanes are born with the given lengths, as far as one size decides. */
const symbolsFor = (u: Understanding, born: Readonly<Record<Modality, Dim>>, sizes: LaneSizes): Map<string, number> => {
  const { resolve } = shapesOf(u.model);
  const assumed = assumedSizes(u.model);
  const symbols = new Map(assumed.map(({ symbol, size }) => [symbol, size]));
  for (const lane of ['text', 'image'] as const) {
    if (resolve(born[lane], symbols) === sizes[lane]) continue;
    // Those that change this lane: one for words or regions, two for the sides of a picture.
    const at = (size: number): Map<string, number> =>
      new Map([...symbols].map(([name, was]) => [name, sides.includes(name) ? size : was]));
    const now = resolve(born[lane], symbols);
    const sides = [...symbols.keys()].filter(
      (name) => resolve(born[lane], new Map([...symbols, [name, (symbols.get(name) ?? 1) * 2]])) !== now,
    );
    for (let size = 1; size <= mostPixels; size++)
      if (resolve(born[lane], at(size)) === sizes[lane]) {
        for (const side of sides) symbols.set(side, size);
        break;
      }
  }
  return symbols;
};

/** Length symbols stay, everything else becomes a number; a term that nobody can tell counts nothing. */
const termsAt = (u: Understanding, dim: Dim, symbols: ReadonlyMap<string, number>): Terms =>
  [...dim.terms].flatMap(([monomial, coefficient]): Terms => {
    const factors = monomial === '' ? [] : monomial.split('*');
    const rest = factors.filter((f) => !f.startsWith('#')).join('*');
    const by = shapesOf(u.model).resolve({ terms: new Map([[rest, coefficient]]) }, symbols);
    return by === undefined ? [] : [[by, factors.filter((f) => f.startsWith('#'))]];
  });

const valueOf = (terms: Terms, lengths: ReadonlyMap<string, number>): number =>
  terms.reduce((sum, [by, factors]) => sum + factors.reduce((p, f) => p * (lengths.get(f) ?? 0), by), 0);

/** How many rows a file fixes, 1 where it leaves that open. */
const fixedRows = (labels: Labels | undefined): number => {
  const rows = labels?.find(isRows);
  return (rows && dimValue(axisDim(rows))) ?? 1;
};

interface Around {
  readonly before: number;
  readonly after: number;
}

/** `resolved` opens all sites that plans may use; `u` is of the model it was resolved against. */
export const planCosts = (u: Understanding, resolved: ResolvedPlan): PlanCosts => {
  const born = bornLengths(resolved);
  const { stages } = workByStages(u, resolved);
  const rows = fixedRows(resolved.lanes.of(resolved.sites[0]?.lanes[0]?.site.stream.value ?? ''));
  const known = new Map<string, { terms: readonly StageTerms[]; symbols: ReadonlyMap<string, number> }>();
  const at = (sizes: LaneSizes): { terms: readonly StageTerms[]; symbols: ReadonlyMap<string, number> } => {
    const key = `${sizes.image},${sizes.text}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    const symbols = symbolsFor(u, born, sizes);
    const terms = stages.map((stage) => ({
      ...stage,
      multiplyAdds: termsAt(u, stage.multiplyAdds, symbols),
      elements: termsAt(u, stage.elements, symbols),
    }));
    known.set(key, { terms, symbols });
    return { terms, symbols };
  };

  /** Lengths of all versions under a plan, and what every layer's first site does to both lanes. */
  const follow = (
    plan: ReductionPlan,
    sizes: LaneSizes,
    symbols: ReadonlyMap<string, number>,
  ): { lengths: ReadonlyMap<string, number>; sites: PlanCost['sites'] } => {
    const lengths = new Map<string, number>([
      ['#image', sizes.image],
      ['#text', sizes.text],
    ]);
    const now: Record<Modality, number> = { ...sizes };
    const entering = (lane: LanePlan): number => {
      const other = lane.before === '' && lane.length !== undefined && !sameDim(lane.length, born[lane.lane]);
      const own = other ? shapesOf(u.model).resolve(lane.length, symbols) : undefined;
      return own ?? lengths.get(lengthSymbol({ lane: lane.lane, version: lane.before })) ?? 0;
    };
    const sites = resolved.sites.flatMap((site, i) => {
      const { prune, merge, mergeText } = plan.sites.find((s) => s.layer === site.layer) ?? idleSite;
      let idle = false;
      const around: Record<Modality, Around> = {
        image: { before: now.image, after: now.image },
        text: { before: now.text, after: now.text },
      };
      for (const lane of site.lanes) {
        const before = entering(lane);
        const rule = { semantics: plan.semantics, protectedCount: lane.protectedStart + lane.protectedEnd };
        if (lane.lane === 'image') idle = siteIsIdle(before, prune, plan.semantics);
        const { after } =
          lane.lane === 'image' ? imageCounts(before, prune, merge, rule) : textCounts(before, mergeText, rule, idle);
        lengths.set(lengthSymbol({ lane: lane.lane, version: lane.after }), after);
        around[lane.lane] = { before, after };
      }
      // Parallel stacks of one layer do the same: the first speaks for all.
      if (resolved.sites.findIndex((s) => s.layer === site.layer) !== i) return [];
      now.image = around.image.after;
      now.text = around.text.after;
      const removes = around.image.after < around.image.before || around.text.after < around.text.before;
      return removes ? [{ layer: site.layer, ...around }] : [];
    });
    return { lengths, sites };
  };

  return {
    costOf: (plan, sizes) => {
      const { terms, symbols } = at(sizes);
      const { lengths, sites } = follow(plan, sizes, symbols);
      const tokens = (version: LaneVersion | undefined): number =>
        version === undefined ? 0 : (lengths.get(lengthSymbol(version)) ?? 0);
      const all = terms.map((stage): Stage => ({
        image: tokens(stage.image),
        text: tokens(stage.text),
        multiplyAdds: valueOf(stage.multiplyAdds, lengths) / rows,
        elements: valueOf(stage.elements, lengths) / rows,
      }));
      return { multiplyAdds: all.reduce((sum, s) => sum + s.multiplyAdds, 0), stages: all, sites };
    },
    sizesOf: (feeds) => {
      const symbols = new Map<string, number>();
      for (const input of givenInputs(u.model))
        feeds.get(input.name)?.dims.forEach((size, axis) => {
          const symbol = symbolOf(input, axis);
          if (symbol !== undefined) symbols.set(symbol, size);
        });
      const [image, text] = [born.image, born.text].map((dim) => shapesOf(u.model).resolve(dim, symbols));
      return image === undefined || text === undefined ? undefined : { image, text };
    },
  };
};

const idleSite = { prune: 0, merge: 0, mergeText: 0 };
