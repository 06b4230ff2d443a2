/**
 * Which input axes of a row-major reshape become which output axes. Compares products of symbolic sizes only; says
 * nothing of what the axes mean.
 */
import { constDim, dimValue, divideDims, mulDims, sameDim, type Dim } from './dim.ts';

/** Axes on both sides with the same product. Size-1 axes stand alone, with an empty other side. */
export interface AxisGroup {
  readonly in: readonly number[];
  readonly out: readonly number[];
}

/** Products of the sizes up to and including each axis. */
const prefixes = (dims: readonly Dim[]): readonly Dim[] => {
  let product = constDim(1);
  return dims.map((d) => (product = mulDims(product, d)));
};

/**
 * The finest left-to-right grouping of input axes to output axes with equal products. Undefined where products are
 * not provably equal, or an axis is empty (size 0), which leaves every grouping open.
 */
export const matchReshape = (inDims: readonly Dim[], outDims: readonly Dim[]): readonly AxisGroup[] | undefined => {
  if ([...inDims, ...outDims].some((d) => dimValue(d) === 0)) return undefined;
  const input = sideOf(inDims);
  const output = sideOf(outDims);
  const groups: AxisGroup[] = [];
  let i = 0;
  let o = 0;
  while (i < inDims.length || o < outDims.length) {
    if (input.isOne[i] === true) groups.push({ in: [i++], out: [] });
    else if (output.isOne[o] === true) groups.push({ in: [], out: [o++] });
    else {
      const end = firstMeeting(input, output, i, o);
      if (end === undefined) return undefined;
      const ins = span(i, end.i);
      const outs = span(o, end.o);
      groups.push({
        in: ins.filter((a) => input.isOne[a] !== true),
        out: outs.filter((a) => output.isOne[a] !== true),
      });
      groups.push(...ins.filter((a) => input.isOne[a] === true).map((a) => ({ in: [a], out: [] })));
      groups.push(...outs.filter((a) => output.isOne[a] === true).map((a) => ({ in: [], out: [a] })));
      i = end.i;
      o = end.o;
    }
  }
  return groups;
};

interface Side {
  readonly isOne: readonly boolean[];
  readonly products: readonly Dim[];
}

const sideOf = (dims: readonly Dim[]): Side => ({
  isOne: dims.map((d) => dimValue(d) === 1),
  products: prefixes(dims),
});

const span = (from: number, to: number): readonly number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** The nearest ends (exclusive) after `i` and `o` with equal products from the start. */
const firstMeeting = (input: Side, output: Side, i: number, o: number): { i: number; o: number } | undefined => {
  for (let a = i; a < input.products.length; a++)
    for (let b = o; b < output.products.length; b++)
      if (sameDim(input.products[a] as Dim, output.products[b] as Dim)) return { i: a + 1, o: b + 1 };
  return undefined;
};

/** Factors that a reshape keeps together, and the output axes that hold them. */
export interface LaidOut<F> {
  readonly inside: readonly F[];
  /** Output axes, left to right. */
  readonly at: readonly number[];
  /** Per output axis the factors it is made of, outermost first; undefined where they cannot be told apart. */
  readonly parts?: readonly (readonly F[])[];
}

/**
 * Lays row-major factors over output axes. Where an axis ends inside a factor, `split` gives the part of that factor
 * of the given size, or undefined where it must stay whole. Undefined where sizes are not provably equal.
 */
export const layOut = <F extends { readonly dim: Dim }>(
  factors: readonly F[],
  outDims: readonly Dim[],
  split: (factor: F, dim: Dim) => F | undefined,
): readonly LaidOut<F>[] | undefined =>
  matchReshape(
    factors.map((f) => f.dim),
    outDims,
  )?.map(({ in: from, out: at }) => {
    const inside = from.map((i) => factors[i] as F);
    if (at.length === 1) return { inside, at, parts: [inside] };
    const parts = divided(
      inside,
      at.map((i) => outDims[i] as Dim),
      split,
    );
    return { inside, at, ...(parts && { parts }) };
  });

const divided = <F extends { readonly dim: Dim }>(
  factors: readonly F[],
  outDims: readonly Dim[],
  split: (factor: F, dim: Dim) => F | undefined,
): readonly (readonly F[])[] | undefined => {
  const left = [...factors];
  const parts: F[][] = [];
  for (const dim of outDims) {
    const part: F[] = [];
    for (let open = dim; dimValue(open) !== 1;) {
      const factor = left.shift();
      if (factor === undefined) return undefined;
      const rest = divideDims(open, factor.dim);
      if (rest !== undefined) {
        part.push(factor);
        open = rest;
        continue;
      }
      const over = divideDims(factor.dim, open);
      const [head, tail] = [open, over].map((d) => d && split(factor, d));
      if (head === undefined || tail === undefined) return undefined;
      part.push(head);
      left.unshift(tail);
      open = constDim(1);
    }
    parts.push(part);
  }
  return left.length === 0 ? parts : undefined;
};
