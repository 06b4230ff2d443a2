/**
 * What a plan costs in work, told from the graph alone: every product's multiply-adds scale with the tokens on its axes,
 * and which tokens those are the virtual trace says. So a plan is costed without building its model.
 */
import { countMacs } from '../analysis/macs.ts';
import type { Axis, Segment } from '../analysis/labels.ts';
import type { Lanes } from '../analysis/lanes.ts';
import { einstein } from '../analysis/shape-rules/products.ts';
import { makeSymbols } from '../analysis/shape-rules/symbols.ts';
import { shapesOf } from '../analysis/shapes.ts';
import type { Understanding } from '../analysis/understanding.ts';
import type { Node } from '../graph/model.ts';
import { intOf } from '../graph/tensors.ts';
import { imageCounts, siteIsIdle, textCounts } from './counts.ts';
import type { Modality, ReductionPlan } from './plan.ts';
import type { ResolvedPlan } from './site-plan.ts';

/** All nodes that see the same versions of both lanes: what runs between two changes of length. */
export interface Stage {
  /** Tokens of each lane while in it. */
  readonly image: number;
  readonly text: number;
  /** Multiply-adds of products, one row of the batch. */
  readonly multiplyAdds: number;
  /** Elements written by everything else (softmax, norms, activations, additions): work that products leave out. */
  readonly elements: number;
}

export interface PlanCost {
  /** Of the whole model, the reducers' own left out; one row of the batch. */
  readonly multiplyAdds: number;
  /** The same stages in the same order for every plan of a model. */
  readonly stages: readonly Stage[];
  /** Sites where anything is removed, by layer, with the tokens entering and leaving. */
  readonly sites: readonly {
    readonly layer: number;
    readonly image: { readonly before: number; readonly after: number };
    readonly text: { readonly before: number; readonly after: number };
  }[];
}

/** Tokens of each lane as they are born, one row. */
export interface LaneSizes {
  readonly image: number;
  readonly text: number;
}

/** Tokens by version of a lane, '' for those nobody has shortened. */
type Lengths = ReadonlyMap<string, number>;
const nameOf = (lane: Modality, version: string): string => `${lane} ${version}`;

/** Tokens along one axis: a constant part and runs of lanes, each as a share of its lane. */
interface Run {
  readonly constant: number;
  readonly parts: readonly { readonly name: string; readonly share: number }[];
}

/** Work that is `amount` times the product of its runs. */
interface Term {
  readonly amount: number;
  readonly runs: readonly Run[];
}

interface StageTerms {
  readonly image: string;
  readonly text: string;
  readonly products: Term[];
  readonly others: Term[];
}

const isLane = (segment: Segment): segment is Segment & { lane: Modality } => segment.lane !== 'other';
const factorsOf = (axis: Axis): readonly (readonly Segment[])[] => axis.flatMap((f) => (f.tokens ? [f.tokens] : []));

/** Nodes that write nothing, or whose result is a view of their input in every runtime. */
const moveNothing = new Set(['Shape', 'Reshape', 'Identity', 'Squeeze', 'Unsqueeze', 'Flatten', 'Constant', 'Size']);

/** The axes of its inputs that a product sums over, as labels. */
const summedAxes = (lanes: Lanes, node: Node, u: Understanding): readonly Axis[] => {
  const left = lanes.seenBy(node, node.inputs[0] ?? '');
  if (node.op === 'Einsum') {
    const equation = node.attrs['equation'];
    const dims = node.inputs.map((v) => shapesOf(u.model).of(v)?.dims);
    if (equation?.kind !== 'string' || dims.some((d) => d === undefined)) return [];
    const { operands, result } = einstein(makeSymbols(), equation.value, dims as never);
    return operands.flatMap((letters, i) => {
      const labels = lanes.seenBy(node, node.inputs[i] ?? '');
      // A letter that several operands share is summed over once.
      const own = letters.filter((l) => !result.includes(l) && !operands.slice(0, i).some((o) => o.includes(l)));
      return own.flatMap((l) => labels?.[letters.indexOf(l)] ?? []).map((f) => [f]);
    });
  }
  const axis = left?.at(node.op === 'Gemm' && intOf(node, 'transA', 0) === 1 ? 0 : -1);
  return axis === undefined ? [] : [axis];
};

/** A function of plan and sizes; `resolved` has every open layer as a site. Sizes of one row fill in the model's symbols. */
export const planCosts = (
  u: Understanding,
  resolved: ResolvedPlan,
  symbols: ReadonlyMap<string, number>,
): ((plan: ReductionPlan, sizes: LaneSizes) => PlanCost) => {
  const { lanes } = resolved;
  const shapes = shapesOf(u.model);
  const macs = countMacs(u.model, shapes, symbols);
  const resolve = (length: Segment['length']): number => shapes.resolve(length, symbols) ?? 0;

  /** Lanes as they are born at `symbols`: what the counted work holds for. */
  const born = new Map<Modality, number>();
  for (const { lanes: shortened } of resolved.sites)
    for (const { lane, site } of shortened)
      for (const run of [...site.keys.keyTokens, ...site.keys.queryTokens])
        if (run.lane === lane && !born.has(lane)) born.set(lane, resolve(run.length));
  for (const { scoring } of resolved.sites)
    for (const run of [...scoring.queryTokens, ...scoring.keyTokens])
      if (isLane(run) && !born.has(run.lane)) born.set(run.lane, resolve(run.length));
  const bornOf = (lane: Modality): number => born.get(lane) ?? 0;

  const runOf = (tokens: readonly Segment[]): Run => {
    let constant = 0;
    const parts: { name: string; share: number }[] = [];
    for (const segment of tokens) {
      const length = resolve(segment.length);
      if (!isLane(segment) || bornOf(segment.lane) === 0) constant += length;
      else parts.push({ name: nameOf(segment.lane, segment.version), share: length / bornOf(segment.lane) });
    }
    return { constant, parts };
  };
  const fullLength = (tokens: readonly Segment[]): number => tokens.reduce((n, s) => n + resolve(s.length), 0);

  const stages = new Map<string, StageTerms>();
  let elsewhere = 0;
  for (const node of u.model.graph.nodes) {
    const out = node.outputs[0] ?? '';
    const own = macs.perNode.get(out);
    const labels = lanes.of(out);
    const seen = [labels, ...node.inputs.map((v) => lanes.seenBy(node, v))];
    const segments = seen
      .flatMap((l) => l ?? [])
      .flatMap((axis) => factorsOf(axis).flat())
      .filter(isLane);
    if (segments.length === 0) {
      elsewhere += own ?? 0;
      continue;
    }
    if (own === undefined && moveNothing.has(node.op)) continue;
    const axes = [...(labels ?? []), ...(own === undefined ? [] : summedAxes(lanes, node, u))];
    const tokens = axes.flatMap(factorsOf);
    const dims = shapes.of(out)?.dims?.map((d) => shapes.resolve(d, symbols));
    const written = dims?.every((d) => d !== undefined) === true ? dims.reduce((n, d) => n * d, 1) : 0;
    const full = tokens.reduce((n, t) => n * fullLength(t), 1);
    if (full === 0) continue;
    const term = { amount: (own ?? written) / full, runs: tokens.map(runOf) };
    // The newest version of each lane: what a node reads of older ones is on its way out.
    const versionOf = (lane: Modality): string =>
      segments.reduce(
        (newest, s) => (s.lane === lane && (s.earlier?.includes(newest) ?? false) ? s.version : newest),
        '',
      );
    const [image, text] = [nameOf('image', versionOf('image')), nameOf('text', versionOf('text'))];
    const stage = stages.get(`${image}, ${text}`) ?? { image, text, products: [], others: [] };
    stages.set(`${image}, ${text}`, stage);
    (own === undefined ? stage.others : stage.products).push(term);
  }

  const lengthsOf = (plan: ReductionPlan, sizes: LaneSizes): { lengths: Lengths; sites: PlanCost['sites'] } => {
    const lengths = new Map<string, number>([
      [nameOf('image', ''), sizes.image],
      [nameOf('text', ''), sizes.text],
    ]);
    const last: Record<Modality, string> = { image: '', text: '' };
    const sites = new Map<number, PlanCost['sites'][number]>();
    for (const site of resolved.sites) {
      const ratios = plan.sites.find((s) => s.layer === site.layer) ?? { prune: 0, merge: 0, mergeText: 0 };
      let idle = false;
      const ends: Record<Modality, { before: number; after: number }> = {
        image: { before: lengths.get(nameOf('image', last.image)) ?? 0, after: 0 },
        text: { before: lengths.get(nameOf('text', last.text)) ?? 0, after: 0 },
      };
      for (const lane of ['image', 'text'] as const) {
        const shortened = site.lanes.find((l) => l.lane === lane);
        const before = shortened === undefined ? ends[lane].before : (lengths.get(nameOf(lane, shortened.before)) ?? 0);
        ends[lane] = { before, after: before };
        if (lane === 'image') idle = siteIsIdle(before, ratios.prune, plan.semantics);
        if (shortened === undefined) continue;
        const rule = {
          semantics: plan.semantics,
          protectedCount: shortened.protectedStart + shortened.protectedEnd,
        };
        const { after } =
          lane === 'image'
            ? imageCounts(before, ratios.prune, ratios.merge, rule)
            : textCounts(before, ratios.mergeText, rule, idle);
        ends[lane] = { before, after };
        lengths.set(nameOf(lane, shortened.after), after);
        last[lane] = shortened.after;
      }
      if (ends.image.after < ends.image.before || ends.text.after < ends.text.before)
        sites.set(site.layer, { layer: site.layer, ...ends });
    }
    return { lengths, sites: [...sites.values()] };
  };

  return (plan, sizes) => {
    const { lengths, sites } = lengthsOf(plan, sizes);
    const lengthOf = ({ constant, parts }: Run): number =>
      parts.reduce((n, { name, share }) => n + share * (lengths.get(name) ?? 0), constant);
    const sum = (terms: readonly Term[]): number =>
      terms.reduce((n, { amount, runs }) => n + runs.reduce((product, run) => product * lengthOf(run), amount), 0);
    const all = [...stages.values()].map(({ image, text, products, others }) => ({
      image: lengths.get(image) ?? sizes.image,
      text: lengths.get(text) ?? sizes.text,
      multiplyAdds: sum(products),
      elements: sum(others),
    }));
    return { multiplyAdds: all.reduce((n, s) => n + s.multiplyAdds, elsewhere), stages: all, sites };
  };
};
