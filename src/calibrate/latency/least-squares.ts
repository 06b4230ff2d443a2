/**
 * Least squares with coefficients that cannot be negative, for a dozen unknowns: the active-set method of Lawson and
 * Hanson (Solving Least Squares Problems, chapter 23) on the normal equations. Deterministic.
 */

/** Row-major, symmetric, positive definite. */
type Matrix = readonly (readonly number[])[];

/** x with A x = b by Cholesky factors. A must be positive definite. */
export const solvePositive = (a: Matrix, b: readonly number[]): number[] => {
  const n = b.length;
  const l = Float64Array.from(a.flat());
  const x = Float64Array.from(b);
  const at = (i: number, j: number): number => l[i * n + j] as number;
  for (let j = 0; j < n; j++)
    for (let i = j; i < n; i++) {
      let rest = at(i, j);
      for (let k = 0; k < j; k++) rest -= at(i, k) * at(j, k);
      // Rounding may leave a pivot of a nearly singular matrix at 0.
      l[i * n + j] = i === j ? Math.sqrt(Math.max(rest, 1e-300)) : rest / at(j, j);
    }
  for (let i = 0; i < n; i++) {
    let rest = x[i] as number;
    for (let k = 0; k < i; k++) rest -= at(i, k) * (x[k] as number);
    x[i] = rest / at(i, i);
  }
  for (let i = n - 1; i >= 0; i--) {
    let rest = x[i] as number;
    for (let k = i + 1; k < n; k++) rest -= at(k, i) * (x[k] as number);
    x[i] = rest / at(i, i);
  }
  return [...x];
};

/** The x >= 0 with the least x'Ax / 2 - b'x. */
export const solveNonNegative = (a: Matrix, b: readonly number[]): number[] => {
  const n = b.length;
  const x = b.map(() => 0);
  const isNegligible = 1e-12 * Math.max(...b.map(Math.abs), 1e-300);
  const solved = (set: readonly number[]): number[] =>
    solvePositive(
      set.map((i) => set.map((j) => a[i]?.[j] ?? 0)),
      set.map((i) => b[i] ?? 0),
    );
  // Few coefficients end at 0: begin with those that stay above it when all are free.
  let start = b.map((_, j) => j);
  for (let s = solved(start); start.length > 0; s = solved(start)) {
    const positive = start.filter((_, k) => (s[k] ?? 0) > 0);
    if (positive.length === start.length) {
      start.forEach((j, k) => (x[j] = s[k] ?? 0));
      break;
    }
    start = positive;
  }
  const free = new Set(start);
  // Each round lowers the objective, so no set of free coefficients comes twice; the limit is against rounding only.
  for (let round = 0; round < 10 * n + 10; round++) {
    let best: number | undefined;
    let steepest = isNegligible;
    for (let j = 0; j < n; j++) {
      if (free.has(j)) continue;
      const slope = (b[j] ?? 0) - (a[j] ?? []).reduce((sum, v, k) => sum + v * (x[k] ?? 0), 0);
      if (slope > steepest) [best, steepest] = [j, slope];
    }
    if (best === undefined) return x;
    free.add(best);
    for (;;) {
      const set = [...free].sort((i, j) => i - j);
      const s = solved(set);
      const blocking = set.filter((_, k) => (s[k] ?? 0) <= 0);
      if (blocking.length === 0) {
        set.forEach((j, k) => (x[j] = s[k] ?? 0));
        break;
      }
      // As far towards s as all stay above 0; what reaches 0 is held there.
      const step = Math.min(
        ...set.map((j, k) => {
          const [from, to] = [x[j] ?? 0, s[k] ?? 0];
          return to <= 0 ? from / (from - to || 1) : 1;
        }),
      );
      set.forEach((j, k) => (x[j] = (x[j] ?? 0) + step * ((s[k] ?? 0) - (x[j] ?? 0))));
      for (const j of set)
        if ((x[j] ?? 0) <= 1e-15 && blocking.includes(j)) {
          x[j] = 0;
          free.delete(j);
        }
      if (free.size === 0) break;
    }
  }
  return x;
};

/** One thing known: the coefficients times `terms` give `value`, give or take `deviation`. */
export interface Observation {
  readonly terms: readonly number[];
  readonly value: number;
  readonly deviation: number;
}

/** The coefficients >= 0 that agree best with all observations; together these must determine every one of them. */
export const fitNonNegative = (observations: readonly Observation[], count: number): number[] => {
  const a = Array.from({ length: count }, () => new Float64Array(count));
  const b = new Float64Array(count);
  for (const { terms, value, deviation } of observations) {
    const weight = 1 / deviation ** 2;
    for (let i = 0; i < count; i++) {
      const own = weight * (terms[i] as number);
      if (own === 0) continue;
      (b[i] as number) += own * value;
      const row = a[i] as Float64Array;
      for (let j = 0; j < count; j++) (row[j] as number) += own * (terms[j] as number);
    }
  }
  return solveNonNegative(
    a.map((row) => [...row]),
    [...b],
  );
};
