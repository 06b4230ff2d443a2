/**
 * The layers of a recipe as float64 loops over rows: products, norms, activations, attention. Rounds to float32 only
 * where a mask's minimum is so large that rounding is the meaning.
 */
import type { Matrix, Row } from './decisions.ts';
import type { Weights } from './numbers.ts';
import type { Recipe } from './recipe.ts';

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
export const plus = (a: Row, b: ArrayLike<number>): Row => a.map((v, i) => v + b[i]!);
const dot = (a: Row, b: Row): number => a.reduce((s, v, i) => s + v * b[i]!, 0);

/** By its series, and by its continued fraction where that is shorter. */
const erf = (x: number): number => {
  const a = Math.abs(x);
  let result: number;
  if (a < 3) {
    let term = a;
    result = a;
    for (let n = 1; n < 60; n++) {
      term *= (-a * a) / n;
      result += term / (2 * n + 1);
    }
    result *= 2 / Math.sqrt(Math.PI);
  } else {
    let fraction = 0;
    for (let k = 40; k > 0; k--) fraction = k / 2 / (a + fraction);
    result = 1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction);
  }
  return x < 0 ? -result : result;
};

const acts = {
  gelu: (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  quick: (x: number): number => x / (1 + Math.exp(-1.702 * x)),
  tanh: Math.tanh,
  relu: (x: number): number => Math.max(x, 0),
};

export interface Arithmetic {
  readonly linear: (row: Row, name: string, to: number) => Row;
  readonly norm: (row: Row, name: string) => Row;
  readonly act: (row: Row) => Row;
}

export const epsilon = 1e-5;

export const arithmeticOf = (recipe: Recipe, weights: Weights): Arithmetic => {
  const { spelling, norm } = recipe;
  const act = spelling.act.startsWith('gelu')
    ? acts.gelu
    : spelling.act === 'quick-gelu'
      ? acts.quick
      : spelling.act === 'tanh'
        ? acts.tanh
        : acts.relu;
  return {
    linear: (row, name, to) => {
      const w = weights(name, [row.length, to]);
      const bias = spelling.linear === 'no-bias' ? undefined : weights(`${name}.bias`, [to]);
      const sums = range(to).map((j) => bias?.[j] ?? 0);
      for (let i = 0; i < row.length; i++) for (let j = 0; j < to; j++) sums[j]! += row[i]! * w[i * to + j]!;
      return sums;
    },
    norm: (row, name) => {
      const gamma = weights(`${name}.gamma`, [row.length]);
      const beta = norm.kind === 'layer' ? weights(`${name}.beta`, [row.length]) : undefined;
      const mean = norm.kind === 'layer' ? row.reduce((a, v) => a + v, 0) / row.length : 0;
      const power = row.reduce((a, v) => a + (v - mean) ** 2, 0) / row.length;
      return row.map((v, i) => ((v - mean) / Math.sqrt(power + epsilon)) * gamma[i]! + (beta?.[i] ?? 0));
    },
    act: (row) => row.map(act),
  };
};

/** Softmax of scores plus a bias per key. Where every key is hidden by -Infinity, `guarded` rows are zero. */
const softmax = (scores: Row, guarded: boolean): Row => {
  const max = Math.max(...scores);
  if (max === -Infinity) return scores.map(() => (guarded ? 0 : Number.NaN));
  const e = scores.map((s) => Math.exp(s - max));
  const total = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / total);
};

export interface Attended {
  /** [queries][heads * headWidth] */
  readonly context: Matrix;
  /** [heads][queries][keys] */
  readonly probs: readonly Matrix[];
  /** [keys][headWidth], averaged over heads. */
  readonly metric: Matrix;
}

/** `bias`: what is added for each key; `fills`: where it is set, it takes the place of the score. */
export const attention = (
  recipe: Recipe,
  a: Arithmetic,
  name: string,
  queries: Matrix,
  keys: Matrix,
  bias: Row,
  fills: boolean,
): Attended => {
  const { heads, headWidth: d } = recipe;
  const size = heads * d;
  const [q, k, v] = [
    queries.map((row) => a.linear(row, `${name}.query`, size)),
    keys.map((row) => a.linear(row, `${name}.key`, size)),
    keys.map((row) => a.linear(row, `${name}.value`, size)),
  ];
  const part = (row: Row, h: number): Row => row.slice(h * d, (h + 1) * d);
  const scale = recipe.spelling.scale === 'none' ? 1 : 1 / Math.sqrt(d);
  const weighed = (score: number, j: number): number => {
    const b = bias[j]!;
    if (fills && b < -100) return b;
    return b < -1e6 ? Math.fround(Math.fround(score) + b) : score + b;
  };
  const probs = range(heads).map((h) =>
    q.map((row) =>
      softmax(
        k.map((key, j) => weighed(scale * dot(part(row, h), part(key, h)), j)),
        recipe.mask.form === 'guarded',
      ),
    ),
  );
  const context = q.map((_, i) =>
    range(heads).flatMap((h) =>
      range(d).map((c) => v.reduce((s, row, j) => s + probs[h]![i]![j]! * row[h * d + c]!, 0)),
    ),
  );
  const metric = k.map((row) => range(d).map((c) => range(heads).reduce((s, h) => s + row[h * d + c]!, 0) / heads));
  return { context, probs, metric };
};
