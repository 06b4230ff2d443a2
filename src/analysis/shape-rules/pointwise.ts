/**
 * Elementwise operators: one shape for all operands after broadcasting, and contents element by element.
 */
import { DataType } from '../../graph/model.ts';
import { intOf } from '../../graph/tensors.ts';
import { castElement, elementRules } from './arithmetic.ts';
import {
  broadcast,
  constants,
  contentsOf,
  dimsOf,
  gap,
  hasInput,
  smallCount,
  typeOf,
  withInts,
  type ShapeContext,
  type ShapeRule,
} from './context.ts';
import type { Dim } from '../dim.ts';
import { spread } from './elements.ts';

const givenInputs = (c: ShapeContext): readonly number[] => {
  const given = c.node.inputs.flatMap((name, i) => (name === '' ? [] : [i]));
  return given.length > 0 ? given : gap('it has no inputs');
};

/** Contents of an elementwise result, where the operator has a rule and all operands are known. */
const computed = (
  c: ShapeContext,
  inputs: readonly number[],
  dims: readonly Dim[],
  operandType: DataType,
): readonly Dim[] | undefined => {
  const rule = elementRules.get(c.node.op);
  const sizes = constants(dims);
  const count = smallCount(dims);
  // The rule's own operands come after the arithmetic.
  if (
    rule === undefined ||
    rule.length - 1 > inputs.length ||
    sizes === undefined ||
    count === undefined ||
    c.node.domain !== ''
  )
    return undefined;
  const operands: (readonly Dim[])[] = [];
  for (const input of inputs) {
    const known = contentsOf(c, input);
    const laid = known && spread(known, sizes);
    if (laid === undefined) return undefined;
    operands.push(laid);
  }
  const arithmetic = { symbols: c.symbols, dataType: operandType, fmod: intOf(c.node, 'fmod', 0) === 1 };
  const values: Dim[] = [];
  for (let i = 0; i < count; i++) {
    const value = rule(arithmetic, ...operands.map((o) => o[i] as Dim));
    const tooLarge = value === undefined || [...value.terms.values()].some((v) => !Number.isSafeInteger(v));
    if (tooLarge) return undefined;
    values.push(value);
  }
  return values;
};

/** All given inputs broadcast together; the result has the type of the first. */
export const elementwise: ShapeRule = (c) => {
  const inputs = givenInputs(c);
  const dims = broadcast(
    c.symbols,
    inputs.map((i) => dimsOf(c, i)),
  );
  const dataType = typeOf(c, 0);
  return [withInts(dataType, dims, computed(c, inputs, dims, dataType))];
};

/** As elementwise, with truth values for a result. */
export const comparison: ShapeRule = (c) => {
  const inputs = givenInputs(c);
  const dims = broadcast(
    c.symbols,
    inputs.map((i) => dimsOf(c, i)),
  );
  return [withInts(DataType.BOOL, dims, computed(c, inputs, dims, typeOf(c, 0)))];
};

export const where: ShapeRule = (c) => {
  const dims = broadcast(
    c.symbols,
    [0, 1, 2].map((i) => dimsOf(c, i)),
  );
  return [withInts(typeOf(c, 1), dims, computed(c, [0, 1, 2], dims, typeOf(c, 1)))];
};

/** The shape and type of input 0, whatever else there is: activations, masks by position, sums along an axis. */
export const likeFirst: ShapeRule = (c) => {
  const dims = dimsOf(c, 0);
  const dataType = typeOf(c, 0);
  return [withInts(dataType, dims, c.node.inputs.length === 1 ? computed(c, [0], dims, dataType) : undefined)];
};

/** The shape of input 0, truth values. */
export const truthLikeFirst: ShapeRule = (c) => {
  const dims = dimsOf(c, 0);
  return [withInts(DataType.BOOL, dims, computed(c, [0], dims, typeOf(c, 0)))];
};

const casted = (c: ShapeContext, to: DataType): ReturnType<ShapeRule> => {
  const values: Dim[] = [];
  for (const value of contentsOf(c, 0)?.values ?? []) {
    const result = castElement(c.symbols, value, to);
    if (result === undefined) break;
    values.push(result);
  }
  const complete = contentsOf(c, 0)?.values.length === values.length;
  return [withInts(to, dimsOf(c, 0), complete ? values : undefined)];
};

export const cast: ShapeRule = (c) => {
  const to = intOf(c.node, 'to', DataType.UNDEFINED);
  return to === DataType.UNDEFINED ? gap('it does not say which type to cast to') : casted(c, to);
};

export const castLike: ShapeRule = (c) => casted(c, typeOf(c, 1));

/** Clip on known contents, where its bounds are known too. */
export const clip: ShapeRule = (c) => {
  const dims = dimsOf(c, 0);
  const at = (input: number): Dim | undefined => contentsOf(c, input)?.values[0];
  const known =
    (hasInput(c, 1) ? at(1) !== undefined : true) && (hasInput(c, 2) ? at(2) !== undefined : true) && c.opset >= 11;
  const values = known
    ? contentsOf(c, 0)?.values.map((v) => {
        const raised = at(1) === undefined ? v : c.symbols.max(v, at(1) as Dim);
        return at(2) === undefined ? raised : c.symbols.min(raised, at(2) as Dim);
      })
    : undefined;
  return [withInts(typeOf(c, 0), dims, values)];
};

/** Dropout is the identity outside of training; the mask has its shape. */
export const dropout: ShapeRule = (c) => {
  const dims = dimsOf(c, 0);
  return [
    withInts(typeOf(c, 0), dims, contentsOf(c, 0)?.values),
    { dataType: c.opset >= 10 ? DataType.BOOL : typeOf(c, 0), dims },
  ];
};
