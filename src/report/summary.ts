/**
 * What a compilation did, in figures: tokens entering and leaving every site, multiply-adds before and after. Where
 * lengths are only known when the model runs it counts at assumed sizes and says which. Measures nothing: sizes on
 * disk and times are the caller's.
 */
import type { Dim } from '../analysis/dim.ts';
import { tokensOf } from '../analysis/labels.ts';
import { countMacs } from '../analysis/macs.ts';
import { shapesOf } from '../analysis/shapes.ts';
import type { Understanding } from '../analysis/understanding.ts';
import type { Model, Node, ValueName } from '../graph/model.ts';
import { imageCounts, siteIsIdle, textCounts } from '../reduction/counts.ts';
import type { Modality, Semantics, SiteRatios } from '../reduction/plan.ts';
import type { LanePlan, ResolvedPlan, SitePlan } from '../reduction/site-plan.ts';
import { assumedSizes, type AssumedSize } from '../analysis/open-sizes.ts';

/** Tokens of one lane around a site; null where not even the assumed sizes tell. */
export interface TokenCounts {
  readonly before: number | null;
  readonly after: number | null;
  /** The model counts when it runs; the figures are those at the assumed sizes. */
  readonly runtime: boolean;
}

/** Multiply-adds of MatMul, Gemm, Conv, Einsum and whole-attention operators, the reducers' own included. */
export interface Work {
  readonly before: number;
  readonly after: number;
  /** after / before, 1 where there is nothing. */
  readonly left: number;
}

export interface SiteSummary {
  readonly layer: number;
  readonly ratios: SiteRatios;
  readonly image: TokenCounts;
  readonly text: TokenCounts;
  /** Everything computed from this site's tokens up to the next site, or to the end. */
  readonly behind: Work;
  /** Share of the whole model's multiply-adds left, counting what is saved up to the next site. */
  readonly modelLeft: number;
}

export interface CompileSummary {
  readonly semantics: Semantics;
  /** Cross-modal layers of the model. */
  readonly layers: number;
  readonly sites: readonly SiteSummary[];
  /** Tokens entering the first site and leaving the last one. */
  readonly tokens: Readonly<Record<Modality, TokenCounts>>;
  readonly multiplyAdds: Work & {
    /** Nodes that multiply but whose sizes are unknown; left out on both sides. */
    readonly uncounted: number;
  };
  /** Sizes the model leaves open and the figures were counted at. */
  readonly assumed: readonly AssumedSize[];
}

/** What a summary is made from; `compileModel` returns it. */
export interface Summarised {
  readonly model: Model;
  readonly resolved: ResolvedPlan;
  /** Of the model before insertion. */
  readonly understanding: Understanding;
}

const work = (before: number, after: number): Work => ({ before, after, left: before === 0 ? 1 : after / before });

type Sizes = (dim: Dim) => number | undefined;

/** The version of a lane that a site's scoring attention sees, and its length before any site. */
const seenLane = (
  resolved: ResolvedPlan,
  site: SitePlan,
  lane: Modality,
): { version: string; length: Dim } | undefined =>
  (resolved.lanes.of(site.scoring.product.outputs[0] ?? '') ?? [])
    .slice(-2)
    .flatMap((axis) => tokensOf(axis) ?? [])
    .find((s) => s.lane === lane);

const leftBy = (plan: LanePlan, site: SitePlan, semantics: Semantics, before: number, idle: boolean): number => {
  if (plan.counts.kind === 'static') return plan.counts.keep - plan.counts.merge;
  const rule = { semantics, protectedCount: plan.protectedStart + plan.protectedEnd };
  const { prune, merge, mergeText } = site.ratios;
  return plan.lane === 'image'
    ? imageCounts(before, prune, merge, rule).after
    : textCounts(before, mergeText, rule, idle).after;
};

/** Follows both lanes from site to site. */
const tokenCounts = ({ resolved }: Summarised, sizeOf: Sizes): readonly Readonly<Record<Modality, TokenCounts>>[] => {
  const lengths = new Map<string, number | null>();
  const atRuntime = new Set<string>();
  return resolved.sites.map((site) => {
    let idle = false;
    const laneCounts = (lane: Modality): TokenCounts => {
      const plan = site.lanes.find((l) => l.lane === lane);
      const seen = seenLane(resolved, site, lane);
      const version = plan?.before ?? seen?.version ?? '';
      const length = plan?.length ?? seen?.length;
      const before = lengths.get(version) ?? (length && sizeOf(length)) ?? null;
      if (plan === undefined) return { before, after: before, runtime: atRuntime.has(version) };
      const runtime = plan.counts.kind !== 'static';
      if (lane === 'image' && runtime && before !== null)
        idle = siteIsIdle(before, site.ratios.prune, resolved.semantics);
      const after = before === null ? null : leftBy(plan, site, resolved.semantics, before, idle);
      lengths.set(plan.after, after);
      if (runtime) atRuntime.add(plan.after);
      return { before, after, runtime };
    };
    const image = laneCounts('image');
    return { image, text: laneCounts('text') };
  });
};

/** Reducers and what is written for them carry the site's layer in their names. */
const writtenFor = (value: ValueName): number | undefined => {
  const layer = /^pumer\/layer_(\d+)\//.exec(value)?.[1];
  return layer === undefined ? undefined : Number(layer);
};

/** For every value of the original graph, how many of the layers that became sites it is computed behind. */
const stages = (
  u: Understanding,
  sites: readonly SitePlan[],
  layers: readonly number[],
): ReadonlyMap<ValueName, number> => {
  const read = new Map<Node, Map<number, number>>();
  for (const site of sites)
    for (const { node, input } of site.lanes.flatMap((l) => l.site.stream.uses)) {
      const own = read.get(node) ?? new Map<number, number>();
      own.set(input, Math.max(own.get(input) ?? 0, layers.indexOf(site.layer) + 1));
      read.set(node, own);
    }
  const found = new Map<ValueName, number>();
  for (const node of u.model.graph.nodes) {
    const own = read.get(node);
    const inputs = node.inputs.map((value, i) => Math.max(found.get(value) ?? 0, own?.get(i) ?? 0));
    const stage = Math.max(0, own?.get(-1) ?? 0, ...inputs, ...node.captures.map((v) => found.get(v) ?? 0));
    if (stage > 0) for (const output of node.outputs) found.set(output, stage);
  }
  return found;
};

interface Counted {
  readonly whole: Work;
  /** Per layer that became a site, in order. */
  readonly behind: readonly Work[];
  readonly uncounted: number;
}

const countWork = (
  { model, resolved, understanding: u }: Summarised,
  symbols: ReadonlyMap<string, number>,
): Counted => {
  const layers = [...new Set(resolved.sites.map((s) => s.layer))];
  const before = countMacs(u.model, shapesOf(u.model), symbols);
  const after = countMacs(model, shapesOf(model), symbols);
  const stageOf = stages(u, resolved.sites, layers);
  const share = (perNode: ReadonlyMap<ValueName, number>): readonly number[] => {
    const sums = layers.map(() => 0);
    for (const [value, macs] of perNode) {
      const layer = writtenFor(value);
      const at = (layer === undefined ? (stageOf.get(value) ?? 0) : layers.indexOf(layer) + 1) - 1;
      if (at >= 0) sums[at] = (sums[at] ?? 0) + macs;
    }
    return sums;
  };
  const was = share(before.perNode);
  const is = share(after.perNode);
  return {
    whole: work(before.total, after.total),
    behind: layers.map((_, i) => work(was[i] ?? 0, is[i] ?? 0)),
    uncounted: Math.max(before.unknown, after.unknown),
  };
};

const overall = (all: readonly TokenCounts[]): TokenCounts => ({
  before: all[0]?.before ?? null,
  after: all.at(-1)?.after ?? null,
  runtime: all.some((c) => c.runtime),
});

/** The figures of one compilation. */
export const summarise = (compiled: Summarised): CompileSummary => {
  const { resolved, understanding: u } = compiled;
  const assumed = assumedSizes(u.model);
  const symbols = new Map(assumed.map(({ symbol, size }) => [symbol, size]));
  const tokens = tokenCounts(compiled, (dim) => shapesOf(u.model).resolve(dim, symbols));
  const { whole, behind, uncounted } = countWork(compiled, symbols);
  const layers = [...new Set(resolved.sites.map((s) => s.layer))];
  const sites = resolved.sites.map((site, i): SiteSummary => {
    const stage = layers.indexOf(site.layer);
    const saved = behind.slice(0, stage + 1).reduce((sum, w) => sum + w.before - w.after, 0);
    return {
      layer: site.layer,
      ratios: { prune: site.ratios.prune, merge: site.ratios.merge, mergeText: site.ratios.mergeText },
      ...(tokens[i] as Readonly<Record<Modality, TokenCounts>>),
      behind: behind[stage] as Work,
      modelLeft: whole.before === 0 ? 1 : 1 - saved / whole.before,
    };
  });
  return {
    semantics: resolved.semantics,
    layers: u.layers.length,
    sites,
    tokens: { image: overall(sites.map((s) => s.image)), text: overall(sites.map((s) => s.text)) },
    multiplyAdds: { ...whole, uncounted },
    assumed,
  };
};
