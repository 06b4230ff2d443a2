/**
 * The work of every node as a polynomial in the lengths that its lanes have where it stands, gathered by stages. Lanes
 * come from the virtual trace of a plan that opens all sites: the graph itself is the one before insertion.
 */
import { addDims, constDim, productOf, sameDim, sumDims, symbolDim, type Dim } from '../../analysis/dim.ts';
import type { Labels, Segment } from '../../analysis/labels.ts';
import { macsOf } from '../../analysis/macs.ts';
import { shapesOf } from '../../analysis/shapes.ts';
import type { Understanding } from '../../analysis/understanding.ts';
import type { Node, ValueName } from '../../graph/model.ts';
import type { Modality } from '../../reduction/plan.ts';
import type { ResolvedPlan } from '../../reduction/site-plan.ts';

/** A lane between two sites. The symbols of lengths hold a sign that no size of a file has. */
export interface LaneVersion {
  readonly lane: Modality;
  /** As in the plan, '' for the lane as it is born. */
  readonly version: string;
}

export const lengthSymbol = ({ lane, version }: LaneVersion): string => `#${version === '' ? lane : version}`;

/** All nodes that see the same versions of both lanes, and what they do. */
export interface StageWork {
  readonly image: LaneVersion | undefined;
  readonly text: LaneVersion | undefined;
  /** Polynomials in length symbols and the model's own sizes. */
  readonly multiplyAdds: Dim;
  readonly elements: Dim;
}

/** Hand elements on as they lie, or make none worth counting. */
const views = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity', 'Shape', 'Size', 'Constant']);

/** How long both lanes are when they are born, as expressions of the model's sizes: of the first site that names them. */
export const bornLengths = ({ sites }: ResolvedPlan): Readonly<Record<Modality, Dim>> => {
  const tokens = sites.flatMap((site) => [...site.scoring.queryTokens, ...site.scoring.keyTokens]);
  const of = (lane: Modality): Dim => tokens.find((t) => t.lane === lane)?.length ?? constDim(0);
  return { image: of('image'), text: of('text') };
};

/** Work by stages, in the order of the graph; `uncounted` nodes do products of sizes that are not known. */
export const workByStages = (
  u: Understanding,
  resolved: ResolvedPlan,
): { readonly stages: readonly StageWork[]; readonly uncounted: number } => {
  const shapes = shapesOf(u.model);
  const born = bornLengths(resolved);
  const order = new Map(resolved.sites.flatMap((s) => s.lanes).map((l, i) => [l.after, i]));
  const versionOf = (s: Segment): LaneVersion | undefined => {
    if (s.lane === 'other' || (s.version === '' && !sameDim(s.length, born[s.lane]))) return undefined;
    return { lane: s.lane, version: s.version };
  };
  const lengthOf = (s: Segment): Dim => {
    const version = versionOf(s);
    return version === undefined ? s.length : symbolDim(lengthSymbol(version));
  };
  const sized = (labels: Labels | undefined, value: ValueName): readonly Dim[] | undefined =>
    labels === undefined
      ? shapes.of(value)?.dims
      : labels.map((axis) =>
          productOf(axis.map((f) => (f.tokens === undefined ? f.dim : sumDims(f.tokens.map(lengthOf))))),
        );

  /** The last version of each lane that a node sees. */
  const seenBy = (labels: readonly (Labels | undefined)[]): Pick<StageWork, 'image' | 'text'> => {
    const found: { image: LaneVersion | undefined; text: LaneVersion | undefined } = {
      image: undefined,
      text: undefined,
    };
    const later = (a: LaneVersion, b: LaneVersion | undefined): boolean =>
      b === undefined || (order.get(a.version) ?? -1) > (order.get(b.version) ?? -1);
    for (const segment of labels.flatMap((l) => l ?? []).flatMap((axis) => axis.flatMap((f) => f.tokens ?? []))) {
      const version = versionOf(segment);
      if (version !== undefined && later(version, found[version.lane])) found[version.lane] = version;
    }
    return found;
  };

  const stages = new Map<string, StageWork>();
  let uncounted = 0;
  const enter = (node: Node): void => {
    const inputs = node.inputs.map((v) => resolved.lanes.seenBy(node, v));
    const outputs = node.outputs.map((v) => resolved.lanes.of(v));
    const dims = (all: readonly (Labels | undefined)[], values: readonly ValueName[]) => (i: number) =>
      sized(all[i], values[i] ?? '');
    const output = dims(outputs, node.outputs);
    const macs = macsOf({ node, input: dims(inputs, node.inputs), output });
    if (macs === undefined) uncounted++;
    const written = node.outputs.flatMap((_, i) => output(i)).some((d) => d === undefined)
      ? constDim(0)
      : sumDims(node.outputs.map((_, i) => productOf(output(i) ?? [constDim(0)])));
    const seen = seenBy([...inputs, ...outputs]);
    const key = `${seen.image === undefined ? '' : lengthSymbol(seen.image)}|${seen.text === undefined ? '' : lengthSymbol(seen.text)}`;
    const known = stages.get(key) ?? { ...seen, multiplyAdds: constDim(0), elements: constDim(0) };
    stages.set(key, {
      ...known,
      multiplyAdds: addDims(known.multiplyAdds, macs ?? constDim(0)),
      elements: macs === null && !views.has(node.op) ? addDims(known.elements, written) : known.elements,
    });
  };
  for (const node of u.model.graph.nodes) enter(node);
  return { stages: [...stages.values()], uncounted };
};
