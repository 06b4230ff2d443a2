/**
 * Exact division of integer polynomials in several symbols: what a -1 in a Reshape needs. Says undefined, never an
 * approximation, where there is a remainder.
 */
import { addDims, constDim, divideDims, mulDims, negDim, sameDim, type Dim } from '../dim.ts';

const symbolsOf = (monomial: string): readonly string[] => (monomial === '' ? [] : monomial.split('*'));

/** Lexicographic by exponents of the symbols in sorted order, which multiplication respects. */
const compareMonomials = (a: string, b: string): number => {
  const left = symbolsOf(a);
  const right = symbolsOf(b);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const x = left[i];
    const y = right[i];
    if (x === y) continue;
    if (x === undefined) return -1;
    if (y === undefined) return 1;
    return x < y ? 1 : -1;
  }
  return 0;
};

const leadingTerm = (dim: Dim): Dim => {
  const [first, ...rest] = [...dim.terms];
  if (first === undefined) return constDim(0);
  return { terms: new Map([rest.reduce((best, t) => (compareMonomials(t[0], best[0]) > 0 ? t : best), first)]) };
};

/** a / b where the division leaves no remainder; undefined otherwise, and for b = 0. */
export const divideExactly = (a: Dim, b: Dim): Dim | undefined => {
  if (b.terms.size === 0) return undefined;
  if (sameDim(a, b)) return constDim(1);
  if (b.terms.size === 1) return divideDims(a, b);
  const lead = leadingTerm(b);
  let rest = a;
  let quotient = constDim(0);
  // Every step removes the leading term for smaller ones, so it ends; the bound only guards against our own mistakes.
  for (let step = 0; rest.terms.size > 0; step++) {
    const part = step < 1000 ? divideDims(leadingTerm(rest), lead) : undefined;
    if (part === undefined) return undefined;
    quotient = addDims(quotient, part);
    rest = addDims(rest, negDim(mulDims(part, b)));
  }
  return quotient;
};

/** product(numerators) / product(denominators), exact; equal factors on both sides cancel first, zeros included. */
export const quotientOfProducts = (numerators: readonly Dim[], denominators: readonly Dim[]): Dim | undefined => {
  const left = [...numerators];
  const right = denominators.filter((d) => {
    const at = left.findIndex((n) => sameDim(n, d));
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
  return right.reduce<Dim | undefined>(
    (value, d) => value && divideExactly(value, d),
    left.reduce(mulDims, constDim(1)),
  );
};
