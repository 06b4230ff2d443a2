/**
 * Between which two numbers every element of a value lies, as far as the graph tells without running: tables are read,
 * lookups and arithmetic on them followed. Serves one purpose: to tell position biases, which are small, from masks,
 * whose numbers hide keys. Knows nothing of inputs, and gives up (undefined) rather than guess.
 */
import { DataType, type Model, type Node, type ValueName } from '../graph/model.ts';
import { extremesOf, intOf } from '../graph/tensors.ts';
import { constantTensor, usesOf } from '../graph/uses.ts';
import { memoised } from '../support/memo.ts';
import { shapesOf } from './shapes.ts';

export interface Bounds {
  readonly low: number;
  readonly high: number;
}

/** Tables with more numbers are not read: a bias of 12 heads for 800 x 800 tokens is. */
const limit = 2 ** 23;

const bounds = (low: number, high: number): Bounds | undefined =>
  Number.isNaN(low) || Number.isNaN(high) ? undefined : { low, high };

const hull = (all: readonly (Bounds | undefined)[]): Bounds | undefined => {
  const known = all.filter((b) => b !== undefined);
  if (known.length < all.length || known.length === 0) return undefined;
  return bounds(Math.min(...known.map((b) => b.low)), Math.max(...known.map((b) => b.high)));
};

const ofCorners = (a: Bounds, b: Bounds, fn: (x: number, y: number) => number): Bounds | undefined => {
  const corners = [fn(a.low, b.low), fn(a.low, b.high), fn(a.high, b.low), fn(a.high, b.high)];
  return bounds(Math.min(...corners), Math.max(...corners));
};

/** Elements of the result are elements of input 0. */
const movers = new Set(
  (
    'Identity Dropout Reshape Flatten Transpose Unsqueeze Squeeze Slice Expand Tile Split Gather GatherElements ' +
    'GatherND ReduceMax ReduceMin ReduceMean'
  ).split(' '),
);

const truth: Bounds = { low: 0, high: 1 };

/** What an operator's elements lie between, whatever goes in. */
const ranges: Readonly<Record<string, Bounds>> = {
  ...Object.fromEntries(
    'Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor Not IsNaN IsInf'.split(' ').map((op) => [op, truth]),
  ),
  Sigmoid: { low: 0, high: 1 },
  Softmax: { low: 0, high: 1 },
  HardSigmoid: { low: 0, high: 1 },
  Tanh: { low: -1, high: 1 },
  Erf: { low: -1, high: 1 },
  Sin: { low: -1, high: 1 },
  Cos: { low: -1, high: 1 },
};

const ofOperator = (node: Node, inputs: readonly (Bounds | undefined)[]): Bounds | undefined => {
  const [a, b] = inputs;
  if (movers.has(node.op)) return a;
  switch (node.op) {
    case 'Cast':
      return intOf(node, 'to', DataType.FLOAT) === DataType.BOOL ? truth : a;
    case 'Concat':
    case 'Max':
    case 'Min':
      return hull(inputs);
    case 'Where':
      return hull(inputs.slice(1));
    case 'Add':
      return a && b && bounds(a.low + b.low, a.high + b.high);
    case 'Sub':
      return a && b && bounds(a.low - b.high, a.high - b.low);
    case 'Mul':
      return a && b && ofCorners(a, b, (x, y) => x * y);
    case 'Div':
      return a && b && (b.low > 0 || b.high < 0) ? ofCorners(a, b, (x, y) => x / y) : undefined;
    case 'Clip': {
      const [from, to] = [b ?? a, inputs[2] ?? a];
      return from && to && bounds(Math.max(from.low, a?.low ?? -Infinity), Math.min(to.high, a?.high ?? Infinity));
    }
    case 'Neg':
      return a && bounds(-a.high, -a.low);
    case 'Relu':
      return a && bounds(Math.max(a.low, 0), Math.max(a.high, 0));
    case 'Abs':
      return a && bounds(a.low > 0 ? a.low : a.high < 0 ? -a.high : 0, Math.max(-a.low, a.high));
    case 'DequantizeLinear': {
      const zero = inputs[2] ?? { low: 0, high: 0 };
      return a && b && ofCorners({ low: a.low - zero.high, high: a.high - zero.low }, b, (x, y) => x * y);
    }
    default:
      return undefined;
  }
};

const steps: ReadonlyMap<number, Bounds> = new Map([
  [DataType.UINT8, { low: 0, high: 255 }],
  [DataType.INT8, { low: -128, high: 127 }],
]);

export const boundsOf: (model: Model) => (value: ValueName) => Bounds | undefined = memoised((model) => {
  const uses = usesOf(model.graph);
  const known = new Map<ValueName, Bounds | undefined>();
  const find = (value: ValueName): Bounds | undefined => {
    const tensor = constantTensor(model, value);
    if (tensor !== undefined) return extremesOf(tensor, limit);
    const node = uses.producer(value);
    // Steps of 8 bits, whatever they are made of: what reads them as numbers again scales them.
    if (node?.op === 'QuantizeLinear') return steps.get(shapesOf(model).of(value)?.dataType ?? 0);
    if (node === undefined || node.domain !== '' || node.captures.length > 0) return undefined;
    return (
      ranges[node.op] ??
      ofOperator(
        node,
        node.inputs.map((v) => (v === '' ? undefined : of(v))),
      )
    );
  };
  const of = (value: ValueName): Bounds | undefined => {
    if (!known.has(value)) known.set(value, find(value));
    return known.get(value);
  };
  return of;
});
