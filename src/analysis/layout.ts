/**
 * How attention code lays out tokens and scores: which axis is the batch and which the heads. Read off the labels,
 * never off sizes that happen to agree; undefined where the batch cannot be proven. Says nothing of how values are
 * brought from one layout to another (passes/insertion/layout.ts).
 */
import { dimValue, productOf, type Dim } from './dim.ts';
import { axisDim, hasRows, isLabelled, isRows, tokensOf, type Axis, type Labels } from './labels.ts';

/** Tokens [B, L, D], or code that writes [L, B, D]. */
export interface StreamLayout {
  readonly tokens: 0 | 1;
}

/** Scores: [B, H, Lq, Lk]; heads first; or both on one axis, [B*H, Lq, Lk]. */
export interface ScoresLayout {
  readonly heads: Dim;
  readonly headsFirst: boolean;
  readonly folded: boolean;
}

/** Tokens on one of the first two axes of a value of rank 3, the batch on the other, features behind. */
export const streamLayout = (labels: Labels | undefined, singleRow: boolean): StreamLayout | undefined => {
  const [first, second, width] = labels ?? [];
  if (labels?.length !== 3 || first === undefined || second === undefined || width === undefined) return undefined;
  if (isLabelled(width) || hasRows(width)) return undefined;
  const isBatch = (axis: Axis): boolean => isRows(axis) || (singleRow && isOne(axis));
  if (tokensOf(second) !== undefined && isBatch(first)) return { tokens: 1 };
  if (tokensOf(first) !== undefined && isBatch(second)) return { tokens: 0 };
  return undefined;
};

/** `labels`: of queries, keys, scores or probabilities as the products have them; the last two axes are not looked at. */
export const scoresLayout = (labels: Labels | undefined, singleRow: boolean): ScoresLayout | undefined => {
  const lead = labels?.slice(0, -2) ?? [];
  const [first, second] = lead;
  if (first === undefined || lead.some(isLabelled)) return undefined;
  if (lead.length === 1) return foldedLayout(first, singleRow);
  if (lead.length !== 2 || second === undefined) return undefined;
  const headsFirst = isRows(second);
  const heads = headsFirst ? first : second;
  if (hasRows(heads) || !(headsFirst || isRows(first) || singleRow)) return undefined;
  if (headsFirst || isRows(first)) return { heads: axisDim(heads), headsFirst, folded: false };
  // One row of a batch that the file fixes: its axis is the one of size 1.
  if (isOne(first)) return { heads: axisDim(second), headsFirst: false, folded: false };
  return isOne(second) ? { heads: axisDim(first), headsFirst: true, folded: false } : undefined;
};

const foldedLayout = (axis: Axis, singleRow: boolean): ScoresLayout | undefined => {
  const at = axis.findIndex((f) => f.rows === true);
  const heads = productOf(axis.filter((f) => f.rows !== true).map((f) => f.dim));
  if (at < 0) return singleRow ? { heads, headsFirst: false, folded: true } : undefined;
  if (axis.filter((f) => f.rows === true).length > 1) return undefined;
  if (at === 0) return { heads, headsFirst: false, folded: true };
  return at === axis.length - 1 ? { heads, headsFirst: true, folded: true } : undefined;
};

const isOne = (axis: Axis): boolean => dimValue(axisDim(axis)) === 1;

/** [batch, heads, queries, keys], as nearly everybody writes it. */
export const isStandard = (layout: ScoresLayout): boolean => !layout.folded && !layout.headsFirst;
