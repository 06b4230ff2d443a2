/**
 * From flags (or a given plan) to a plan: default layers and ratios as semantics.md gives them.
 */
import { dimValue, sameDim } from '../analysis/dim.ts';
import { valuesAfter } from '../analysis/dependencies.ts';
import { isLabelled, tokensOf } from '../analysis/labels.ts';
import { kindOf } from '../analysis/layers.ts';
import { shapesOf } from '../analysis/shapes.ts';
import { isFault } from '../analysis/sites.ts';
import type { Understanding } from '../analysis/understanding.ts';
import type { Report } from '../diagnostics/diagnostic.ts';
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages.ts';
import { keepToRatios } from './counts.ts';
import type { ReductionPlan, Semantics } from './plan.ts';

export interface RatioChoices {
  readonly semantics: Semantics;
  /** Share of image tokens kept at each site; ignored where `prune` and `merge` are given. */
  readonly keep?: number;
  readonly prune?: number;
  readonly merge?: number;
  readonly mergeText?: number;
  readonly layers?: readonly number[];
  /** Decides everything above. */
  readonly plan?: ReductionPlan;
}

const defaultKeep = 0.7;
const defaultMergeText: Readonly<Record<Semantics, number>> = { safe: 0, pumer: 0.2 };

/** From so many layers on `safe` may leave the first one alone (docs/accuracy.md, Sites). */
const MANY_LAYERS = 5;

/** Layers floor(L/6), floor(5L/12), floor(2L/3), none before `first`: 2, 5, 8 of 12; duplicates dropped. */
export const spreadLayers = (depth: number, first: number): readonly number[] => {
  const layers = [depth / 6, (5 * depth) / 12, (2 * depth) / 3];
  return [...new Set(layers.map((layer) => Math.max(Math.floor(layer), first)))];
};

/** Whether image tokens have attended to each other in front of layer 0, as behind an image encoder. */
const isImageEncoded = ({ model, layers: [layer], attentions }: Understanding): boolean => {
  if (layer === undefined) return false;
  const encoding = attentions.filter((attention) => kindOf(attention) === 'image');
  const encoded = valuesAfter(model, new Set(encoding.flatMap(({ apply }) => apply.outputs)));
  const first = [...layer.joint, ...layer.textToImage, ...layer.imageToText];
  return first.some(({ apply }) => apply.inputs.some((value) => encoded.has(value)));
};

/** Where sites lie if nobody says so. In `safe` not where image tokens meet anything for the first time. */
export const defaultLayers = (u: Understanding, semantics: Semantics): readonly number[] => {
  const depth = u.layers.length;
  const sparesFirst = semantics === 'safe' && depth >= MANY_LAYERS && !isImageEncoded(u);
  return spreadLayers(depth, sparesFirst ? 1 : 0);
};

/** An output another file may attend to: image tokens at the width of the token stream. */
const hiddenOutput = (u: Understanding): string | undefined => {
  const stream = u.sites.flat().find((s) => !isFault(s));
  if (stream === undefined || isFault(stream)) return undefined;
  const width = shapesOf(u.model).of(stream.image.stream.value)?.dims?.[2];
  return u.model.graph.outputs.find(({ name }) => {
    const labels = u.lanes.of(name);
    const own = shapesOf(u.model).of(name)?.dims?.[2];
    const image = labels?.find(isLabelled);
    const carries = tokensOf(image)?.some((t) => t.lane === 'image') ?? false;
    return (
      carries &&
      labels?.length === 3 &&
      own !== undefined &&
      width !== undefined &&
      dimValue(own) !== undefined &&
      sameDim(own, width)
    );
  })?.name;
};

const ratios = (choices: RatioChoices, u: Understanding, report: Report): { prune: number; merge: number } => {
  if (choices.prune !== undefined && choices.merge !== undefined) return { prune: choices.prune, merge: choices.merge };
  const chosen = keepToRatios(choices.keep ?? defaultKeep, choices.semantics);
  const hidden = choices.keep === undefined && choices.semantics === 'safe' ? hiddenOutput(u) : undefined;
  if (hidden === undefined) return chosen;
  report.diagnostics.push(say.mergeOnlyForOutput(hidden));
  return { prune: 0, merge: Math.round((1 - defaultKeep) * 1e9) / 1e9 };
};

/** The plan to follow, and whether the user asked for text merging rather than getting it by default. */
export const choosePlan = (
  choices: RatioChoices,
  u: Understanding,
  report: Report,
): { plan: ReductionPlan; textExplicit: boolean } => {
  if (choices.plan !== undefined) return { plan: choices.plan, textExplicit: true };
  const known = u.layers.map((l) => l.layer);
  const layers = [...new Set(choices.layers ?? defaultLayers(u, choices.semantics))].sort((a, b) => a - b);
  for (const layer of layers) if (!known.includes(layer)) throw new CompileError(say.layerOutOfRange(layer, known));
  const { prune, merge } = ratios(choices, u, report);
  const mergeText = choices.mergeText ?? defaultMergeText[choices.semantics];
  const active = prune + merge + mergeText > 0 ? layers : [];
  return {
    plan: {
      schema_version: 1,
      semantics: choices.semantics,
      sites: active.map((layer) => ({ layer, prune, merge, mergeText })),
    },
    textExplicit: choices.mergeText !== undefined,
  };
};
