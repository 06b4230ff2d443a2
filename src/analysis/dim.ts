/**
 * Symbolic sizes: integer polynomials over symbols ("batch", "sequence", or an opaque expression).
 * Two dims are equal only when their normal forms are; nothing is guessed.
 */

/** Monomial (sorted symbols joined by '*', '' for the constant term) to its coefficient; no zero coefficients. */
export interface Dim {
  readonly terms: ReadonlyMap<string, number>;
}

const make = (terms: Map<string, number>): Dim => {
  for (const [monomial, coefficient] of terms) if (coefficient === 0) terms.delete(monomial);
  return { terms };
};

export const constDim = (value: number): Dim => make(new Map([['', value]]));
export const symbolDim = (symbol: string): Dim => make(new Map([[symbol, 1]]));

/** The number a dim is, or undefined where it has symbols. */
export const dimValue = (dim: Dim): number | undefined => {
  if (dim.terms.size === 0) return 0;
  return dim.terms.size === 1 ? dim.terms.get('') : undefined;
};

const monomialTimes = (a: string, b: string): string =>
  a === '' ? b : b === '' ? a : [...a.split('*'), ...b.split('*')].sort().join('*');

export const addDims = (a: Dim, b: Dim): Dim => {
  const terms = new Map(a.terms);
  for (const [m, c] of b.terms) terms.set(m, (terms.get(m) ?? 0) + c);
  return make(terms);
};

export const mulDims = (a: Dim, b: Dim): Dim => {
  const terms = new Map<string, number>();
  for (const [ma, ca] of a.terms)
    for (const [mb, cb] of b.terms) {
      const m = monomialTimes(ma, mb);
      terms.set(m, (terms.get(m) ?? 0) + ca * cb);
    }
  return make(terms);
};

export const negDim = (a: Dim): Dim => make(new Map([...a.terms].map(([m, c]) => [m, -c])));
export const subDims = (a: Dim, b: Dim): Dim => addDims(a, negDim(b));
export const sumDims = (dims: readonly Dim[]): Dim => dims.reduce(addDims, constDim(0));
export const productOf = (dims: readonly Dim[]): Dim => dims.reduce(mulDims, constDim(1));

export const sameDim = (a: Dim, b: Dim): boolean => {
  if (a.terms.size !== b.terms.size) return false;
  for (const [m, c] of a.terms) if (b.terms.get(m) !== c) return false;
  return true;
};

/** a / b where b is a monomial that divides every term exactly; undefined otherwise. */
export const divideDims = (a: Dim, b: Dim): Dim | undefined => {
  if (b.terms.size !== 1) return sameDim(a, b) ? constDim(1) : undefined;
  const [[divisor, by]] = [...b.terms] as [[string, number]];
  const terms = new Map<string, number>();
  for (const [m, c] of a.terms) {
    const left = m === '' ? [] : m.split('*');
    for (const symbol of divisor === '' ? [] : divisor.split('*')) {
      const at = left.indexOf(symbol);
      if (at < 0) return undefined;
      left.splice(at, 1);
    }
    if (c % by !== 0) return undefined;
    terms.set(left.join('*'), c / by);
  }
  return make(terms);
};

/** A readable, canonical form: "24", "sequence+65", "4*batch". Symbols hold no '*' of their own. */
export const dimText = (dim: Dim): string => {
  if (dim.terms.size === 0) return '0';
  const parts = [...dim.terms].sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1));
  return parts
    .map(([m, c]) => (m === '' ? `${c}` : c === 1 ? m : c === -1 ? `-${m}` : `${c}*${m}`))
    .join('+')
    .replaceAll('+-', '-');
};

/** The dim with symbols given values; undefined where a symbol has none. */
export const evaluateDim = (dim: Dim, symbols: ReadonlyMap<string, number>): number | undefined => {
  let total = 0;
  for (const [m, c] of dim.terms) {
    let product = c;
    for (const symbol of m === '' ? [] : m.split('*')) {
      const value = symbols.get(symbol);
      if (value === undefined) return undefined;
      product *= value;
    }
    total += product;
  }
  return total;
};
