/**
 * Brings values from the layout the model writes them in to the one TokenReduce and the masks are written in, and
 * back: tokens [B, n, D], scores [B, H, Lq, Lk]. Emits nothing where the model has that layout already.
 */
import type { Attention } from '../../src/analysis/attention.ts';
import { constDim, dimValue, type Dim } from '../../src/analysis/dim.ts';
import type { ScoresLayout, StreamLayout } from '../../src/analysis/layout.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import type { ValueName } from '../../src/graph/model.ts';

const turned = [1, 0, 2];

/** [B, n, D] from a stream's tokens. */
export const batchFirst = (e: Emitter, tokens: ValueName, layout: StreamLayout): ValueName =>
  layout.tokens === 1 ? tokens : e.transpose(tokens, turned);

/** A stream's tokens from [B, n, D]. */
export const fromBatchFirst = (e: Emitter, tokens: ValueName, layout: StreamLayout): ValueName =>
  layout.tokens === 1 ? tokens : e.transpose(tokens, turned);

const known = (layout: ScoresLayout | undefined, attention: Attention): ScoresLayout => {
  if (layout === undefined || dimValue(layout.heads) === undefined)
    throw new CompileError(
      say.maskNotUnderstood('which axis of its scores is the batch, and which the heads, is not proven', {
        node: attention.product.name,
      }),
    );
  return layout;
};

/** The layout of an attention's product; throws a CompileError where the batch is not proven. */
export const layoutOf = (attention: Attention): ScoresLayout => known(attention.layout, attention);

/** The layout of the scores its mask meets. */
export const entryLayoutOf = (attention: Attention): ScoresLayout => known(attention.entryLayout, attention);

/** The layout of the scores in front of the softmax. */
export const softmaxLayoutOf = (attention: Attention): ScoresLayout => known(attention.softmaxLayout, attention);

const headsOf = (layout: ScoresLayout): number => dimValue(layout.heads) ?? 1;

/** [B, H, x, y] from a value laid out as scores are. */
export const headsApart = (e: Emitter, value: ValueName, layout: ScoresLayout): ValueName => {
  if (!layout.folded) return layout.headsFirst ? e.transpose(value, [1, 0, 2, 3]) : value;
  const heads = headsOf(layout);
  const lead = e.int64s(layout.headsFirst ? [heads, -1] : [-1, heads]);
  const apart = e.op('Reshape', [value, e.concat([lead, e.slice(e.op('Shape', [value]), 0, 1)], 0)]);
  return layout.headsFirst ? e.transpose(apart, [1, 0, 2, 3]) : apart;
};

/** A mask with its axes where a mask of [B, H, Lq, Lk] scores has them; as it is where it has no axis for the batch. */
export const maskApart = (
  e: Emitter,
  mask: ValueName,
  dims: readonly Dim[],
  layout: ScoresLayout,
): { row: ValueName; dims: readonly (Dim | undefined)[] } => {
  const [first, second, ...last] = dims;
  if (layout.folded && dims.length === 3 && first !== undefined && dimValue(first) !== 1)
    return { row: headsApart(e, mask, layout), dims: [undefined, layout.heads, second, ...last] };
  if (layout.headsFirst && !layout.folded && dims.length === 4)
    return { row: headsApart(e, mask, layout), dims: [second, first, ...last] };
  if (layout.headsFirst && !layout.folded && dims.length === 3)
    return { row: e.unsqueeze(mask, [1]), dims: [first, constDim(1), second, ...last] };
  return { row: mask, dims };
};

/** Batch size, int64[1], of a value laid out as scores are. */
export const batchSize = (e: Emitter, value: ValueName, layout: ScoresLayout): ValueName => {
  if (!layout.folded) return e.length(value, layout.headsFirst ? 1 : 0);
  return e.op('Div', [e.length(value, 0), e.int64s([headsOf(layout)])]);
};

/** [B, Lk] as something that meets scores of this layout: one entry per row of the batch and key, for all heads alike. */
export const perKey = (e: Emitter, keys: ValueName, layout: ScoresLayout): ValueName => {
  if (!layout.folded) {
    const wide = e.unsqueeze(keys, [1, 2]);
    return layout.headsFirst ? e.transpose(wide, [1, 0, 2, 3]) : wide;
  }
  const heads = headsOf(layout);
  const [headsAxis, flat] = layout.headsFirst ? [0, [heads, 1, 1]] : [1, [1, heads, 1]];
  const spread = e.op('Expand', [e.unsqueeze(keys, [headsAxis]), e.int64s(flat)]);
  const keyCount = e.length(keys, 1);
  return e.op('Reshape', [spread, e.concat([e.int64s([-1, 1]), keyCount], 0)]);
};
