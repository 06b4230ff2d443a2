/**
 * What the compiler says about models and plans: one builder per code, sorted by code. No sentence a user reads is
 * written anywhere else (see the other messages files for files, the runtime and the command line).
 */
import { error, note, warning, type Diagnostic, type Place } from './diagnostic.ts';

const inspectHint = 'run `pumer-compile inspect` on the model to see its lanes and layers';

export const alreadyCompiled = (): Diagnostic =>
  error('already-compiled', 'this model already holds token reductions of pumer-compile', {
    fix: 'compile the original model; `pumer-compile inspect` shows the plan this one was made with',
  });

/** A fused operator that is not opened, in the form of a near miss. */
export const fusedStaysWhole = <N>({ node, why }: { readonly node: N; readonly why: string }) => ({
  spelling: 'fused',
  at: node,
  expected: 'a fused operator that standard ones can spell',
  found: `one that stays whole: ${why}`,
});

export const keyValueCache = (input: string, at: Place): Diagnostic =>
  error('kv-cache', `the model is a decoder with a key-value cache: "${input}" holds keys or values of earlier calls`, {
    at,
    fix: 'compile the encoder that joins text and image, where the model has one; lengths of caches cannot change',
  });

export const laneAmbiguous = (why: string): Diagnostic =>
  error('lane-ambiguous', `cannot tell where the text and image tokens come from: ${why}`, {
    fix: 'name the inputs with --text-input and --image-input, or lay out an embeddings input with --lanes NAME=image:577,text:*',
  });

export const layerNotReducible = (layer: number, why: string, at: Place): Diagnostic =>
  error('layer-not-reducible', `layer ${layer} cannot be shortened: ${why}`, {
    at,
    fix: `choose other layers with --layers; ${inspectHint}`,
  });

export const layerOutOfRange = (layer: number, layers: readonly number[]): Diagnostic =>
  error('layer-out-of-range', `there is no cross-modal layer ${layer}; the model has layers ${layers.join(', ')}`, {
    fix: `choose among them with --layers`,
  });

export const maskNotUnderstood = (why: string, at: Place): Diagnostic =>
  error('mask-not-understood', `an attention behind the reduction cannot be given a shorter mask: ${why}`, {
    at,
    fix: inspectHint,
  });

export const mergeOnlyForOutput = (output: string): Diagnostic =>
  note(
    'merge-only',
    `output "${output}" carries every token at hidden width, so the default ratios merge only and prune nothing`,
    {
      fix: 'give --prune and --merge to decide yourself',
    },
  );

export const noCrossModalLayer = (
  layers: number,
  notes: readonly string[],
  nearMisses: readonly string[],
  embeddings: readonly string[],
): Diagnostic =>
  error(
    'no-cross-modal-layer',
    `the model has ${layers} attention layer${layers === 1 ? '' : 's'}, none joins text and image tokens`,
    {
      notes: [...notes, ...nearMisses],
      fix:
        embeddings.length > 0
          ? `if "${embeddings[0]}" holds text and image tokens already embedded, say where: --lanes ${embeddings[0]}=image:577,text:*`
          : notes.length > 1
            ? 'a two-tower model has nothing to prune by text; see docs/models.md#two-towers'
            : `token reduction guided by text needs layers that see both modalities; ${inspectHint}`,
    },
  );

export const notUnderstood = (what: string, reason: string, at: Place): Diagnostic =>
  error('not-understood', `shortened tokens reach ${what}, which is not proven safe: ${reason}`, {
    at,
    fix: `choose later layers with --layers so that it runs on all tokens; ${inspectHint}`,
  });

export const nothingShortened = (): Diagnostic =>
  warning('nothing-shortened', 'no site removes a token with these ratios; the model is written without reductions');

export const opsetTooOld = (opset: number): Diagnostic =>
  error('opset-too-old', `the model uses opset ${opset}; token reduction needs opset 11 or newer`, {
    fix: 'export the model again with a newer opset, or convert it with onnx.version_converter',
  });

export const outputCarriesTokens = (output: string, lane: string): Diagnostic =>
  error('output-carries-tokens', `output "${output}" carries the shortened ${lane} tokens`, {
    fix: 'use --outputs restore to give it its full length back',
  });

export const outputCountsTokens = (output: string): Diagnostic =>
  error('output-counts-tokens', `output "${output}" depends on the number of tokens, which is another one now`, {
    fix: inspectHint,
  });

export const outputNotRestorable = (output: string, why: string): Diagnostic =>
  error('output-not-restorable', `output "${output}" carries shortened tokens and cannot be restored: ${why}`, {
    fix: inspectHint,
  });

export const paddingIsCounted = (node: string, count: number): Diagnostic =>
  note(
    'padding-counted',
    `the mask of "${node}"${count > 1 ? ` and ${count - 1} more` : ''} counts tokens from the first one on, image included: it is right only for text without padding, in this model as in the compiled one`,
    {
      fix: 'give text without padding, or fuse the model again with a raw attention mask (`use_raw_attention_mask`)',
    },
  );

export const readNotAllowed = (lane: string, reason: string, at: Place): Diagnostic =>
  error('read-by-position', `${lane} tokens are read by position behind the reduction: ${reason}`, {
    at,
    fix: `shorten only the other lane, or choose later layers; ${inspectHint}`,
  });

export const recomputeNotPossible = (layer: number, why: string): Diagnostic =>
  error('recompute-not-possible', `--saliency recompute does not work at layer ${layer}: ${why}`, {
    fix: 'use --saliency probs',
  });

export const siteShortensNothing = (layer: number, why: string): Diagnostic =>
  warning('site-shortens-nothing', `layer ${layer} shortens nothing: ${why}`);

export const textLaneFixed = (index: string, node: string): Diagnostic =>
  note(
    'text-lane-fixed',
    `the text tokens keep their length: node "${node}" reads them at positions computed from "${index}"`,
  );

export const textLaneNotReducible = (layer: number, why: string): Diagnostic =>
  note('text-not-merged', `text tokens are not merged at layer ${layer}: ${why}`);

export const textMergeRefused = (why: string): Diagnostic =>
  error('text-merge-refused', `text tokens cannot be merged: ${why}`, {
    fix: 'leave --merge-text out, or set it to 0',
  });
