/**
 * The symbols of shape inference: whatever expression is built, it evaluates to what plain numbers give, and lies
 * between its bounds.
 */
import { describe, expect, it } from 'vitest';
import { addDims, constDim, mulDims, sameDim, subDims, type Dim } from '../../src/analysis/dim.ts';
import { divideExactly, quotientOfProducts } from '../../src/analysis/shape-rules/division.ts';
import { makeSymbols } from '../../src/analysis/shape-rules/symbols.ts';

/** Reproducible whole numbers in [0, n). */
const generator = (seed: number): ((n: number) => number) => {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * n);
  };
};

const polynomial = (next: (n: number) => number, symbols: readonly Dim[]): Dim => {
  let sum = constDim(next(5) - 2);
  for (let terms = 1 + next(3); terms > 0; terms--) {
    const factors = Array.from({ length: next(3) }, () => symbols[next(symbols.length)] as Dim);
    sum = addDims(sum, mulDims(constDim(1 + next(4)), factors.reduce(mulDims, constDim(1))));
  }
  return sum;
};

describe('division of polynomials', () => {
  it('undoes multiplication and refuses remainders', () => {
    const symbols = makeSymbols();
    const names = ['a', 'b', 'c'].map(symbols.declared);
    const next = generator(7);
    for (let i = 0; i < 500; i++) {
      const [p, q] = [polynomial(next, names), polynomial(next, names)];
      if (q.terms.size === 0) continue;
      const product = mulDims(p, q);
      expect(sameDim(divideExactly(product, q) ?? constDim(-99), p)).toBe(true);
      expect(sameDim(quotientOfProducts([p, q, names[0] as Dim], [q, names[0] as Dim]) ?? constDim(-99), p)).toBe(true);
      const left = divideExactly(addDims(product, constDim(1)), q);
      if (left !== undefined) expect(sameDim(mulDims(left, q), addDims(product, constDim(1)))).toBe(true);
    }
    expect(divideExactly(constDim(3), constDim(0))).toBeUndefined();
  });
});

describe('expressions', () => {
  const operators = ['add', 'sub', 'mul', 'floorDiv', 'ceilDiv', 'truncDiv', 'max', 'min'] as const;
  const plain: Readonly<Record<(typeof operators)[number], (a: number, b: number) => number>> = {
    add: (a, b) => a + b,
    sub: (a, b) => a - b,
    mul: (a, b) => a * b,
    floorDiv: (a, b) => Math.floor(a / b),
    ceilDiv: (a, b) => Math.ceil(a / b),
    truncDiv: (a, b) => Math.trunc(a / b),
    max: (a, b) => Math.max(a, b),
    min: (a, b) => Math.min(a, b),
  };

  it('evaluate as numbers do, within their bounds', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const symbols = makeSymbols();
      const next = generator(seed);
      const values = new Map(['a', 'b', 'c'].map((name) => [name, 1 + next(12)]));
      const built = [...values].map(([name, value]) => ({ dim: symbols.declared(name), value }));
      for (let i = 0; i < 12; i++) {
        const x = built[next(built.length)] as (typeof built)[number];
        const y =
          next(2) === 0
            ? { dim: constDim(1 + next(5)), value: -1 }
            : (built[next(built.length)] as (typeof built)[number]);
        const right = y.value === -1 ? (symbols.resolve(y.dim, values) ?? 1) : y.value;
        const op = operators[next(operators.length)] as (typeof operators)[number];
        if (right === 0 && op.endsWith('Div')) continue;
        const value = plain[op](x.value, right);
        if (Math.abs(value) > 1e6) continue;
        const dim =
          op === 'add'
            ? addDims(x.dim, y.dim)
            : op === 'sub'
              ? subDims(x.dim, y.dim)
              : op === 'mul'
                ? mulDims(x.dim, y.dim)
                : symbols[op](x.dim, y.dim);
        const { lo, hi } = symbols.boundsOf(dim);
        // Adding 0 makes no difference between 0 and -0.
        expect((symbols.resolve(dim, values) ?? NaN) + 0).toBe(value + 0);
        expect(value).toBeGreaterThanOrEqual(lo);
        expect(value).toBeLessThanOrEqual(hi);
        built.push({ dim, value });
      }
    }
  });

  it('round quotients of floats as integers divide', () => {
    const symbols = makeSymbols();
    const [a, b] = [symbols.declared('a'), constDim(4)];
    const ratio = symbols.ratio(a, b);
    expect(symbols.isWhole(ratio)).toBe(false);
    expect(sameDim(symbols.round('floor', ratio), symbols.floorDiv(a, b))).toBe(true);
    expect(sameDim(symbols.round('ceil', ratio), symbols.ceilDiv(a, b))).toBe(true);
    expect(symbols.resolve(symbols.round('ceil', addDims(ratio, constDim(1))), new Map([['a', 6]]))).toBe(3);
  });
});
