/**
 * How many tokens a site prunes and merges (semantics.md, Counts): exact decimal ratios, half to even on the exact
 * product. The same arithmetic twice: on numbers for static lengths, as int64 nodes for lengths (and, in a calibration
 * model, ratios) known only when the model runs. Decides nothing about which tokens.
 */
import type { Emitter } from '../graph/emit.ts';
import type { ValueName } from '../graph/model.ts';
import { intAttr } from '../graph/tensors.ts';
import { invariant } from '../support/assert.ts';
import type { Semantics } from './plan.ts';

/** num / den in lowest terms, den > 0, num >= 0. */
export interface Ratio {
  readonly num: bigint;
  readonly den: bigint;
}

/**
 * Decimal places a ratio may have. At the limit a graph's int64 arithmetic still holds lanes of 4,000 tokens, and ten
 * times that for each place less.
 */
const MAX_PLACES = 15;

/** Decimal places of a ratio that is given when the model runs: it comes as a whole number of 10^-4. */
export const RATIO_PLACES = 4;
const GIVEN_UNITS = 10n ** BigInt(RATIO_PLACES);

/** One, in units of the last decimal place a ratio may have. */
const UNIT = 10n ** BigInt(MAX_PLACES);

const gcd = (a: bigint, b: bigint): bigint => (b === 0n ? a : gcd(b, a % b));
const ratio = (num: bigint, den: bigint): Ratio => {
  const by = gcd(num, den);
  return { num: num / by, den: den / by };
};

/** A decimal as written ("0.3", ".075", "3e-1", 0.3) as an exact ratio; undefined where it is none, negative or has more than 15 places. */
export const readRatio = (text: string | number): Ratio | undefined => {
  const match = /^\+?(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,3}))?$/i.exec(String(text).trim());
  if (match === null) return undefined;
  const [, whole = '', fraction = '', exponent = '0'] = match;
  if (whole + fraction === '') return undefined;
  const places = fraction.length - Number(exponent);
  const digits = BigInt(whole + fraction);
  const exact = places > 0 ? ratio(digits, 10n ** BigInt(places)) : ratio(digits * 10n ** BigInt(-places), 1n);
  return UNIT % exact.den === 0n ? exact : undefined;
};

/** A ratio as a graph knows it: a decimal, or the int64[1] value that holds it in units of 10^-RATIO_PLACES. */
export type GraphRatio = string | number | { readonly given: ValueName };

/** What a model with given ratios is fed for one; undefined where it has too many places. */
export const ratioUnits = (text: string | number): bigint | undefined => {
  const read = readRatio(text);
  if (read === undefined || GIVEN_UNITS % read.den !== 0n) return undefined;
  return (read.num * GIVEN_UNITS) / read.den;
};

/** `readRatio` for ratios already checked. */
export const parseRatio = (text: string | number): Ratio => {
  const read = readRatio(text);
  invariant(read !== undefined, `"${text}" is no decimal ratio`);
  return read;
};

/**
 * `--keep`: the share of tokens kept at a site as its two ratios (semantics.md, Counts), keep in (0, 1].
 * pumer: prune = max((1-k)/4, 1-2k), the published 1:3 split as far as the merge cap allows;
 * safe: merge first, merge = min(1-k, 0.4, k).
 * Decimal arithmetic: each is the double nearest to the exact decimal, so it is written without binary noise.
 */
export const keepToRatios = (keep: string | number, semantics: Semantics): { prune: number; merge: number } => {
  const { num, den } = parseRatio(keep);
  invariant(num > 0n && num <= den, `--keep ${keep} is not in (0, 1]`);
  const k = (num * UNIT) / den;
  const removed = UNIT - k;
  const larger = (a: bigint, b: bigint): bigint => (a > b ? a : b);
  const smaller = (a: bigint, b: bigint): bigint => (a < b ? a : b);
  const merge =
    semantics === 'pumer'
      ? removed - larger(removed / 4n, removed - k)
      : smaller(smaller(removed, (4n * UNIT) / 10n), k);
  const share = (units: bigint): number => Number(units) / Number(UNIT);
  return { prune: share(removed - merge), merge: share(merge) };
};

/** round(ratio n), half to even on the exact product. */
export const roundShare = (n: number, { num, den }: Ratio): number => {
  const twice = 2n * num * BigInt(n) + den;
  const q = twice / (2n * den);
  return Number(twice % (2n * den) === 0n && q % 2n === 1n ? q - 1n : q);
};

export interface CountRule {
  readonly semantics: Semantics;
  /** Tokens of the lane that are set aside in `safe` (c); no matter in `pumer`. */
  readonly protectedCount: number;
}

/** Tokens left after pruning, tokens then merged away, tokens left in the end. */
export interface Counts {
  readonly keep: number;
  readonly merge: number;
  readonly after: number;
}

const counted = (keep: number, merge: number): Counts => ({ keep, merge, after: keep - merge });

/** Of how many kept tokens half at most may merge: all but position 0 in `pumer`, all but the protected in `safe`. */
const exempt = ({ semantics, protectedCount }: CountRule): number => (semantics === 'pumer' ? 1 : protectedCount);
const capOf = (keep: number, rule: CountRule): number => Math.max(Math.floor((keep - exempt(rule)) / 2), 0);

/** Whether the rule "with round(p n) = 0 the site does nothing at all, text included" (`pumer` rule 6) applies. */
export const siteIsIdle = (n: number, prune: string | number, semantics: Semantics): boolean =>
  semantics === 'pumer' && roundShare(n, parseRatio(prune)) === 0;

/** Counts of an image lane of n tokens, its CLS included. Never keeps more than n. */
export const imageCounts = (n: number, prune: string | number, merge: string | number, rule: CountRule): Counts => {
  if (siteIsIdle(n, prune, rule.semantics)) return counted(n, 0);
  const least = rule.semantics === 'pumer' ? 1 : rule.protectedCount + 1;
  const keep = Math.min(Math.max(n - roundShare(n, parseRatio(prune)), least), n);
  return counted(keep, Math.min(roundShare(n, parseRatio(merge)), capOf(keep, rule)));
};

/** Counts of a text lane of n tokens: nothing is pruned. `idle`: the site does nothing (`siteIsIdle` of its image lane). */
export const textCounts = (n: number, merge: string | number, rule: CountRule, idle = false): Counts =>
  counted(n, idle ? 0 : Math.min(roundShare(n, parseRatio(merge)), capOf(n, rule)));

/** Counts as int64[1] values. */
export interface CountValues {
  readonly keep: ValueName;
  readonly merge: ValueName;
}

const one = (e: Emitter, value: number | bigint): ValueName => e.int64s([Number(value)]);

/** The larger or smaller of two int64 values; integer Max and Min exist from opset 12 on. */
const pick = (e: Emitter, op: 'Max' | 'Min', a: ValueName, b: ValueName): ValueName => {
  if (e.opset >= 12) return e.op(op, [a, b]);
  const less = e.op('Less', [a, b]);
  return e.op('Where', op === 'Max' ? [less, b, a] : [less, a, b]);
};

/** A ratio read for the graph: its numerator a number, or a value. */
interface Share {
  readonly num: bigint | ValueName;
  readonly den: bigint;
}

const shareOf = (of: GraphRatio): Share =>
  typeof of === 'object' ? { num: of.given, den: GIVEN_UNITS } : parseRatio(of);

/** round(ratio n): q = (2 a n + b) div 2b, minus 1 where (2 a n + b) mod 2b = 0 and q is odd. */
const emitShare = (e: Emitter, n: ValueName, { num, den }: Share): ValueName => {
  if (num === 0n) return one(e, 0);
  const twiceNum = typeof num === 'bigint' ? one(e, 2n * num) : e.op('Mul', [num, one(e, 2)]);
  const twice = e.op('Add', [e.op('Mul', [n, twiceNum]), one(e, den)]);
  const q = e.op('Div', [twice, one(e, 2n * den)]);
  // b odd: 2 a n + b is odd and never a multiple of 2b, so there are no ties.
  if (den % 2n === 1n) return q;
  const mod = (x: ValueName, by: bigint): ValueName => e.op('Mod', [x, one(e, by)], { fmod: intAttr(0) });
  const isTie = e.op('Equal', [mod(twice, 2n * den), one(e, 0)]);
  return e.op('Sub', [q, e.op('Where', [isTie, mod(q, 2n), one(e, 0)])]);
};

const emitCap = (e: Emitter, keep: ValueName, rule: CountRule): ValueName => {
  const c = exempt(rule);
  const free = c === 0 ? keep : e.op('Sub', [keep, one(e, c)]);
  const half = e.op('Div', [free, one(e, 2)]);
  return c < 2 ? half : pick(e, 'Max', half, one(e, 0));
};

const emitUnlessIdle = (e: Emitter, prune: ValueName, merge: ValueName): ValueName =>
  e.op('Where', [e.op('Equal', [prune, one(e, 0)]), one(e, 0), merge]);

/** `imageCounts` in the graph for n, an int64[1] value; `prune` is round(p n), which decides whether the site is idle. */
export const emitImageCounts = (
  e: Emitter,
  n: ValueName,
  prune: GraphRatio,
  merge: GraphRatio,
  rule: CountRule,
): CountValues & { readonly prune: ValueName } => {
  const p = shareOf(prune);
  const m = shareOf(merge);
  const pruned = emitShare(e, n, p);
  if (p.num === 0n && (rule.semantics === 'pumer' || m.num === 0n)) return { keep: n, merge: pruned, prune: pruned };
  const least = rule.semantics === 'pumer' ? 1 : rule.protectedCount + 1;
  let keep = n;
  if (p.num !== 0n) {
    keep = pick(e, 'Max', e.op('Sub', [n, pruned]), one(e, least));
    if (least > 1) keep = pick(e, 'Min', keep, n);
  }
  if (m.num === 0n) return { keep, merge: one(e, 0), prune: pruned };
  const merged = pick(e, 'Min', emitShare(e, n, m), emitCap(e, keep, rule));
  return {
    keep,
    merge: rule.semantics === 'pumer' ? emitUnlessIdle(e, pruned, merged) : merged,
    prune: pruned,
  };
};

/**
 * `textCounts` in the graph for n, an int64[1] value. `imagePrune`: the image lane's round(p n), where that is only
 * known when the model runs; a site known to be idle is not to be written at all.
 */
export const emitTextCounts = (
  e: Emitter,
  n: ValueName,
  merge: GraphRatio,
  rule: CountRule,
  imagePrune?: ValueName,
): CountValues => {
  const t = shareOf(merge);
  if (t.num === 0n) return { keep: n, merge: one(e, 0) };
  const merged = pick(e, 'Min', emitShare(e, n, t), emitCap(e, n, rule));
  const idles = rule.semantics === 'pumer' && imagePrune !== undefined;
  return { keep: n, merge: idles ? emitUnlessIdle(e, imagePrune, merged) : merged };
};
