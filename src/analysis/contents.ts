/**
 * What can be said of a value's elements without running the model: a small set they come from, and the axes along
 * which they never vary. Serves one purpose: to prove what an attention mask is (which two numbers it holds, and
 * that every query row sees the same keys). Inputs that only ever serve as masks are taken to hold 0 and 1.
 */
import { DataType, type Model, type Node, type ValueName } from '../graph/model.ts';
import { elementCount, intsOf, readNumbers } from '../graph/tensors.ts';
import { constantTensor, usesOf } from '../graph/uses.ts';
import { gathersRows } from './lane-births.ts';
import { isFixed, isWrapper } from './number-types.ts';
import { productOf } from './projection.ts';
import { carriedNumbers, isQuantiser } from './quantising.ts';
import { memoised } from '../support/memo.ts';
import { dimValue } from './dim.ts';
import { shapesOf } from './shapes.ts';

export interface Contents {
  /** All elements are among these (at most 8), or undefined. */
  readonly among?: readonly number[];
  /** Every element is at least this. */
  readonly atLeast: number;
  /** Per axis: true where elements provably do not vary along it. */
  readonly uniform: readonly boolean[];
}

const floats: ReadonlySet<number> = new Set([DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16, DataType.DOUBLE]);
const limit = 8;
const among = (values: readonly number[]): readonly number[] | undefined => {
  const distinct = [...new Set(values.map((v) => v + 0))];
  return distinct.length <= limit ? distinct : undefined;
};

const bool = (v: boolean): number => (v ? 1 : 0);
const pointwise: Readonly<Record<string, (a: number, b: number, c: number) => number>> = {
  Add: (a, b) => a + b,
  Sub: (a, b) => a - b,
  Mul: (a, b) => (a === 0 || b === 0 ? 0 : a * b),
  Div: (a, b) => a / b,
  And: (a, b) => bool(a !== 0 && b !== 0),
  Or: (a, b) => bool(a !== 0 || b !== 0),
  Xor: (a, b) => bool((a !== 0) !== (b !== 0)),
  Equal: (a, b) => bool(a === b),
  Greater: (a, b) => bool(a > b),
  GreaterOrEqual: (a, b) => bool(a >= b),
  Less: (a, b) => bool(a < b),
  LessOrEqual: (a, b) => bool(a <= b),
  Where: (c, a, b) => (c !== 0 ? a : b),
  Not: (a) => bool(a === 0),
  Neg: (a) => -a,
  Abs: (a) => Math.abs(a),
};
const comparisons = new Set([
  'And',
  'Or',
  'Xor',
  'Equal',
  'Greater',
  'GreaterOrEqual',
  'Less',
  'LessOrEqual',
  'Not',
  'IsNaN',
  'IsInf',
]);
/** Operators that only move elements of input 0. */
const movers = new Set([
  'Reshape',
  'Flatten',
  'Gather',
  'GatherND',
  'GatherElements',
  'Slice',
  'Expand',
  'Transpose',
  'Unsqueeze',
  'Squeeze',
  'Tile',
  'Split',
]);

/** A lower bound behind a wrapper: quantisers never turn an order around, casts may wrap or truncate. */
const leastOf = (node: Node, before: Contents | undefined, carried: (value: number) => number): number => {
  const least = before?.atLeast ?? -Infinity;
  return isQuantiser(node) ? carried(least) : least >= 0 ? 0 : -Infinity;
};

/** Inputs that are neither looked up in a table nor float features: masks, by ONNX export custom 0 or 1. */
export const isMaskInput = (model: Model, value: ValueName): boolean => {
  const input = model.graph.inputs.find((i) => i.name === value);
  return input?.type?.dims !== undefined && input.type.dims.length <= 3 && !feedsLookup(model).has(value);
};

const isTable = (model: Model, value: ValueName): boolean =>
  isFixed(model, value) && shapesOf(model).of(value)?.dims?.length === 2;

const feedsLookup: (model: Model) => ReadonlySet<ValueName> = memoised((model) => {
  const found = new Set<ValueName>();
  const ids = new Map<ValueName, ValueName>(model.graph.inputs.map((i) => [i.name, i.name]));
  for (const node of model.graph.nodes) {
    const source = ids.get(node.inputs[0] ?? '');
    if (source !== undefined && (isWrapper(node) || ['Reshape', 'Unsqueeze', 'Squeeze'].includes(node.op)))
      ids.set(node.outputs[0] ?? '', source);
    const index = ids.get(node.inputs[1] ?? '');
    if (index !== undefined && gathersRows(node) && isTable(model, node.inputs[0] ?? '')) found.add(index);
    if (
      source !== undefined &&
      (node.op === 'Conv' || node.op === 'ConvInteger' || productOf(model, node) !== undefined)
    )
      found.add(source);
  }
  return found;
});

export const contentsOf: (model: Model) => (value: ValueName) => Contents | undefined = memoised((model) => {
  const shapes = shapesOf(model);
  const uses = usesOf(model.graph);
  const known = new Map<ValueName, Contents | undefined>();
  const rank = (value: ValueName): number | undefined => shapes.of(value)?.dims?.length;
  const isOne = (value: ValueName, axis: number): boolean => {
    const dim = shapes.of(value)?.dims?.[axis];
    return dim !== undefined && dimValue(dim) === 1;
  };

  const ofConstant = (value: ValueName): Contents | undefined => {
    const tensor = constantTensor(model, value);
    const numbers = tensor && readNumbers(tensor, 65_536);
    if (tensor === undefined || numbers === undefined || elementCount(tensor.dims) === 0) return undefined;
    const set = among(numbers);
    const uniform = tensor.dims.map((size, axis) => {
      const inner = elementCount(tensor.dims.slice(axis + 1));
      return numbers.every((v, i) => v === numbers[i - (Math.floor(i / inner) % size) * inner]);
    });
    return { ...(set && { among: set }), atLeast: numbers.reduce((a, b) => Math.min(a, b), Infinity), uniform };
  };

  const of = (value: ValueName): Contents | undefined => {
    if (known.has(value)) return known.get(value);
    const facts = shapes.of(value);
    let found: Contents | undefined;
    const ints = facts?.ints?.values.map(dimValue);
    if (ints !== undefined && ints.length > 0 && ints.every((v) => v !== undefined)) {
      const set = among(ints);
      if (set?.length === 1)
        found = { among: set, atLeast: set[0] as number, uniform: (facts?.dims ?? []).map(() => true) };
    }
    found ??= ofConstant(value);
    if (found === undefined && isMaskInput(model, value))
      found = { among: [0, 1], atLeast: 0, uniform: (facts?.dims ?? []).map((_, axis) => isOne(value, axis)) };
    // On demand: only what leads to a mask is ever asked for.
    const node = found === undefined ? uses.producer(value) : undefined;
    if (node?.outputs[0] === value && node.op !== 'Constant') found = visit(node);
    known.set(value, found);
    return found;
  };

  /** Uniform axes of an elementwise result: every operand is uniform there, or has size 1, or lacks the axis. */
  const broadcastUniform = (node: Node, outRank: number): boolean[] =>
    Array.from({ length: outRank }, (_, axis) =>
      node.inputs.every((input) => {
        const r = rank(input);
        if (r === undefined) return false;
        const own = axis - (outRank - r);
        const contents = of(input);
        return own < 0 || isOne(input, own) || (contents?.uniform[own] ?? false);
      }),
    );

  const visit = (node: Node): Contents | undefined => {
    const output = node.outputs[0] ?? '';
    const outRank = rank(output);
    if (outRank === undefined || (node.domain !== '' && !isWrapper(node))) return undefined;
    const axes = Array.from({ length: outRank }, (_, axis) => axis);
    const plain = axes.map((axis) => isOne(output, axis));
    const finish = (set: readonly number[] | undefined, atLeast: number, uniform: readonly boolean[]): Contents => ({
      ...(set && { among: set }),
      atLeast,
      uniform: set?.length === 1 ? axes.map(() => true) : uniform.map((u, axis) => u || (plain[axis] ?? false)),
    });
    const whole = !floats.has(shapes.of(output)?.dataType ?? DataType.UNDEFINED);
    const plainFn = pointwise[node.op];
    // Integers are divided towards zero.
    const fn = node.op === 'Div' && whole ? (a: number, b: number): number => Math.trunc(a / b) : plainFn;
    if (fn !== undefined) {
      const sets = node.inputs.map((v) => of(v)?.among);
      const uniform = broadcastUniform(node, outRank);
      const [x, y] = node.inputs.map((v) => of(v));
      const notBelow = x !== undefined && (y?.among?.every((v) => x.atLeast >= v) ?? false);
      if (notBelow && node.op === 'GreaterOrEqual') return finish([1], 1, uniform);
      if (notBelow && node.op === 'Less') return finish([0], 0, uniform);
      const [a, b, c] = sets;
      const all = sets.every((s) => s !== undefined);
      const set = all
        ? among((a ?? []).flatMap((p) => (b ?? [0]).flatMap((q) => (c ?? [0]).map((r) => fn(p, q, r)))))
        : comparisons.has(node.op)
          ? [0, 1]
          : undefined;
      return finish(set, set ? Math.min(...set) : -Infinity, uniform);
    }
    if (isWrapper(node)) {
      const first = of(node.inputs[0] ?? '');
      const carried = carriedNumbers(model, node, shapes.of(output)?.dataType);
      if (carried === undefined) return undefined;
      const set = first?.among && among(first.among.map(carried));
      return finish(set, set ? Math.min(...set) : leastOf(node, first, carried), first?.uniform ?? plain);
    }
    if (node.op === 'ConstantOfShape') {
      const attr = node.attrs['value'];
      const value = attr?.kind === 'tensor' ? readNumbers(attr.value)?.[0] : 0;
      return value === undefined ? undefined : finish([value], value, plain);
    }
    if (node.op === 'Range') {
      const start = of(node.inputs[0] ?? '');
      const delta = of(node.inputs[2] ?? '');
      return finish(undefined, delta && delta.atLeast >= 0 ? (start?.atLeast ?? -Infinity) : -Infinity, plain);
    }
    if (node.op === 'Concat') {
      const sets = node.inputs.map((v) => of(v)?.among);
      const set = sets.every((s) => s !== undefined) ? among(sets.flat()) : undefined;
      return finish(set, set ? Math.min(...set) : -Infinity, plain);
    }
    if (movers.has(node.op)) {
      const first = of(node.inputs[0] ?? '');
      const uniform = movedUniform(node, outRank) ?? plain;
      return finish(first?.among, first?.atLeast ?? -Infinity, uniform);
    }
    return undefined;
  };

  const movedUniform = (node: Node, outRank: number): readonly boolean[] | undefined => {
    const input = node.inputs[0] ?? '';
    const r = rank(input);
    const flags =
      of(input)?.uniform ?? (r === undefined ? undefined : Array.from({ length: r }, (_, a) => isOne(input, a)));
    if (flags === undefined || r === undefined) return undefined;
    switch (node.op) {
      case 'Expand':
        return Array.from({ length: outRank }, (_, axis) => {
          const own = axis - (outRank - r);
          return own < 0 || isOne(input, own) || (flags[own] ?? false);
        });
      case 'Transpose':
        return (intsOf(node, 'perm') ?? flags.map((_, a) => r - 1 - a)).map((from) => flags[from] ?? false);
      case 'Unsqueeze': {
        const added =
          intsOf(node, 'axes') ?? shapes.of(node.inputs[1] ?? '')?.ints?.values.map((d) => dimValue(d) ?? NaN);
        if (added === undefined) return undefined;
        const at = new Set(added.map((a) => (a < 0 ? a + outRank : a)));
        let next = 0;
        return Array.from({ length: outRank }, (_, axis) => (at.has(axis) ? true : (flags[next++] ?? false)));
      }
      case 'Slice':
        return flags;
      default:
        return undefined;
    }
  };

  return of;
});
