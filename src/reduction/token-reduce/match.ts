/**
 * Second part of the reducer's body: bipartite matching of the candidates by their metric (head-mean keys). Decides
 * who is merged into whom and who is left, in output order. Indices only. Always in float32, whatever the model's type:
 * 16-bit similarities flip matches.
 */
import type { Emitter } from '../../graph/emit.ts';
import type { ValueName } from '../../graph/model.ts';
import { intAttr } from '../../graph/tensors.ts';
import type { TokenReduceInputs } from './contract.ts';
import { withoutNaN } from './select.ts';

/** All are positions in the lane that came in. */
export interface Matching {
  /** [B, merge] tokens merged away, best match first. */
  readonly sources: ValueName;
  /** [B, merge] the token each of them goes into. */
  readonly destinations: ValueName;
  /** [B, keep - merge] the tokens that stay, in output order. */
  readonly survivors: ValueName;
}

/** Similarities lie in [-2, 2], so these ranks come out in order: PAD destinations below NaN, NaN below any number. */
const NAN_SIMILARITY = -8;
const PAD_PENALTY = -16;

/** Rows of `metric` [B, n, d] divided by their length; a zero row stays zero. */
const emitUnit = (e: Emitter, metric: ValueName): ValueName =>
  e.op('Div', [metric, e.op('Max', [e.reduce('ReduceL2', metric, [2], true), e.float(1e-12)])]);

interface Similarities {
  /** [B, sources, destinations]: cosines up to a term that is the same for all destinations of a source. */
  readonly relative: ValueName;
  /** [B, sources]: that term. */
  readonly base: ValueName;
}

/**
 * Cosines a.b of unit rows as a.(b - c) + a.c, c the lane's first token. Keys of one layer are often nearly parallel
 * (cosines 0.9999 and up); near 1 a float32 holds too few digits to tell destinations apart, near 0 it does. The
 * destination is chosen by the first term alone.
 */
const emitSimilarities = (e: Emitter, unit: ValueName, even: ValueName, odd: ValueName): Similarities => {
  const centre = withoutNaN(e, e.slice(unit, 1, 0, 1), 0);
  const sources = e.gatherRows(unit, even);
  const offsets = e.transpose(e.op('Sub', [e.gatherRows(unit, odd), centre]), [0, 2, 1]);
  const base = e.squeeze(e.op('MatMul', [sources, e.transpose(centre, [0, 2, 1])]), [2]);
  return { relative: e.op('MatMul', [sources, offsets]), base: withoutNaN(e, base, 0) };
};

/** Which of the tokens `index` [B, k] are real, not PAD: their size is above 0. */
const emitIsReal = (e: Emitter, weight: ValueName, index: ValueName): ValueName =>
  e.op('Greater', [e.gatherElements(weight, index), e.float(0)]);

/**
 * The survivors in original order: the `kept` positions that are protected or in `matched` [B, u], ascending. By one
 * TopK over n - position, 0 for all others.
 */
const emitInOriginalOrder = (
  e: Emitter,
  weight: ValueName,
  matched: ValueName,
  isProtected: ValueName,
  kept: ValueName,
): ValueName => {
  const n = e.length(weight, 1);
  const descending = e.op('Range', [e.squeeze(n, [0]), e.int64(0), e.int64(-1)]);
  const always = e.op('Expand', [e.op('Where', [isProtected, descending, e.int64(0)]), e.op('Shape', [weight])]);
  const key = e.op('ScatterElements', [always, matched, e.op('Sub', [n, matched])], { axis: intAttr(1) });
  return e.topK(key, kept, true).indices;
};

/** `pumer` rule 6: where a run finds nothing to remove, the lane stays in the order it came. */
const emitUnlessIdle = (e: Emitter, inputs: TokenReduceInputs, kept: ValueName, survivors: ValueName): ValueName => {
  const isWhole = e.op('Equal', [kept, e.length(inputs.weight, 1)]);
  return e.op('Where', [isWhole, e.topK(survivors, kept, false).values, survivors]);
};

/**
 * Matches `candidates` [B, k] (positions, in matching order): even ones are sources, odd ones destinations; each
 * source's best destination is the one with the largest cosine; the `merge` sources with the best one merge. All ties
 * go to the lower index. `kept` is keep - merge, int64[1]. `isProtected`, bool [n], comes with `safe`.
 */
export const emitMatching = (
  e: Emitter,
  inputs: TokenReduceInputs,
  candidates: ValueName,
  kept: ValueName,
  isProtected?: ValueName,
): Matching => {
  const even = e.slice(candidates, 1, 0, undefined, 2);
  const odd = e.slice(candidates, 1, 1, undefined, 2);

  const unit = emitUnit(e, inputs.metric);
  const { relative, base } = emitSimilarities(e, unit, even, odd);
  let similarity = withoutNaN(e, relative, NAN_SIMILARITY);
  if (isProtected !== undefined) {
    // Safe rule 2: a PAD is a destination for a real source only if the row has no real one.
    const penalty = e.op('Where', [emitIsReal(e, inputs.weight, odd), e.float(0), e.float(PAD_PENALTY)]);
    similarity = e.op('Add', [similarity, e.unsqueeze(penalty, [1])]);
  }
  // A last column that is never the best: a single candidate has no destination, and ArgMax no empty axis.
  const columns = e.op('Pad', [similarity, e.int64s([0, 0, 0, 0, 0, 1]), e.float(-Infinity)]);
  const best = e.op('ArgMax', [columns], { axis: intAttr(2), keepdims: intAttr(0) });
  const score = e.op('Add', [e.reduce('ReduceMax', columns, [2], false), base]);

  // Who merges first. `pumer` rule 3: position 0 never does. Safe rule 2: PAD sources leave first, in their order.
  const rank =
    isProtected === undefined
      ? e.op('Pad', [e.slice(score, 1, 1), e.int64s([0, 1, 0, 0]), e.float(-Infinity)])
      : e.op('Where', [emitIsReal(e, inputs.weight, even), score, e.float(Infinity)]);
  const evens = e.length(even, 1);
  // One full stable sort serves both the sources and the rest: two could break a tie differently.
  const order = e.topK(rank, evens, true).indices;
  const leaving = e.slice(order, 1, 0, inputs.merge);
  const staying = e.slice(order, 1, inputs.merge);

  const survivors =
    isProtected === undefined
      ? // Remaining sources in position order (never none: position 0 stays), then all destinations.
        emitUnlessIdle(
          e,
          inputs,
          kept,
          e.concat([e.gatherElements(even, e.topK(staying, e.op('Sub', [evens, inputs.merge]), false).values), odd], 1),
        )
      : emitInOriginalOrder(e, inputs.weight, e.concat([e.gatherElements(even, staying), odd], 1), isProtected, kept);
  return {
    sources: e.gatherElements(even, leaving),
    destinations: e.gatherElements(odd, e.gatherElements(best, leaving)),
    survivors,
  };
};
