/**
 * Operators that hand every element on in its place, in another number type: casts, quantisation, identities. The one
 * list of them: whoever looks for structure (attention, projections, residual sums, masks) looks through these.
 * What they do to the numbers is quantising.ts' business.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { readNumbers } from '../graph/tensors.ts';
import { constantTensor, usesOf } from '../graph/uses.ts';
import { inputsBehind } from './dependencies.ts';
import { carriedNumbers, isQuantiser } from './quantising.ts';
import { shapesOf } from './shapes.ts';

const renames = new Set(['Cast', 'CastLike', 'Identity', 'Dropout']);

/** True where output 0 is input 0, element for element, in another number type or in the same. */
export const isWrapper = (node: Node): boolean =>
  isQuantiser(node) || (node.domain === '' && (renames.has(node.op) || node.op === 'DynamicQuantizeLinear'));

/** The value that `value` is in another number type. */
export const unwrapped = (model: Model, value: ValueName): ValueName => {
  const uses = usesOf(model.graph);
  for (let at = value; ;) {
    const node = uses.producer(at);
    if (node === undefined || !isWrapper(node) || node.outputs[0] !== at) return at;
    at = node.inputs[0] ?? '';
  }
};

/** True where a computed value is read through a quantiser: rounded to its steps and capped at its limits. */
export const isQuantised = (model: Model, value: ValueName): boolean => {
  const uses = usesOf(model.graph);
  if (isFixed(model, value)) return false;
  for (let at = value; ;) {
    const node = uses.producer(at);
    if (node === undefined || !isWrapper(node) || node.outputs[0] !== at) return false;
    if (node.op !== 'Cast' && node.op !== 'Identity' && node.op !== 'Dropout') return true;
    at = node.inputs[0] ?? '';
  }
};

/** One reader of a value, and the input through which it reads it. */
export interface Reader {
  readonly node: Node;
  readonly input: number;
}

/** Readers of a value's elements in whatever number type; Shape readers do not count. */
export const dataReaders = (model: Model, value: ValueName): readonly Reader[] =>
  usesOf(model.graph)
    .consumers(value)
    .flatMap(({ node, input }): readonly Reader[] => {
      if (node.op === 'Shape' || node.op === 'Size') return [];
      return isWrapper(node) && input === 0 ? dataReaders(model, node.outputs[0] ?? '') : [{ node, input }];
    });

/** True where no graph input can change the value's elements. */
export const isFixed = (model: Model, value: ValueName): boolean =>
  constantTensor(model, value) !== undefined || inputsBehind(model)(value).size === 0;

/** True for what scales a whole tensor or its features: fixed numbers, or the scale a dynamic quantiser found. */
export const isParameter = (model: Model, value: ValueName): boolean => {
  if (isFixed(model, value)) return true;
  const node = usesOf(model.graph).producer(value);
  if (node === undefined || node.domain !== '') return false;
  if (node.op === 'DynamicQuantizeLinear') return value !== node.outputs[0];
  return (node.op === 'Mul' || isWrapper(node)) && node.inputs.every((v) => v === '' || isParameter(model, v));
};

/** The numbers a constant holds, as it is read through wrappers; undefined above `limit` of them. */
export const constantNumbers = (model: Model, value: ValueName, limit = 1024): readonly number[] | undefined => {
  const tensor = constantTensor(model, value);
  if (tensor !== undefined) return readNumbers(tensor, limit);
  const node = usesOf(model.graph).producer(value);
  if (node === undefined || !isWrapper(node) || node.outputs[0] !== value) return undefined;
  const carried = carriedNumbers(model, node, shapesOf(model).of(value)?.dataType);
  return carried && constantNumbers(model, node.inputs[0] ?? '', limit)?.map(carried);
};
