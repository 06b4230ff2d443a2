/**
 * Value numbering: two values with the same number hold the same elements on every run. Used to prove that two
 * layers read the same mask although each builds its own copy. Shape arithmetic compares by its symbolic result.
 */
import type { Attr, Model, Node, ValueName } from '../graph/model.ts';
import { constantTensor } from '../graph/uses.ts';
import { readNumbers } from '../graph/tensors.ts';
import { memoised } from '../support/memo.ts';
import { dimText } from './dim.ts';
import { shapesOf } from './shapes.ts';

const random = new Set([
  'RandomNormal',
  'RandomUniform',
  'RandomNormalLike',
  'RandomUniformLike',
  'Multinomial',
  'Bernoulli',
]);
const attrKey = (attr: Attr): string | undefined => {
  if (attr.kind === 'opaque' || attr.kind === 'body' || attr.kind === 'reference') return undefined;
  if (attr.kind === 'tensor') {
    const numbers = readNumbers(attr.value, 1024);
    return numbers && `${attr.value.dataType}:${attr.value.dims.join()}:${numbers.join()}`;
  }
  return JSON.stringify(attr.value);
};

/** The number of a value: equal numbers mean equal elements; different numbers mean nothing. */
export const valueNumbers: (model: Model) => (value: ValueName) => number = memoised((model) => {
  const numbers = new Map<ValueName, number>();
  const known = new Map<string, number>();
  const shapes = shapesOf(model);
  let count = 0;
  const intern = (key: string): number => {
    const old = known.get(key);
    if (old !== undefined) return old;
    known.set(key, count);
    return count++;
  };
  const number = (value: ValueName): number => {
    const old = numbers.get(value);
    if (old !== undefined) return old;
    const facts = shapes.of(value);
    if (facts?.ints !== undefined)
      return remember(
        value,
        `ints:${facts.dataType}:${facts.ints.dims.join()}:${facts.ints.values.map(dimText).join()}`,
      );
    const tensor = constantTensor(model, value);
    const small = tensor && readNumbers(tensor, 1024);
    if (tensor !== undefined && small !== undefined)
      return remember(value, `tensor:${tensor.dataType}:${tensor.dims.join()}:${small.join()}`);
    return remember(value, `name:${value}`);
  };
  const remember = (value: ValueName, key: string): number => {
    const n = intern(key);
    numbers.set(value, n);
    return n;
  };
  const keyOf = (node: Node): string | undefined => {
    // Operators of unknown domains, and functions, may draw numbers inside; so does dropout in training.
    const known = node.domain === '' || node.domain === 'com.microsoft';
    const draws = random.has(node.op) || (node.op.includes('Dropout') && (node.inputs[2] ?? '') !== '');
    if (!known || draws || node.captures.length > 0) return undefined;
    const attrs: string[] = [];
    for (const name of Object.keys(node.attrs).sort()) {
      const key = attrKey(node.attrs[name] as Attr);
      if (key === undefined) return undefined;
      attrs.push(`${name}=${key}`);
    }
    return `${node.domain}.${node.op}(${node.inputs.map((v) => (v === '' ? '' : number(v))).join()};${attrs.join()})`;
  };
  for (const node of model.graph.nodes) {
    if (node.op === 'Constant') continue;
    const key = keyOf(node);
    node.outputs.forEach((output, i) => {
      if (output === '' || shapes.of(output)?.ints !== undefined) return;
      remember(output, key === undefined ? `name:${output}` : `${key}#${i}`);
    });
  }
  return number;
});
