/**
 * From queries, keys or values as attention reads them back to the projection that made them, in whatever number
 * type and spelling its product with the weights is written.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { usesOf } from '../graph/uses.ts';
import { sameDim } from './dim.ts';
import { isFixed, isParameter, isWrapper, type Reader } from './number-types.ts';
import { shapesOf } from './shapes.ts';

const movers = new Set(['Transpose', 'Reshape', 'Squeeze', 'Unsqueeze', 'Gather', 'Split', 'Slice']);

/** Where the weights of a product stand; undefined: packed inside the operator. */
const products: ReadonlyMap<string, number | undefined> = new Map([
  ['MatMul', 1],
  ['Gemm', 1],
  ['MatMulInteger', 1],
  ['com.microsoft.MatMulIntegerToFloat', 1],
  ['com.microsoft.DynamicQuantizeMatMul', 1],
  ['com.microsoft.MatMulNBits', undefined],
  ['com.microsoft.MatMulBnb4', undefined],
]);

/** The input that a node multiplies by fixed weights; undefined where it does no such thing. */
export const productOf = (model: Model, node: Node): ValueName | undefined => {
  const key = node.domain === '' ? node.op : `${node.domain}.${node.op}`;
  if (!products.has(key)) return undefined;
  const weights = products.get(key);
  return weights === undefined || isFixed(model, node.inputs[weights] ?? '') ? node.inputs[0] : undefined;
};

export interface Projection {
  /** The product with the weights. */
  readonly node: Node;
  /** The value it projects, before any cast, quantisation or flattening. */
  readonly input: ValueName;
  /** Where that value is read for it: by the product itself or by the first cast or quantiser in front. */
  readonly use: Reader;
}

/** A Reshape that lays the rows of all batches under one another for a Gemm. */
const flattens = (model: Model, node: Node): boolean => {
  const [before, after] = [node.inputs[0], node.outputs[0]].map((v) => shapesOf(model).of(v ?? '')?.dims);
  const [width, same] = [before?.[2], after?.[1]];
  if (node.op !== 'Reshape' || node.domain !== '' || before?.length !== 3 || after?.length !== 2) return false;
  return width !== undefined && same !== undefined && sameDim(width, same);
};

/** The product by fixed weights and what it projects; undefined where there is none. */
export const climbToProjection = (model: Model, from: ValueName): Projection | undefined => {
  const uses = usesOf(model.graph);
  let found: { node: Node; use: Reader } | undefined;
  for (let value = from; ;) {
    const node = uses.producer(value);
    const passes = node !== undefined && (isWrapper(node) || (found?.node.op === 'Gemm' && flattens(model, node)));
    const wraps = passes && node.outputs[0] === value;
    if (found !== undefined && !wraps) return { ...found, input: value };
    if (node === undefined) return undefined;
    const factor = found === undefined ? productOf(model, node) : undefined;
    if (factor !== undefined) {
      found = { node, use: { node, input: 0 } };
      value = factor;
    } else if (wraps) {
      if (found !== undefined) found = { ...found, use: { node, input: 0 } };
      value = node.inputs[0] ?? '';
    } else if (node.domain === '' && (node.op === 'Add' || node.op === 'Mul' || node.op === 'Div')) {
      if (isParameter(model, node.inputs[0] ?? '')) value = node.inputs[1] ?? '';
      else if (isParameter(model, node.inputs[1] ?? '')) value = node.inputs[0] ?? '';
      else return undefined;
    } else if (node.domain === '' && movers.has(node.op)) value = node.inputs[0] ?? '';
    else return undefined;
  }
};
