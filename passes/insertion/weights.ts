/**
 * The weight every token starts with, read off the model's own mask: `safe` sizes are 1 for real tokens and 0 for
 * PAD; `pumer` takes the text mask as it is and all ones for the image (semantics.md, pumer 5, safe 2).
 */
import type { Attention } from '../../src/analysis/attention.ts';
import { dimText, dimValue } from '../../src/analysis/dim.ts';
import type { Segment } from '../../src/analysis/labels.ts';
import { hidesNothing, type MaskFacts } from '../../src/analysis/mask-facts.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { batchSize, entryLayoutOf, layoutOf, maskApart } from './layout.ts';
import { cutSegment, lengthOf, maskOf, once, sizeValue, type Insertion } from './session.ts';

/** Batch size of an attention as an int64[1] value: of its keys, for queries may depend on what is being shortened. */
export const batchOf = (s: Insertion, attention: Attention): ValueName =>
  once(s, `batch:${attention.key}`, () => batchSize(s.emitter('lengths'), attention.key, layoutOf(attention)));

/** All ones [B, n], for as many rows as `attention` has. */
export const allOnes = (s: Insertion, attention: Attention, segment: Segment): ValueName =>
  once(s, `ones:${attention.key}:${segment.lane}${dimText(segment.length)}:${segment.version}`, () => {
    const e = s.emitter('weights');
    const shape = e.concat([batchOf(s, attention), sizeValue(e, lengthOf(s, segment))], 0);
    return e.op('Expand', [e.floats([1]), shape]);
  });

/**
 * What is added to the score of a key that counts, as the softmax sees it. Hidden keys get a number of -100 at most; an
 * input that should hold 0 and 1 and holds 0.9 gives something between, which hides as well.
 */
const shownAbove = -50;

/** float32 [B or 1, Lk]: 1 for keys the mask shows, 0 for hidden ones (multiplicative masks in `pumer`: as they are). */
const shownKeys = (s: Insertion, e: Emitter, attention: Attention, mask: MaskFacts): ValueName => {
  const value = attention.mask?.value ?? '';
  const dims = shapesOf(s.u.model).of(value)?.dims ?? [];
  const { row: laid, dims: sizes } = maskApart(e, value, dims, entryLayoutOf(attention));
  const rank = sizes.length;
  // Every head and query sees the same keys (mask facts): take the first of each, down to [batch, keys].
  let row = laid;
  for (let axis = Math.max(rank - 3, rank === 4 ? 1 : 0); axis < rank - 1; axis++) {
    const dim = sizes[axis];
    if (dim === undefined || dimValue(dim) !== 1) row = e.slice(row, axis, 0, 1);
  }
  if (rank === 4) row = e.squeeze(row, [1, 2]);
  else if (rank === 3) row = e.squeeze(row, [0]);
  else if (rank === 1) row = e.unsqueeze(row, [0]);
  if (mask.kind === 'where')
    return e.cast(attention.mask?.paddedWhen === true ? e.op('Not', [row]) : row, DataType.FLOAT);
  const number = e.cast(row, DataType.FLOAT);
  if (mask.kind === 'additive') {
    const { scale = 1, scaleBehind = 1 } = attention.mask ?? {};
    const scaled = scale * scaleBehind;
    const least = Math.abs(scaled - 1) < 1e-6 ? shownAbove : shownAbove / scaled;
    return e.cast(e.op('Greater', [number, e.float(least)]), DataType.FLOAT);
  }
  return s.plan.semantics === 'pumer' ? number : e.cast(e.op('Greater', [number, e.float(0)]), DataType.FLOAT);
};

export interface WeightChoices {
  /** Whose batch it is, where not the attention's own. */
  readonly rows?: Attention;
  /** The image's own mask in `pumer` too: a site that turns out to do nothing leaves it as it is. */
  readonly maskedImage?: boolean;
}

/** Weights [B, n] of one original lane among the keys of an attention. */
export const originalWeight = (
  s: Insertion,
  attention: Attention,
  tokens: readonly Segment[],
  index: number,
  { rows = attention, maskedImage = false }: WeightChoices = {},
): ValueName => {
  const segment = tokens[index] as Segment;
  const mask = maskOf(s, attention);
  if (mask.number === hidesNothing || (s.plan.semantics === 'pumer' && segment.lane === 'image' && !maskedImage))
    return allOnes(s, rows, segment);
  const layout = tokens.map((t) => `${t.lane}${dimText(t.length)}`).join();
  return once(s, `weight:${mask.number}:${layout}:${index}`, () => {
    const e = s.emitter('weights');
    const shown = once(s, `shown:${mask.number}`, () => shownKeys(s, e, attention, mask));
    // The mask still has its original layout: cut it by the original lengths.
    const original = attention.keyTokens;
    const cut = cutSegment(s, e, shown, 1, original, index);
    return e.op('Expand', [cut, e.concat([batchOf(s, rows), sizeValue(e, lengthOf(s, segment))], 0)]);
  });
};
