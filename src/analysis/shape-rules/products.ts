/**
 * Matrix products in all their spellings: NumPy's, with transposed operands, quantised, packed, Einstein sums.
 */
import { DataType } from '../../graph/model.ts';
import { intOf } from '../../graph/tensors.ts';
import { constDim, type Dim } from '../dim.ts';
import { broadcast, dimsOf, gap, hasInput, typeOf, type ShapeContext, type ShapeRule } from './context.ts';
import type { Symbols } from './symbols.ts';

/** NumPy's matmul: vectors gain an axis that the result loses again. */
export const productDims = (symbols: Symbols, a: readonly Dim[], b: readonly Dim[]): readonly Dim[] => {
  if (a.length === 0 || b.length === 0) return gap('a scalar has no matrix product');
  const rows = a.length === 1 ? [] : [a[a.length - 2] as Dim];
  const columns = b.length === 1 ? [] : [b[b.length - 1] as Dim];
  return [...broadcast(symbols, [a.slice(0, -2), b.slice(0, -2)]), ...rows, ...columns];
};

/** A product of inputs `a` and `b` whose result has the type of input `typed`, or a fixed one. */
export const matMulOf =
  (a: number, b: number, dataType: (c: ShapeContext) => DataType): ShapeRule =>
  (c) => [{ dataType: dataType(c), dims: productDims(c.symbols, dimsOf(c, a), dimsOf(c, b)) }];

const swapLast = (dims: readonly Dim[]): readonly Dim[] =>
  dims.length < 2 ? dims : [...dims.slice(0, -2), dims[dims.length - 1] as Dim, dims[dims.length - 2] as Dim];

/** Operand `input` of FusedMatMul as the plain product would see it. */
export const fusedOperand = (c: Pick<ShapeContext, 'node'>, dims: readonly Dim[], side: 'A' | 'B'): readonly Dim[] => {
  const batched = intOf(c.node, `transBatch${side}`, 0) === 1 && dims.length > 2;
  const moved = batched ? [...dims.slice(1, -1), dims[0] as Dim, dims[dims.length - 1] as Dim] : dims;
  return intOf(c.node, `trans${side}`, 0) === 1 ? swapLast(moved) : moved;
};

export const fusedMatMul: ShapeRule = (c) => {
  const dims = productDims(c.symbols, fusedOperand(c, dimsOf(c, 0), 'A'), fusedOperand(c, dimsOf(c, 1), 'B'));
  return [{ dataType: typeOf(c, 0), dims }];
};

/** A product of two matrices, either transposed by attribute; `b` is the input that holds the second one. */
export const gemmOf =
  (b: number, dataType: (c: ShapeContext) => DataType): ShapeRule =>
  (c) => {
    const left = dimsOf(c, 0);
    const right = dimsOf(c, b);
    if (left.length !== 2 || right.length !== 2) return gap('its operands are not matrices');
    const row = left[intOf(c.node, 'transA', 0) === 1 ? 1 : 0] as Dim;
    const column = right[intOf(c.node, 'transB', 0) === 1 ? 0 : 1] as Dim;
    return [{ dataType: dataType(c), dims: [row, column] }];
  };

/** Weights in blocks of a few bits: N columns by attribute. */
export const packedMatMul: ShapeRule = (c) => {
  const columns = intOf(c.node, 'N', 0);
  if (columns <= 0) return gap('it does not say how many columns its weights have');
  return [{ dataType: typeOf(c, 0), dims: [...dimsOf(c, 0).slice(0, -1), constDim(columns)] }];
};

export interface Einstein {
  /** The axes of each operand and of the result, by letter; ellipses are letters of their own. */
  readonly operands: readonly (readonly string[])[];
  readonly result: readonly string[];
  readonly size: ReadonlyMap<string, Dim>;
}

/** An einsum equation over operands of these dims. Raises a ShapeGap where they do not fit. */
export const einstein = (symbols: Symbols, equation: string, inputs: readonly (readonly Dim[])[]): Einstein => {
  const [left = '', right] = equation.replaceAll(' ', '').split('->');
  const terms = left.split(',');
  if (terms.length !== inputs.length) return gap('its equation does not fit its inputs');
  const size = new Map<string, Dim>();
  const hidden = Math.max(
    ...terms.map((t, i) => (t.includes('...') ? (inputs[i] as readonly Dim[]).length - (t.length - 3) : 0)),
  );
  const ellipsis = (count: number): readonly string[] =>
    Array.from({ length: count }, (_, i) => `.${hidden - count + i}`);
  const lettersOf = (term: string, count: number): readonly string[] => {
    const [before = '', after = ''] = term.split('...');
    return term.includes('...') ? [...before, ...ellipsis(count), ...after] : [...term];
  };
  const operands = terms.map((term, i) => {
    const dims = inputs[i] as readonly Dim[];
    const letters = lettersOf(term, dims.length - (term.length - 3));
    if (letters.length !== dims.length) return gap('its equation does not fit its inputs');
    letters.forEach((letter, axis) => {
      const known = size.get(letter);
      const dim = dims[axis] as Dim;
      size.set(letter, known === undefined ? dim : (broadcast(symbols, [[known], [dim]])[0] as Dim));
    });
    return letters;
  });
  const flat = operands.flat();
  const lone = [...new Set(flat)].filter((l) => !l.startsWith('.') && flat.filter((x) => x === l).length === 1).sort();
  const result = right === undefined ? [...ellipsis(hidden), ...lone] : lettersOf(right, hidden);
  return { operands, result, size };
};

export const einsum: ShapeRule = (c) => {
  const attribute = c.node.attrs['equation'];
  if (attribute?.kind !== 'string') return gap('it has no equation');
  const { result, size } = einstein(
    c.symbols,
    attribute.value,
    c.node.inputs.map((_, i) => dimsOf(c, i)),
  );
  return [
    { dataType: typeOf(c, 0), dims: result.map((l) => size.get(l) ?? gap('its equation does not fit its inputs')) },
  ];
};

export const firstType = (c: ShapeContext): DataType => typeOf(c, 0);
export const alwaysInt32 = (): DataType => DataType.INT32;
export const alwaysFloat = (): DataType => DataType.FLOAT;
/** The type of input `input` where it is given, else float. */
export const typeAt =
  (input: number) =>
  (c: ShapeContext): DataType =>
    hasInput(c, input) ? typeOf(c, input) : DataType.FLOAT;
