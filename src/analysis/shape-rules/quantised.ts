/**
 * Quantisation and the operators that work on quantised tensors directly. Scales and zero points carry no shape.
 */
import { DataType } from '../../graph/model.ts';
import { intOf } from '../../graph/tensors.ts';
import { sumDims, type Dim } from '../dim.ts';
import { broadcast, dimsOf, gap, hasInput, normalAxis, typeOf, type ShapeRule } from './context.ts';

export const quantize: ShapeRule = (c) => {
  const dataType = hasInput(c, 2) ? typeOf(c, 2) : intOf(c.node, 'output_dtype', DataType.UINT8) || DataType.UINT8;
  return [{ dataType, dims: dimsOf(c, 0) }];
};

export const dequantize: ShapeRule = (c) => [
  { dataType: intOf(c.node, 'output_dtype', 0) || typeOf(c, 1), dims: dimsOf(c, 0) },
];

/** A tensor with one scale and one zero point for all of it. */
export const dynamicQuantize: ShapeRule = (c) => [
  { dataType: DataType.UINT8, dims: dimsOf(c, 0) },
  { dataType: DataType.FLOAT, dims: [] },
  { dataType: DataType.UINT8, dims: [] },
];

/** com.microsoft QLinearAdd, QLinearMul: tensors in inputs 0 and 3. */
export const quantisedElementwise: ShapeRule = (c) => [
  { dataType: typeOf(c, 0), dims: broadcast(c.symbols, [dimsOf(c, 0), dimsOf(c, 3)]) },
];

/** com.microsoft QLinearSigmoid, QLinearSoftmax and kin. */
export const quantisedUnary: ShapeRule = (c) => [{ dataType: typeOf(c, 0), dims: dimsOf(c, 0) }];

/** com.microsoft QLinearConcat: scale, zero point, then triples of tensor, scale, zero point. */
export const quantisedConcat: ShapeRule = (c) => {
  const operands = c.node.inputs.flatMap((_, i) => (i >= 2 && (i - 2) % 3 === 0 ? [dimsOf(c, i)] : []));
  const [first] = operands;
  if (first === undefined) return gap('it has no inputs');
  const axis = normalAxis(intOf(c.node, 'axis', 0), first.length);
  const whole = sumDims(operands.map((o) => o[axis] ?? gap('its inputs differ in rank')));
  return [{ dataType: typeOf(c, 2), dims: first.map((d, i) => (i === axis ? whole : d)) }];
};

/** com.microsoft GatherBlockQuantized: rows of a table of `bits` bits, unpacked to the type of its scales (input 2). */
export const gatherQuantised: ShapeRule = (c) => {
  const table = dimsOf(c, 0);
  const axis = normalAxis(intOf(c.node, 'gather_axis', 0), table.length);
  const packed = typeOf(c, 0) === DataType.UINT8 ? 8 / intOf(c.node, 'bits', 4) : 1;
  const unpacked = (d: Dim, i: number): Dim =>
    i === table.length - 1 ? sumDims(Array.from({ length: packed }, () => d)) : d;
  const dims = table.map(unpacked);
  return [{ dataType: typeOf(c, 2), dims: [...dims.slice(0, axis), ...dimsOf(c, 1), ...dims.slice(axis + 1)] }];
};
