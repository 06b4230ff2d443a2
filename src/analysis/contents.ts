/**
 * What can be said of a value's elements without running the model: a small set they come from, and the axes along
 * which they never vary. Serves one purpose: to prove what an attention mask is (which two numbers it holds, and
 * that every query row sees the same keys). Inputs that only ever serve as masks are taken to hold 0 and 1.
 */
import { DataType, type Model, type Node, type ValueName } from '../graph/model.ts';
import { elementCount, intsOf, readNumbers, stringOf } from '../graph/tensors.ts';
import { constantTensor, usesOf } from '../graph/uses.ts';
import { gathersRows } from './lane-births.ts';
import { isFixed, isWrapper } from './number-types.ts';
import { productOf } from './projection.ts';
import { carriedNumbers, isQuantiser } from './quantising.ts';
import { memoised } from '../support/memo.ts';
import { constDim, dimValue, productOf as productOfDims, sameDim, type Dim } from './dim.ts';
import { layOut } from './reshape-map.ts';
import { shapesOf } from './shapes.ts';

export interface Contents {
  /** All elements are among these (at most 8), or undefined. */
  readonly among?: readonly number[];
  /** Every element is at least this. */
  readonly atLeast: number;
  /** Per axis: true where elements provably do not vary along it. */
  readonly uniform: readonly boolean[];
  /** Per axis the factors it is made of, outermost first: a mask [B*H, 1, L] varies with B and not with H. */
  readonly parts: readonly Parts[];
}

const floats: ReadonlySet<number> = new Set([DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16, DataType.DOUBLE]);

export interface Part {
  readonly dim: Dim;
  readonly uniform: boolean;
}
type Parts = readonly Part[];

const isUniform = (parts: Parts): boolean => parts.every((p) => p.uniform);

/** Of an operand that may be broadcast along an axis; undefined where nothing is known. */
const together = (a: Parts | undefined, b: Parts | undefined): Parts | undefined => {
  if (a === undefined || b === undefined) return undefined;
  if (isUniform(a)) return b;
  if (isUniform(b)) return a;
  const alike = a.length === b.length && a.every((p, i) => sameDim(p.dim, b[i]?.dim as Dim));
  return alike ? a.map((p, i) => ({ dim: p.dim, uniform: p.uniform && b[i]?.uniform === true })) : undefined;
};

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
/** What an operator does to the numbers of its operands, element by element; undefined where it is none of these. */
export const pointwiseOf = (model: Model, node: Node): ((a: number, b: number, c: number) => number) | undefined => {
  const whole = !floats.has(shapesOf(model).of(node.outputs[0] ?? '')?.dataType ?? DataType.UNDEFINED);
  // Integers are divided towards zero.
  return node.op === 'Div' && whole ? (a, b) => Math.trunc(a / b) : pointwise[node.op];
};

/** The axis of a repeated value: repetitions, then what was there. */
const tiled = (parts: Parts, dim: Dim, times: Dim | undefined): Parts => {
  if (isUniform(parts)) return [{ dim, uniform: true }];
  if (times === undefined) return [{ dim, uniform: false }];
  return dimValue(times) === 1 ? parts : [{ dim: times, uniform: true }, ...parts];
};

/** Factors moved to other axes by a row-major reshape. */
const refolded = (before: readonly Parts[], outDims: readonly Dim[]): readonly Parts[] | undefined => {
  const groups = layOut(before.flat(), outDims, (part, dim) => ({ ...part, dim }));
  if (groups === undefined) return undefined;
  const out: Parts[] = outDims.map((dim) => [{ dim, uniform: dimValue(dim) === 1 }]);
  for (const { inside, at, parts } of groups)
    at.forEach((axis, i) => {
      if (inside.length > 0) out[axis] = parts?.[i] ?? [{ dim: outDims[axis] as Dim, uniform: isUniform(inside) }];
    });
  return out;
};

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

/** Nearest-neighbour resampling, as of a picture's mask to its patches, invents no number either. */
const movesElements = (node: Node): boolean =>
  movers.has(node.op) ||
  ((node.op === 'Resize' || node.op === 'Upsample') &&
    (stringOf(node, 'mode') ?? 'nearest') === 'nearest' &&
    stringOf(node, 'coordinate_transformation_mode') !== 'tf_crop_and_resize');

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

  /** All there is to say of a value by its axes alone, each as uniform as said. */
  const said = (value: ValueName, uniform: readonly boolean[]): Pick<Contents, 'uniform' | 'parts'> => {
    const dims = shapes.of(value)?.dims ?? [];
    return { uniform, parts: uniform.map((u, axis) => [{ dim: dims[axis] ?? constDim(1), uniform: u }]) };
  };
  const partsOf = (value: ValueName): readonly Parts[] | undefined => {
    const contents = of(value);
    if (contents !== undefined) return contents.parts;
    return shapes.of(value)?.dims?.map((dim) => [{ dim, uniform: dimValue(dim) === 1 }]);
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
    return {
      ...(set && { among: set }),
      atLeast: numbers.reduce((a, b) => Math.min(a, b), Infinity),
      ...said(value, uniform),
    };
  };

  const of = (value: ValueName): Contents | undefined => {
    if (known.has(value)) return known.get(value);
    const facts = shapes.of(value);
    let found: Contents | undefined;
    const ints = facts?.ints?.values.map(dimValue);
    if (ints !== undefined && ints.length > 0 && ints.every((v) => v !== undefined)) {
      const set = among(ints);
      if (set?.length === 1)
        found = {
          among: set,
          atLeast: set[0] as number,
          ...said(
            value,
            (facts?.dims ?? []).map(() => true),
          ),
        };
    }
    found ??= ofConstant(value);
    if (found === undefined && isMaskInput(model, value))
      found = {
        among: [0, 1],
        atLeast: 0,
        ...said(
          value,
          (facts?.dims ?? []).map((_, axis) => isOne(value, axis)),
        ),
      };
    // On demand: only what leads to a mask is ever asked for.
    const node = found === undefined ? uses.producer(value) : undefined;
    if (node?.outputs[0] === value && node.op !== 'Constant') found = visit(node);
    known.set(value, found);
    return found;
  };

  /** Axes of an elementwise result: an operand of size 1, or without the axis, says nothing of it. */
  const broadcast = (node: Node, outDims: readonly Dim[]): readonly Parts[] =>
    outDims.map((dim, axis) => {
      const met = node.inputs.map((input): Parts | undefined => {
        const r = rank(input);
        if (r === undefined) return undefined;
        const own = axis - (outDims.length - r);
        return own < 0 || isOne(input, own) ? [{ dim, uniform: true }] : partsOf(input)?.[own];
      });
      return met.reduce(together, [{ dim, uniform: true }]) ?? [{ dim, uniform: false }];
    });

  const visit = (node: Node): Contents | undefined => {
    const output = node.outputs[0] ?? '';
    const outDims = shapes.of(output)?.dims;
    if (outDims === undefined || (node.domain !== '' && !isWrapper(node))) return undefined;
    const plain = outDims.map((dim): Parts => [{ dim, uniform: dimValue(dim) === 1 }]);
    const finish = (set: readonly number[] | undefined, atLeast: number, moved: readonly Parts[]): Contents => {
      const parts = moved.map((of, axis): Parts => {
        const dim = outDims[axis] as Dim;
        return set?.length === 1 || dimValue(dim) === 1 || isUniform(of) ? [{ dim, uniform: true }] : of;
      });
      return { ...(set && { among: set }), atLeast, uniform: parts.map(isUniform), parts };
    };
    const fn = pointwiseOf(model, node);
    if (fn !== undefined) {
      const sets = node.inputs.map((v) => of(v)?.among);
      const uniform = broadcast(node, outDims);
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
      return finish(set, set ? Math.min(...set) : leastOf(node, first, carried), first?.parts ?? plain);
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
    if (movesElements(node)) {
      const first = of(node.inputs[0] ?? '');
      const uniform = moved(node, outDims) ?? plain;
      return finish(first?.among, first?.atLeast ?? -Infinity, uniform);
    }
    return undefined;
  };

  const moved = (node: Node, outDims: readonly Dim[]): readonly Parts[] | undefined => {
    const input = node.inputs[0] ?? '';
    const before = partsOf(input);
    const r = before?.length;
    if (before === undefined || r === undefined) return undefined;
    switch (node.op) {
      case 'Expand':
        return outDims.map((dim, axis) => {
          const own = axis - (outDims.length - r);
          return own < 0 || isOne(input, own) ? [{ dim, uniform: true }] : (before[own] as Parts);
        });
      case 'Tile': {
        const times = shapes.of(node.inputs[1] ?? '')?.ints?.values;
        return times && outDims.map((dim, axis) => tiled(before[axis] as Parts, dim, times[axis]));
      }
      case 'Transpose':
        return (intsOf(node, 'perm') ?? before.map((_, a) => r - 1 - a)).map((from) => before[from] as Parts);
      case 'Unsqueeze': {
        const added =
          intsOf(node, 'axes') ?? shapes.of(node.inputs[1] ?? '')?.ints?.values.map((d) => dimValue(d) ?? NaN);
        if (added === undefined) return undefined;
        const at = new Set(added.map((a) => (a < 0 ? a + outDims.length : a)));
        let next = 0;
        return outDims.map((dim, axis) => (at.has(axis) ? [{ dim, uniform: true }] : (before[next++] as Parts)));
      }
      case 'Slice':
        return outDims.map((dim, axis) => {
          const parts = before[axis] as Parts;
          const whole = sameDim(dim, productOfDims(parts.map((p) => p.dim)));
          return whole ? parts : [{ dim, uniform: isUniform(parts) }];
        });
      case 'Reshape':
      case 'Flatten':
      case 'Squeeze':
        return refolded(before, outDims);
      default:
        return undefined;
    }
  };

  return of;
});
