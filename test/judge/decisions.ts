/**
 * Which tokens go and which stay, written down once more from the specification: counts, saliency, matching, merging.
 * Shares no line with the compiler; a test holds it against the reducer's own reference. Plain float64 loops.
 */
export type Row = readonly number[];
export type Matrix = readonly Row[];
export type Semantics = 'safe' | 'pumer';

/** round(ratio n), half to even on the exact product; the ratio has at most three decimals. */
export const share = (n: number, ratio: number): number => {
  const doubled = 2 * Math.round(ratio * 1000) * n + 1000;
  const q = Math.floor(doubled / 2000);
  return doubled % 2000 === 0 && q % 2 === 1 ? q - 1 : q;
};

export interface Counts {
  readonly keep: number;
  readonly merge: number;
}

/** `spared`: tokens read by position. */
export const imageCounts = (semantics: Semantics, n: number, prune: number, merge: number, spared: number): Counts => {
  const pruned = share(n, prune);
  if (semantics === 'pumer') {
    if (pruned === 0) return { keep: n, merge: 0 };
    const keep = Math.max(n - pruned, 1);
    return { keep, merge: Math.min(share(n, merge), Math.floor((keep - 1) / 2)) };
  }
  const keep = Math.min(Math.max(n - pruned, spared + 1), n);
  return { keep, merge: Math.min(share(n, merge), Math.max(Math.floor((keep - spared) / 2), 0)) };
};

export const textCounts = (semantics: Semantics, n: number, merge: number, spared: number): Counts => {
  const exempt = semantics === 'pumer' ? 1 : spared;
  return { keep: n, merge: Math.min(share(n, merge), Math.max(Math.floor((n - exempt) / 2), 0)) };
};

export interface Lane {
  readonly tokens: Matrix;
  /** `pumer`: the mask; `safe`: the sizes. */
  readonly weight: Row;
}

export interface Shortened extends Lane {
  /** Where each token went, or what it was merged into; -1: pruned. */
  readonly target: readonly number[];
  /** The least difference that decided anything. */
  readonly margin: number;
}

/**
 * `saliency` undefined: nothing is pruned. `equal`: every saliency is the same by definition (no row scores), so ties
 * are no accident.
 */
export interface Question extends Lane {
  readonly semantics: Semantics;
  readonly metric: Matrix;
  readonly saliency?: Row;
  readonly equal?: boolean;
  readonly spared: readonly number[];
  readonly counts: Counts;
}

const unit = (key: Row): Row => {
  const length = Math.sqrt(key.reduce((s, x) => s + x * x, 0));
  return length === 0 ? key : key.map((x) => x / length);
};
const cosine = (a: Row, b: Row): number => a.reduce((s, x, i) => s + x * (b[i] as number), 0);

/** Indices by falling score; equal scores in order. */
const byScore = (scores: Row): number[] => scores.map((_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b);

export const shorten = (question: Question): Shortened => {
  const { semantics, tokens, weight, counts, spared } = question;
  const safe = semantics === 'safe';
  const n = tokens.length;
  let margin = Infinity;
  const decided = (a: number, b: number): void => {
    margin = Math.min(margin, a === b ? 0 : Math.abs(a - b));
  };

  const isSpared = (i: number): boolean => safe && spared.includes(i);
  let kept = tokens.map((_, i) => i).filter((i) => !isSpared(i));
  if (question.saliency !== undefined) {
    const s = question.saliency;
    const largest = Math.max(...s.map(Math.abs), Number.MIN_VALUE);
    const order = byScore(kept.map((i) => s[i] as number)).map((place) => kept[place] as number);
    const room = counts.keep - (n - kept.length);
    if (question.equal !== true)
      order.forEach((v, place) => {
        const next = order[place + 1];
        const matters = safe ? place === room - 1 : place < room;
        if (matters && next !== undefined) decided(s[v]! / largest, s[next]! / largest);
      });
    kept = order.slice(0, room);
    if (safe) kept.sort((a, b) => a - b);
  }

  const units = question.metric.map(unit);
  const sources = kept.filter((_, place) => place % 2 === 0);
  const destinations = kept.filter((_, place) => place % 2 === 1);
  const real = destinations.filter((i) => weight[i]! > 0);
  const open = safe && real.length > 0 ? real : destinations;
  const matches = sources.map((i, place) => {
    const scores = open.map((j) => cosine(units[i]!, units[j]!));
    const [first, second] = byScore(scores);
    if (first !== undefined && second !== undefined) decided(scores[first]!, scores[second]!);
    return { i, place, into: first === undefined ? -1 : open[first]!, score: first === undefined ? 0 : scores[first]! };
  });
  const padding = safe ? matches.filter(({ i }) => weight[i] === 0) : [];
  const rest = safe ? matches.filter(({ i }) => weight[i]! > 0) : matches.slice(1);
  const leaving = byScore(rest.map(({ score }) => score)).map((at) => rest[at]!);
  const queue = [...padding, ...leaving];
  const edge = counts.merge - padding.length;
  if (counts.merge > 0 && edge > 0 && edge < leaving.length) decided(leaving[edge - 1]!.score, leaving[edge]!.score);
  const gone = new Map(queue.slice(0, counts.merge).map(({ i, into }) => [i, into]));

  const staying = sources.filter((i) => !gone.has(i));
  const left = safe
    ? tokens.map((_, i) => i).filter((i) => isSpared(i) || staying.includes(i) || destinations.includes(i))
    : [...staying, ...destinations];
  const outTokens: Row[] = [];
  const outWeight: number[] = [];
  for (const j of left) {
    const group = [...gone].filter(([, into]) => into === j).map(([i]) => i);
    const parts = [j, ...group];
    const own = parts.map((i) => (safe ? weight[i]! : 1));
    const total = own.reduce((a, b) => a + b, 0);
    const sum = (of: (i: number) => number): number => parts.reduce((a, i, k) => a + own[k]! * of(i), 0);
    const mean = (of: (i: number) => number): number => (total === 0 ? of(j) : sum(of) / total);
    outTokens.push(tokens[j]!.map((_, c) => mean((i) => tokens[i]![c]!)));
    outWeight.push(safe ? total : mean((i) => weight[i]!));
  }
  const target = tokens.map((_, i) => left.indexOf(gone.get(i) ?? i));
  return { tokens: outTokens, weight: outWeight, target, margin };
};
