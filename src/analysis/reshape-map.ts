/**
 * Which input axes of a row-major reshape become which output axes. Compares products of symbolic sizes only; says
 * nothing of what the axes mean.
 */
import { constDim, dimValue, mulDims, sameDim, type Dim } from './dim.ts';

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
