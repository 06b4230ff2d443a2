/**
 * The token reducer in plain loops over float64: semantics.md in code, for tests and for reading. Every decision here
 * is the decision; speed is no concern. Knows no ONNX.
 */
import type { Semantics } from './plan.ts';

type Row = readonly number[];
type Matrix = readonly Row[];

/** B rows of a batch. `attention` and `rowWeight` may have one row for all, attention one text row or one token for all. */
export interface ReduceInput {
  readonly semantics: Semantics;
  /** [B][n][D] */
  readonly tokens: readonly Matrix[];
  /** [B|1][H][R|1][n|1] after softmax, from text rows to these tokens. */
  readonly attention: readonly (readonly Matrix[])[];
  /** [B|1][R] weight of each text row. */
  readonly rowWeight: Matrix;
  /** [B][n][d] keys averaged over heads. */
  readonly metric: readonly Matrix[];
  /** [B][n] `pumer` the mask, `safe` the sizes. */
  readonly weight: Matrix;
  /** Negative ones count from the end. */
  readonly protectedPositions: readonly number[];
  readonly keep: number;
  readonly merge: number;
}

export interface ReducedRow {
  /** [keep - merge][D] */
  readonly tokens: number[][];
  /** [keep - merge] */
  readonly weight: number[];
  /** [n] place in the output of each token or of what it was merged into; -1: pruned. */
  readonly target: number[];
  /** [keep - merge] the token at each place of the output. */
  readonly survivors: number[];
  /** Tokens merged away, best match first. */
  readonly sources: number[];
  /** The smallest distance by which any decision was made; 0 where a tie was broken. Saliencies count relative to the largest. */
  readonly margin: number;
}

const sum = (values: Iterable<number>): number => {
  let total = 0;
  for (const v of values) total += v;
  return total;
};
const at = <T>(list: readonly T[], i: number): T => list[list.length === 1 ? 0 : i] as T;
const cell = (m: Matrix, i: number, c: number): number => (m[i] as Row)[c] as number;
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Negative where `a` goes first: the larger goes first, NaN last; 0 for a tie. */
const largerFirst = (a: number, b: number): number => {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
  return a > b ? -1 : a < b ? 1 : 0;
};

/** `items` by score, best first, ties to the lower item. */
const ranked = (items: readonly number[], score: (item: number) => number): number[] =>
  [...items].sort((a, b) => largerFirst(score(a), score(b)) || a - b);

/** Distance between two scores; NaN is infinitely far from any number and no distance from itself. */
const gap = (a: number, b: number): number => {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) && Number.isNaN(b) ? 0 : Infinity;
  return a === b ? 0 : Math.abs(a - b);
};

const saliencies = (input: ReduceInput, b: number, n: number): number[] => {
  const heads = at(input.attention, b);
  const rowWeight = at(input.rowWeight, b);
  const u = (r: number): number => (input.semantics === 'pumer' ? 1 : (rowWeight[r] as number));
  return range(n).map((v) => {
    const looks = sum(rowWeight.map((_, r) => u(r) * sum(heads.map((head) => at(at(head, r), v)))));
    return looks / heads.length / sum(rowWeight);
  });
};

const reduceRow = (input: ReduceInput, b: number): ReducedRow => {
  const { semantics, keep, merge } = input;
  const safe = semantics === 'safe';
  const tokens = at(input.tokens, b);
  const metric = at(input.metric, b);
  const weight = at(input.weight, b);
  const n = tokens.length;
  const width = tokens[0]?.length ?? 0;
  const isReal = (i: number): boolean => (weight[i] as number) > 0;
  let margin = Infinity;
  const decide = (distance: number): void => {
    margin = Math.min(margin, distance);
  };

  // Pruning: the keep best by saliency, in that order (pumer rule 2); in safe the keep - c best of the unprotected, in
  // original order (safe rule 3).
  const s = saliencies(input, b, n);
  const scale = Math.max(...s.filter(Number.isFinite).map(Math.abs), Number.MIN_VALUE);
  const saliency = (i: number): number => (s[i] as number) / scale;
  const listed = safe ? input.protectedPositions.map((p) => (p < 0 ? p + n : p)) : [];
  const setAside = range(n).filter((i) => listed.includes(i));
  const free = range(n).filter((i) => !setAside.includes(i));
  const byScore = ranked(free, saliency);
  const chosen = Math.max(keep - listed.length, 0);
  // pumer's order matters all the way down, safe's set only at its edge.
  for (let i = safe ? Math.max(chosen, 1) : 1; i < byScore.length && i <= chosen; i++)
    decide(gap(saliency(byScore[i - 1] as number), saliency(byScore[i] as number)));
  const candidates = byScore.slice(0, chosen);
  if (safe) candidates.sort((x, y) => x - y);

  // Matching: even candidates are sources, odd ones destinations.
  const even = candidates.filter((_, i) => i % 2 === 0);
  const odd = candidates.filter((_, i) => i % 2 === 1);
  const unit = metric.map((key) => {
    const norm = Math.max(Math.sqrt(sum(key.map((x) => x * x))), 1e-12);
    return Number.isNaN(norm) ? key.map(() => NaN) : key.map((x) => x / norm);
  });
  const similarity = (i: number, j: number): number => sum((unit[i] as Row).map((x, c) => x * cell(unit, j, c)));
  // Safe rule 2: a PAD is a destination only if the row has no real one.
  const open = safe && odd.some(isReal) ? odd.filter(isReal) : odd;
  const best = even.map((i) => {
    // Ranked by place among the destinations, which is not the order of the tokens themselves in pumer.
    const order = ranked(range(open.length), (j) => similarity(i, open[j] as number));
    const score = (place: number): number => similarity(i, open[order[place] as number] as number);
    if (order.length > 1) decide(gap(score(0), score(1)));
    return { destination: open[order[0] as number] as number, score: order.length > 0 ? score(0) : NaN };
  });
  // Who leaves: the best matched; position 0 never in pumer (rule 3), PAD first and in order in safe (rule 2).
  const rank = (place: number): number => {
    if (safe && !isReal(even[place] as number)) return Infinity;
    return (best[place] as { score: number }).score;
  };
  const leavers = ranked(range(even.length).slice(safe ? 0 : 1), rank);
  if (merge > 0 && merge < leavers.length)
    decide(gap(rank(leavers[merge - 1] as number), rank(leavers[merge] as number)));
  const places = leavers.slice(0, merge);
  const sources = places.map((place) => even[place] as number);
  const into = places.map((place) => (best[place] as { destination: number }).destination);

  // Output order: remaining sources, then destinations (pumer rule 3); original order (safe rule 3), also of a lane
  // that loses nothing (pumer rule 6).
  const remaining = even.filter((i) => !sources.includes(i));
  const survivors = [...remaining, ...odd, ...setAside];
  if (safe || survivors.length === n) survivors.sort((x, y) => x - y);

  const outTokens: number[][] = [];
  const outWeight: number[] = [];
  for (const i of survivors) {
    const group = sources.filter((_, k) => into[k] === i);
    const w = weight[i] as number;
    const added = sum(group.map((g) => weight[g] as number));
    const share = (g: number): number => (safe ? (weight[g] as number) : 1);
    const total = sum([i, ...group].map(share));
    // Safe rule 2: sources without size change nothing.
    const touched = safe ? added > 0 : group.length > 0;
    const mean = (c: number): number => sum([i, ...group].map((g) => share(g) * cell(tokens, g, c))) / total;
    outTokens.push(touched ? range(width).map(mean) : [...(tokens[i] as Row)]);
    outWeight.push(safe ? w + added : (w + added) / total);
  }
  const target = range(n).map((i) => {
    const k = sources.indexOf(i);
    return survivors.indexOf(k < 0 ? i : (into[k] as number));
  });
  return { tokens: outTokens, weight: outWeight, target, survivors, sources, margin };
};

/** Reduces each row of the batch by itself. Counts must respect the caps of counts.ts. */
export const reduceTokens = (input: ReduceInput): ReducedRow[] => input.tokens.map((_, b) => reduceRow(input, b));

/**
 * Another value [n][D] of the tokens of one row, after the reduction that gave `row`: `weight` [n] is what the lane had
 * when it was reduced. Means as for the tokens themselves (semantics.md, Values joined to shortened tokens).
 */
export const followReduction = (
  semantics: Semantics,
  { survivors, sources, target }: ReducedRow,
  weight: Row,
  values: Matrix,
): number[][] =>
  survivors.map((i, place) => {
    const group = sources.filter((g) => target[g] === place);
    const share = (g: number): number => (semantics === 'safe' ? (weight[g] as number) : 1);
    if (!group.some((g) => share(g) > 0)) return [...(values[i] as Row)];
    const total = sum([i, ...group].map(share));
    return (values[i] as Row).map((_, c) => sum([i, ...group].map((g) => share(g) * cell(values, g, c))) / total);
  });
