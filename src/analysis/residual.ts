/**
 * Where an attention's result joins the token stream again: its output projection, the residual sum, and in post-LN
 * models the LayerNorm behind it. That value is where a layer can be shortened.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { constantTensor, usesOf } from '../graph/uses.ts';
import { inputsBehind } from './dependencies.ts';

export interface Stopped {
  readonly at: Node | undefined;
  readonly expected: string;
  readonly found: string;
}

/** Readers of a value's elements; Shape readers do not count. */
export const dataReaders = (model: Model, value: ValueName): readonly Node[] => [
  ...new Set(
    usesOf(model.graph)
      .consumers(value)
      .map((u) => u.node)
      .filter((n) => n.op !== 'Shape' && n.op !== 'Size'),
  ),
];

const passesOn = new Set(['Transpose', 'Reshape', 'Cast', 'Identity', 'Dropout', 'Flatten', 'Squeeze', 'Unsqueeze']);
const weighted = new Set(['MatMul', 'Gemm', 'Add', 'Mul']);

const isFixed = (model: Model, value: ValueName): boolean =>
  constantTensor(model, value) !== undefined || inputsBehind(model)(value).size === 0;

/** From an attention's context over its output projection to the sum with the residual stream. */
export const residualSum = (model: Model, context: ValueName): { value: ValueName; node: Node } | Stopped => {
  for (let value = context; ;) {
    const readers = dataReaders(model, value);
    const [node] = readers;
    if (node === undefined || readers.length > 1)
      return {
        at: node,
        expected: 'one reader up to the residual sum',
        found: `${readers.length} readers of "${value}"`,
      };
    if (weighted.has(node.op) && node.domain === '') {
      const others = node.inputs.filter((v) => v !== value && v !== '');
      if (others.every((v) => isFixed(model, v))) value = node.outputs[0] ?? '';
      else if (node.op === 'Add') return { value: node.outputs[0] ?? '', node };
      else
        return {
          at: node,
          expected: 'an output projection and a residual sum',
          found: `${node.op} of two computed values`,
        };
    } else if (passesOn.has(node.op) && node.domain === '') value = node.outputs[0] ?? '';
    else return { at: node, expected: 'an output projection and a residual sum', found: node.op };
  }
};

const only = (model: Model, value: ValueName, op: string): Node | undefined => {
  const readers = dataReaders(model, value);
  return readers.length === 1 && readers[0]?.op === op ? readers[0] : undefined;
};

/** Casts and Identities that one reader chain passes through. */
const overCasts = (model: Model, value: ValueName): ValueName => {
  for (let at = value; ;) {
    const readers = dataReaders(model, at);
    const [node] = readers;
    if (readers.length !== 1 || node === undefined || (node.op !== 'Cast' && node.op !== 'Identity')) return at;
    at = node.outputs[0] ?? '';
  }
};

/** The output of a LayerNorm written as ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add (opset < 17). */
const decomposedNorm = (model: Model, value: ValueName): ValueName | undefined => {
  const readers = dataReaders(model, value);
  const mean = readers.find((n) => n.op === 'ReduceMean');
  const centred = readers.filter((n) => n.op === 'Sub' && n.inputs[0] === value && n.inputs[1] === mean?.outputs[0]);
  if (mean === undefined || centred.length === 0 || readers.length !== 1 + centred.length) return undefined;
  for (const sub of centred) {
    const quotient = dataReaders(model, sub.outputs[0] ?? '').find(
      (n) => n.op === 'Div' && n.inputs[0] === sub.outputs[0],
    );
    const scaled = quotient && only(model, quotient.outputs[0] ?? '', 'Mul');
    const shifted = scaled && only(model, scaled.outputs[0] ?? '', 'Add');
    if (shifted !== undefined) return shifted.outputs[0];
  }
  return undefined;
};

/** The LayerNorm output when normalisation is all that reads `sum` (post-LN), else `sum` itself (pre-LN). */
export const afterNorm = (model: Model, sum: ValueName): ValueName => {
  const value = overCasts(model, sum);
  const norm = only(model, value, 'LayerNormalization') ?? only(model, value, 'RMSNormalization');
  const normed = norm?.inputs[0] === value ? norm.outputs[0] : decomposedNorm(model, value);
  return normed === undefined ? sum : overCasts(model, normed);
};
