/**
 * Where an attention's result joins the token stream again: its output projection, the residual sum, and in post-LN
 * models the LayerNorm behind it. That value is where a layer can be shortened.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { usesOf } from '../graph/uses.ts';
import { dataReaders, isFixed, isParameter, isWrapper, unwrapped } from './number-types.ts';
import { productOf } from './projection.ts';

export interface Stopped {
  readonly at: Node | undefined;
  readonly expected: string;
  readonly found: string;
}

const passesOn = new Set(['Transpose', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);
const weighted = new Set(['Add', 'Mul']);

/** From an attention's context over its output projection to the sum with the residual stream. */
export const residualSum = (model: Model, context: ValueName): { value: ValueName; node: Node } | Stopped => {
  for (let value = context; ;) {
    const readers = dataReaders(model, value);
    const [reader] = readers;
    if (reader === undefined || readers.length > 1)
      return {
        at: reader?.node,
        expected: 'one reader up to the residual sum',
        found: `${readers.length} readers of "${value}"`,
      };
    const { node, input } = reader;
    const output = node.outputs[0] ?? '';
    const plain = node.domain === '';
    if (productOf(model, node) !== undefined && input === 0) value = output;
    else if (plain && passesOn.has(node.op) && input === 0) value = output;
    else if (plain && weighted.has(node.op)) {
      const others = node.inputs.filter((v, i) => i !== input && v !== '');
      if (others.every((v) => isParameter(model, v))) value = output;
      else if (node.op === 'Add') return { value: output, node };
      else
        return {
          at: node,
          expected: 'an output projection and a residual sum',
          found: `${node.op} of two computed values`,
        };
    } else return { at: node, expected: 'an output projection and a residual sum', found: node.op };
  }
};

const only = (model: Model, value: ValueName, op: string): Node | undefined => {
  const readers = dataReaders(model, value);
  return readers.length === 1 && readers[0]?.node.op === op ? readers[0].node : undefined;
};

/** The output of a LayerNorm written as ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add (opset < 17). */
const decomposedNorm = (model: Model, value: ValueName): ValueName | undefined => {
  const readers = dataReaders(model, value);
  const mean = readers.find((r) => r.node.op === 'ReduceMean')?.node;
  const isMean = (v: ValueName | undefined): boolean =>
    v !== undefined && mean !== undefined && unwrapped(model, v) === mean.outputs[0];
  const centred = readers.filter((r) => r.node.op === 'Sub' && r.input === 0 && isMean(r.node.inputs[1]));
  if (mean === undefined || centred.length === 0 || readers.length !== 1 + centred.length) return undefined;
  for (const { node: sub } of centred) {
    const quotient = dataReaders(model, sub.outputs[0] ?? '').find((r) => r.node.op === 'Div' && r.input === 0)?.node;
    const scaled = quotient && only(model, quotient.outputs[0] ?? '', 'Mul');
    const shifted = scaled && only(model, scaled.outputs[0] ?? '', 'Add');
    if (shifted !== undefined) return shifted.outputs[0];
  }
  return undefined;
};

/**
 * The LayerNorm output when normalisation is all that reads `sum` (post-LN), else `sum` itself (pre-LN). Either as it
 * is made, before any cast or quantisation.
 */
export const afterNorm = (model: Model, sum: ValueName): ValueName => {
  const norm = only(model, sum, 'LayerNormalization') ?? only(model, sum, 'RMSNormalization');
  const normed = norm !== undefined && unwrapped(model, norm.inputs[0] ?? '') === sum ? norm.outputs[0] : undefined;
  return normed ?? decomposedNorm(model, sum) ?? sum;
};

const normalises = new Set(
  'LayerNormalization RMSNormalization ReduceMean Sub Add Mul Div Pow Sqrt Reciprocal'.split(' '),
);

/** Whether `value` is `from` or made of it and constants alone, by the operators norms are written in. */
export const isNormOf = (model: Model, value: ValueName, from: ValueName): boolean => {
  const uses = usesOf(model.graph);
  const open = [value];
  for (const seen = new Set<ValueName>(); ;) {
    const next = open.pop();
    if (next === undefined) return seen.has(from);
    if (seen.has(next)) continue;
    seen.add(next);
    if (next === from || isFixed(model, next)) continue;
    const node = uses.producer(next);
    const hands = node !== undefined && (isWrapper(node) || node.op === 'Reshape');
    if (node === undefined || !(hands || (node.domain === '' && normalises.has(node.op)))) return false;
    // What a Reshape or a quantiser is given besides are shapes and steps.
    open.push(...(hands ? node.inputs.slice(0, 1) : node.inputs.filter((v) => v !== '')));
  }
};
