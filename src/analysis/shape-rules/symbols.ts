/**
 * The symbols of one shape inference: sizes declared by the model, sizes nobody can know before a run, and opaque
 * expressions (`floor(height;32)`, `max(1;sequence)`) for arithmetic that leaves the polynomials. Equal expressions
 * get equal symbols, each knows how to compute itself and between which bounds it lies.
 */
import { addDims, constDim, dimText, dimValue, evaluateDim, sameDim, subDims, symbolDim, type Dim } from '../dim.ts';
import { divideExactly } from './division.ts';

export interface Bounds {
  readonly lo: number;
  readonly hi: number;
}

interface Definition {
  readonly key: string;
  readonly bounds: Bounds;
  /** False for quotients of floats that need not be integers. */
  readonly whole: boolean;
  /** 1 declared, 2 computed, 3 known to nobody. */
  readonly vagueness: 1 | 2 | 3;
  readonly operands?: readonly Dim[];
  readonly compute?: (...operands: number[]) => number;
}

export interface Symbols {
  /** The size a model calls `name`. Taken to be at least 1: models are not run on empty batches or texts. */
  readonly declared: (name: string) => Dim;
  /** A size (at least 0) that depends on the data. The same name gives the same symbol. */
  readonly unknown: (name: string) => Dim;
  /** A computed size (at least 1) under a name of its own, so that what is computed from it stays short. */
  readonly renamed: (name: string, dim: Dim) => Dim;
  /** Any other function of integers. `bounds` as far as they are known. */
  readonly expression: (
    op: string,
    operands: readonly Dim[],
    compute: (...v: number[]) => number,
    bounds?: Bounds,
  ) => Dim;
  readonly floorDiv: (a: Dim, b: Dim) => Dim;
  readonly ceilDiv: (a: Dim, b: Dim) => Dim;
  /** Towards zero, as ONNX Runtime divides integers. */
  readonly truncDiv: (a: Dim, b: Dim) => Dim;
  /** The quotient of two floats. */
  readonly ratio: (a: Dim, b: Dim) => Dim;
  readonly round: (how: 'floor' | 'ceil' | 'trunc', a: Dim) => Dim;
  readonly max: (a: Dim, b: Dim) => Dim;
  readonly min: (a: Dim, b: Dim) => Dim;
  readonly boundsOf: (dim: Dim) => Bounds;
  /** True where the dim is an integer whatever its symbols are. */
  readonly isWhole: (dim: Dim) => boolean;
  /** 0 a number, 1 declared sizes, 2 expressions of them, 3 depends on data. */
  readonly vagueness: (dim: Dim) => number;
  readonly resolve: (dim: Dim, values: ReadonlyMap<string, number>) => number | undefined;
}

const times = (a: number, b: number): number => (a === 0 || b === 0 ? 0 : a * b);
const product = (a: Bounds, b: Bounds): Bounds => {
  const corners = [times(a.lo, b.lo), times(a.lo, b.hi), times(a.hi, b.lo), times(a.hi, b.hi)];
  return { lo: Math.min(...corners), hi: Math.max(...corners) };
};
const roundings = {
  floor: (v: number) => Math.floor(v),
  ceil: (v: number) => Math.ceil(v),
  trunc: (v: number) => Math.trunc(v),
};
const anything: Bounds = { lo: -Infinity, hi: Infinity };
const symbolsIn = (dim: Dim): readonly string[] => [...dim.terms.keys()].flatMap((m) => (m === '' ? [] : m.split('*')));

/** Symbols hold no '*' (dim.ts), and none of the signs by which expressions are told from names. */
const cleaned = (name: string): string =>
  name.replaceAll('*', '×').replaceAll('+', '＋').replaceAll('(', '[').replaceAll(')', ']').replaceAll(';', ',');

/** The part of a that b (a positive number) divides, term by term, and the rest with coefficients in [0, b). */
const splitBy = (a: Dim, b: number): { whole: Dim; rest: Dim } => {
  const whole = new Map<string, number>();
  const rest = new Map<string, number>();
  for (const [m, c] of a.terms) {
    const quotient = Math.floor(c / b);
    if (quotient !== 0) whole.set(m, quotient);
    if (c !== quotient * b) rest.set(m, c - quotient * b);
  }
  return { whole: { terms: whole }, rest: { terms: rest } };
};

export const makeSymbols = (): Symbols => {
  const definitions = new Map<string, Definition>();
  /** Names as the file has them, for those that had to be changed. */
  const spelled = new Map<string, string>();

  const define = (text: string, definition: Definition): Dim => {
    let symbol = text;
    for (let known = definitions.get(symbol); known !== undefined; known = definitions.get(symbol)) {
      if (known.key === definition.key) return symbolDim(symbol);
      symbol += "'";
    }
    definitions.set(symbol, definition);
    return symbolDim(symbol);
  };

  const boundsOf = (dim: Dim): Bounds => {
    let total: Bounds = { lo: 0, hi: 0 };
    for (const [m, c] of dim.terms) {
      let term: Bounds = { lo: c, hi: c };
      for (const s of m === '' ? [] : m.split('*')) term = product(term, definitions.get(s)?.bounds ?? anything);
      total = { lo: total.lo + term.lo, hi: total.hi + term.hi };
    }
    return total;
  };

  const expression = (
    op: string,
    operands: readonly Dim[],
    compute: (...v: number[]) => number,
    bounds: Bounds = anything,
    whole = true,
  ): Dim => {
    const numbers = operands.map(dimValue);
    if (numbers.every((n) => n !== undefined)) {
      const value = compute(...numbers);
      if (Number.isInteger(value)) return constDim(value);
    }
    const text = `${op}(${operands.map((d) => dimText(d).replaceAll('*', '·')).join(';')})`;
    const vague = Math.max(2, ...operands.map(vagueness)) as 2 | 3;
    return define(text, { key: text, bounds, whole, vagueness: vague, operands, compute });
  };

  const floorDiv = (a: Dim, b: Dim): Dim => {
    const exact = divideExactly(a, b);
    if (exact !== undefined) return exact;
    const by = dimValue(b);
    if (by === undefined || by <= 0) return expression('floor', [a, b], (x, y) => Math.floor(x / y), floorBounds(a, b));
    const { whole, rest } = splitBy(a, by);
    return addDims(
      whole,
      expression('floor', [rest, b], (x, y) => Math.floor(x / y), floorBounds(rest, b)),
    );
  };
  const floorBounds = (a: Dim, b: Dim): Bounds => {
    const over = boundsOf(a);
    const by = boundsOf(b);
    if (by.lo <= 0) return anything;
    const low = over.lo >= 0 ? over.lo / by.hi : over.lo / by.lo;
    const high = over.hi >= 0 ? over.hi / by.lo : over.hi / by.hi;
    return { lo: Number.isNaN(low) ? 0 : Math.floor(low), hi: Number.isNaN(high) ? Infinity : Math.floor(high) };
  };
  const truncDiv = (a: Dim, b: Dim): Dim => {
    const exact = divideExactly(a, b);
    if (exact !== undefined) return exact;
    if (boundsOf(a).lo >= 0 && boundsOf(b).lo > 0) return floorDiv(a, b);
    return expression('trunc', [a, b], (x, y) => Math.trunc(x / y));
  };
  const round = (how: 'floor' | 'ceil' | 'trunc', a: Dim): Dim => {
    if (isWhole(a)) return a;
    // The floor of a lone quotient is the floor of a division of integers, however the exporter wrote it.
    const [symbol] = a.terms.size === 1 && [...a.terms.values()][0] === 1 ? symbolsIn(a) : [];
    const found = symbol === undefined || symbolsIn(a).length !== 1 ? undefined : definitions.get(symbol);
    const [x, y] = found?.key.startsWith('ratio(') ? (found.operands ?? []) : [];
    if (x !== undefined && y !== undefined && isWhole(x) && isWhole(y))
      return how === 'floor' ? floorDiv(x, y) : how === 'ceil' ? negated(floorDiv(negated(x), y)) : truncDiv(x, y);
    return expression(how, [a], roundings[how]);
  };
  const negated = (a: Dim): Dim => subDims(constDim(0), a);

  const extreme = (op: 'max' | 'min', a: Dim, b: Dim): Dim => {
    if (sameDim(a, b)) return a;
    const difference = boundsOf(subDims(a, b));
    if (difference.lo >= 0) return op === 'max' ? a : b;
    if (difference.hi <= 0) return op === 'max' ? b : a;
    const [x, y] = [boundsOf(a), boundsOf(b)];
    const pick = (p: number, q: number): number => (op === 'max' ? Math.max(p, q) : Math.min(p, q));
    const sorted = dimText(a) <= dimText(b) ? [a, b] : [b, a];
    return expression(op, sorted, pick, { lo: pick(x.lo, y.lo), hi: pick(x.hi, y.hi) }, isWhole(a) && isWhole(b));
  };

  const isWhole = (dim: Dim): boolean => symbolsIn(dim).every((s) => definitions.get(s)?.whole ?? true);
  const vagueness = (dim: Dim): number =>
    symbolsIn(dim).reduce((worst, s) => Math.max(worst, definitions.get(s)?.vagueness ?? 3), 0);

  const resolve = (dim: Dim, values: ReadonlyMap<string, number>): number | undefined => {
    const found = new Map<string, number>();
    for (const symbol of symbolsIn(dim)) {
      const value = valueOf(symbol, values);
      if (value === undefined) return undefined;
      found.set(symbol, value);
    }
    return evaluateDim(dim, found);
  };
  const valueOf = (symbol: string, values: ReadonlyMap<string, number>): number | undefined => {
    const { operands, compute } = definitions.get(symbol) ?? {};
    if (operands === undefined || compute === undefined)
      return values.get(symbol) ?? values.get(spelled.get(symbol) ?? symbol);
    const numbers = operands.map((o) => resolve(o, values));
    return numbers.every((n) => n !== undefined) ? compute(...numbers) : undefined;
  };

  const named = (kind: string, name: string, definition: Omit<Definition, 'key' | 'whole'>): Dim => {
    const symbol = cleaned(name);
    const dim = define(symbol, { key: `${kind}:${name}`, whole: true, ...definition });
    if (symbol !== name) spelled.set([...dim.terms.keys()][0] ?? symbol, name);
    return dim;
  };

  return {
    declared: (name) => named('declared', name, { bounds: { lo: 1, hi: Infinity }, vagueness: 1 }),
    unknown: (name) => named('unknown', name, { bounds: { lo: 0, hi: Infinity }, vagueness: 3 }),
    renamed: (name, dim) => {
      if (dimValue(dim) !== undefined) return dim;
      const bounds = { lo: Math.max(boundsOf(dim).lo, 1), hi: Infinity };
      const vague = Math.max(2, vagueness(dim)) as 2 | 3;
      return named('renamed', name, { bounds, vagueness: vague, operands: [dim], compute: (v) => v });
    },
    expression,
    floorDiv,
    ceilDiv: (a, b) => negated(floorDiv(negated(a), b)),
    truncDiv,
    ratio: (a, b) => divideExactly(a, b) ?? expression('ratio', [a, b], (x, y) => x / y, anything, false),
    round,
    max: (a, b) => extreme('max', a, b),
    min: (a, b) => extreme('min', a, b),
    boundsOf,
    isWhole,
    vagueness,
    resolve,
  };
};
