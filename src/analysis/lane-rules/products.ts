/**
 * Matrix products. A token axis among rows, columns or batches is kept; one that is summed over is mixed, which only
 * a recognised attention may do.
 */
import { intOf } from '../../graph/tensors.ts';
import { axisDim, isLabelled, meet, plainAxis, type Axis } from '../labels.ts';
import { axesOf, isOne, type LaneContext, type LaneRule } from './context.ts';

interface Operands {
  readonly a: number;
  readonly b: number;
}

const contracted = (
  c: LaneContext,
  at: Operands,
  a: readonly Axis[],
  b: readonly Axis[],
  axisA: number,
  axisB: number,
): void => {
  const onA = a[axisA] as Axis;
  const onB = b[axisB] as Axis;
  if (!isLabelled(onA) && !isLabelled(onB)) return;
  c.say('mixes', isLabelled(onA) ? at.a : at.b, isLabelled(onA) ? axisA : axisB, `${c.node.op} sums over the tokens`);
  const meeting = meet(onA, onB);
  if (meeting.fault !== undefined) c.say('conflict', at.b, axisB, `${c.node.op} ${meeting.fault}`);
};

const batches = (c: LaneContext, at: Operands, a: readonly Axis[], b: readonly Axis[]): Axis[] => {
  const rank = Math.max(a.length, b.length) - 2;
  return Array.from({ length: Math.max(rank, 0) }, (_, i) => {
    const one = a[i - (rank + 2 - a.length)];
    const two = b[i - (rank + 2 - b.length)];
    if (one === undefined || two === undefined) return (one ?? two) as Axis;
    if (!isLabelled(one) && isOne(axisDim(one))) return two;
    if (!isLabelled(two) && isOne(axisDim(two))) return one;
    const meeting = meet(one, two);
    if (meeting.fault !== undefined) c.say('conflict', at.b, i - (rank + 2 - b.length), meeting.fault);
    return meeting.axis;
  });
};

/** Labels of a matrix product of inputs `at.a` and `at.b`, NumPy's broadcasting. */
export const productAxes = (
  c: LaneContext,
  at: Operands,
  transA = false,
  transB = false,
): readonly Axis[] | undefined => {
  const a = axesOf(c, at.a);
  const b = axesOf(c, at.b);
  if (a === undefined || b === undefined || a.length < 2 || b.length < 2) return undefined;
  const rowA = a.length - (transA ? 1 : 2);
  const sumA = a.length - (transA ? 2 : 1);
  const sumB = b.length - (transB ? 1 : 2);
  const colB = b.length - (transB ? 2 : 1);
  contracted(c, at, a, b, sumA, sumB);
  return [...batches(c, at, a, b), a[rowA] as Axis, b[colB] as Axis];
};

const firstTwo: Operands = { a: 0, b: 1 };

/** MatMul: NumPy's matrix product, operands of rank 2 and more. */
export const matMul: LaneRule = (c) => {
  const axes = productAxes(c, firstTwo);
  return axes && [axes];
};

/** Gemm: a bias C with one entry per token must line up with the tokens, among rows or columns. */
export const gemm: LaneRule = (c) => {
  const axes = productAxes(c, firstTwo, intOf(c.node, 'transA', 0) === 1, intOf(c.node, 'transB', 0) === 1);
  const bias = c.node.inputs[2] ? axesOf(c, 2) : [];
  if (axes === undefined || bias === undefined) return undefined;
  bias.forEach((own, i) => {
    if (isOne(axisDim(own)) && !isLabelled(own)) return;
    const meeting = meet(axes[2 - bias.length + i] as Axis, own);
    if (meeting.fault !== undefined) c.say('conflict', 2, i, meeting.fault);
  });
  return [axes];
};

/** A product with weights packed inside the operator: rows of input 0 keep their labels. */
export const packedProduct: LaneRule = (c) => {
  const axes = axesOf(c, 0);
  const out = c.outDims(0);
  if (axes === undefined || out === undefined) return undefined;
  const last = axes.length - 1;
  if (isLabelled(axes[last] as Axis)) c.say('mixes', 0, last, `${c.node.op} sums over the tokens`);
  return [[...axes.slice(0, last), plainAxis(out[out.length - 1] as NonNullable<(typeof out)[number]>)]];
};

/**
 * Axes by letter: operands meet on a letter they share, and letters the result lacks are summed over. Implicit results,
 * diagonals and ellipses are rare and not followed.
 */
export const einsum: LaneRule = (c) => {
  const attribute = c.node.attrs['equation'];
  if (attribute?.kind !== 'string') return undefined;
  const [left = '', right] = attribute.value.replaceAll(' ', '').split('->');
  const terms = left.split(',');
  const operands = c.node.inputs.map((_, input) => axesOf(c, input));
  const letters = [...left.replaceAll(',', '')];
  if (right === undefined || /[^a-zA-Z,]/.test(left + right) || terms.length !== operands.length) return undefined;
  const met = new Map<string, { axis: Axis; input: number; at: number }>();
  for (const [input, term] of terms.entries()) {
    const axes = operands[input];
    if (axes?.length !== term.length || new Set(term).size !== term.length) return undefined;
    for (const [at, letter] of [...term].entries()) {
      const own = axes[at] as Axis;
      const known = met.get(letter);
      const lone = (axis: Axis): boolean => !isLabelled(axis) && axis.length === 1 && isOne(axis[0]?.dim);
      if (known === undefined || lone(known.axis)) met.set(letter, { axis: own, input, at });
      else if (!lone(own)) {
        const { axis, fault } = meet(known.axis, own);
        if (fault !== undefined) c.say('conflict', input, at, `Einsum ${fault}`);
        met.set(letter, { ...known, axis });
      }
    }
  }
  for (const letter of new Set(letters))
    if (!right.includes(letter)) {
      const { axis, input, at } = met.get(letter) as NonNullable<ReturnType<typeof met.get>>;
      if (isLabelled(axis)) c.say('mixes', input, at, 'Einsum sums over the tokens');
    }
  return [[...right].map((letter) => met.get(letter)?.axis ?? [])];
};
