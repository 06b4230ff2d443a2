/**
 * The library's options, checked and filled with defaults. The command line parses its flags into these.
 */
import type { CompileChoices } from './compile.ts';
import { constDim } from './analysis/dim.ts';
import type { HintedSegment } from './analysis/lane-births.ts';
import type { ReductionPlan, Semantics } from './reduction/plan.ts';
import { toolVersion } from './version.ts';

export interface CompileOptions {
  /** Share of image tokens kept at each site, 0 < keep <= 1. Default 0.7. */
  readonly keep?: number;
  /** Share of image tokens pruned and merged at each site; both or neither, instead of `keep`. */
  readonly prune?: number;
  readonly merge?: number;
  /** Share of text tokens merged at each site. Default 0 (safe), 0.2 (pumer). */
  readonly mergeText?: number;
  /** Layers that become sites. */
  readonly layers?: readonly number[];
  readonly semantics?: Semantics;
  /** A whole plan, instead of ratios and layers. */
  readonly plan?: ReductionPlan;
  readonly ops?: 'function' | 'inline';
  readonly saliency?: 'probs' | 'recompute';
  readonly outputs?: 'restore' | 'refuse';
  readonly textInput?: string;
  readonly imageInput?: string;
  /** Inputs that are embeddings already: tokens along axis 1, `length` undefined for what is left. */
  readonly lanes?: ReadonlyMap<
    string,
    readonly { readonly lane: 'text' | 'image' | 'other'; readonly length?: number }[]
  >;
  readonly externalData?: 'keep' | 'inline' | { readonly file: string };
}

export interface ResolvedOptions extends CompileChoices {
  readonly externalData: 'keep' | 'inline' | { readonly file: string };
}

/** An option out of its range; the command line exits with 2. */
export class OptionError extends Error {
  override readonly name = 'OptionError';
}

const inRange = (name: string, value: number | undefined, ok: (v: number) => boolean, range: string): void => {
  if (value !== undefined && !(Number.isFinite(value) && ok(value)))
    throw new OptionError(`${name} must be ${range}, found ${value}`);
};

const embeddingsOf = (lanes: NonNullable<CompileOptions['lanes']>): ReadonlyMap<string, readonly HintedSegment[]> =>
  new Map(
    [...lanes].map(([input, segments]) => [
      input,
      segments.map(({ lane, length }): HintedSegment => ({
        lane,
        ...(length !== undefined && { length: constDim(length) }),
      })),
    ]),
  );

export const resolveOptions = (options: CompileOptions): ResolvedOptions => {
  inRange('keep', options.keep, (v) => v > 0 && v <= 1, 'above 0 and at most 1');
  for (const name of ['prune', 'merge', 'mergeText'] as const)
    inRange(name, options[name], (v) => v >= 0 && v < 1, 'from 0 up to, not including, 1');
  if ((options.prune === undefined) !== (options.merge === undefined))
    throw new OptionError('prune and merge must be given together');
  if (options.prune !== undefined && options.keep !== undefined)
    throw new OptionError('keep cannot be given together with prune and merge');
  const ratios = [options.keep, options.prune, options.mergeText, options.layers].some((v) => v !== undefined);
  if (options.plan !== undefined && ratios)
    throw new OptionError('a plan cannot be given together with ratios or layers');
  for (const layer of options.layers ?? [])
    inRange('layers', layer, (v) => Number.isInteger(v) && v >= 0, 'layer numbers');
  return {
    semantics: options.plan?.semantics ?? options.semantics ?? 'safe',
    ...(options.keep !== undefined && { keep: options.keep }),
    ...(options.prune !== undefined && { prune: options.prune }),
    ...(options.merge !== undefined && { merge: options.merge }),
    ...(options.mergeText !== undefined && { mergeText: options.mergeText }),
    ...(options.layers !== undefined && { layers: options.layers }),
    ...(options.plan !== undefined && { plan: options.plan }),
    ops: options.ops ?? 'function',
    saliency: options.saliency ?? 'probs',
    outputs: options.outputs ?? 'restore',
    hints: {
      ...(options.textInput !== undefined && { textInput: options.textInput }),
      ...(options.imageInput !== undefined && { imageInput: options.imageInput }),
      ...(options.lanes !== undefined && { embeddings: embeddingsOf(options.lanes) }),
    },
    toolVersion,
    externalData: options.externalData ?? 'keep',
  };
};
