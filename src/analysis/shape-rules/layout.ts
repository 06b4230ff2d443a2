/**
 * Operators that lay the elements of one tensor, or of several, out anew: reshapes, transpositions, concatenation,
 * broadcasts. Contents move along.
 */
import { intOf, intsOf } from '../../graph/tensors.ts';
import { addDims, constDim, dimValue, mulDims, productOf, subDims, sumDims, type Dim } from '../dim.ts';
import type { KnownInts } from '../shape-facts.ts';
import {
  axesOf,
  broadcast,
  constants,
  contentsOf,
  dimsOf,
  gap,
  hasInput,
  isOne,
  normalAxis,
  one,
  plainContents,
  smallCount,
  typeOf,
  withInts,
  type ShapeContext,
  type ShapeRule,
} from './context.ts';
import { quotientOfProducts } from './division.ts';
import { moved, spread } from './elements.ts';
import { spelledDims } from './generators.ts';

/** The shape a Reshape asks for, laid over what it is given: 0 copies an axis, -1 takes what is left. */
const reshaped = (
  c: ShapeContext,
  input: readonly Dim[],
  target: readonly Dim[],
  zeroCopies: boolean,
): readonly Dim[] => {
  const copied = target.map((d, i) =>
    dimValue(d) === 0 && zeroCopies ? (input[i] ?? gap(`it copies axis ${i}, which its input does not have`)) : d,
  );
  const open = copied.flatMap((d, i) => (dimValue(d) === -1 ? [i] : []));
  const [rest] = open;
  if (rest === undefined) return copied;
  if (open.length > 1) return gap('its shape has more than one -1');
  const others = copied.filter((_, i) => i !== rest);
  const left = quotientOfProducts(input, others);
  const whole = productOf(input);
  const divisor = productOf(others);
  if (dimValue(divisor) === 0) return gap('its shape has a 0 beside a -1');
  return copied.map((d, i) => (i === rest ? (left ?? c.symbols.floorDiv(whole, divisor)) : d));
};

export const reshape: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const attr = intsOf(c.node, 'shape')?.map(constDim);
  const target = attr ?? contentsOf(c, 1)?.values;
  const dims =
    target === undefined ? spelledDims(c, 1) : reshaped(c, input, target, intOf(c.node, 'allowzero', 0) === 0);
  return [withInts(typeOf(c, 0), dims, contentsOf(c, 0)?.values)];
};

export const flatten: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const given = intOf(c.node, 'axis', 1);
  const axis = given < 0 ? given + input.length : given;
  const dims = [productOf(input.slice(0, axis)), productOf(input.slice(axis))];
  return [withInts(typeOf(c, 0), dims, contentsOf(c, 0)?.values)];
};

export const transpose: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const perm = intsOf(c.node, 'perm') ?? input.map((_, i) => input.length - 1 - i);
  if (perm.length !== input.length) return gap(`its permutation has ${perm.length} axes and its input ${input.length}`);
  const dims = perm.map((from) => input[from] ?? gap(`its permutation names axis ${from}`));
  const known = contentsOf(c, 0);
  const sizes = constants(dims);
  const values =
    known && sizes && moved(known, sizes, (at) => input.map((_, axis) => at[perm.indexOf(axis)] as number));
  return [withInts(typeOf(c, 0), dims, values)];
};

export const unsqueeze: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const added = axesOf(c, 1) ?? gap('it has no axes');
  const rank = input.length + added.length;
  const at = new Set(added.map((a) => normalAxis(a, rank)));
  let next = 0;
  const dims = Array.from({ length: rank }, (_, i) =>
    at.has(i) ? one : (input[next++] ?? gap('it names an axis twice')),
  );
  return [withInts(typeOf(c, 0), dims, contentsOf(c, 0)?.values)];
};

export const squeeze: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const named = axesOf(c, 1)?.map((a) => normalAxis(a, input.length));
  // Without axes every size-1 axis goes; a symbolic size is taken to stay, as everywhere else.
  const gone = named ?? input.flatMap((d, i) => (isOne(d) ? [i] : []));
  return [
    withInts(
      typeOf(c, 0),
      input.filter((_, i) => !gone.includes(i)),
      contentsOf(c, 0)?.values,
    ),
  ];
};

export const concat: ShapeRule = (c) => {
  const operands = c.node.inputs.map((_, i) => dimsOf(c, i));
  const [first] = operands;
  if (first === undefined) return gap('it has no inputs');
  const axis = normalAxis(intOf(c.node, 'axis', c.opset < 4 ? 1 : 0), first.length);
  if (operands.some((o) => o.length !== first.length)) return gap('its inputs differ in rank');
  const dims = first.map((d, i) => {
    if (i === axis) return sumDims(operands.map((o) => o[axis] as Dim));
    const known = operands.map((o) => o[i] as Dim);
    return known.reduce((a, b) => (c.symbols.vagueness(b) < c.symbols.vagueness(a) ? b : a), d);
  });
  return [withInts(typeOf(c, 0), dims, joined(c, dims, axis))];
};

const joined = (c: ShapeContext, dims: readonly Dim[], axis: number): readonly Dim[] | undefined => {
  const parts = c.node.inputs.map((_, i) => contentsOf(c, i));
  const sizes = constants(dims);
  if (sizes === undefined || smallCount(dims) === undefined || parts.some((p) => p === undefined)) return undefined;
  const outer = sizes.slice(0, axis).reduce((n, d) => n * d, 1);
  const rows = (parts as KnownInts[]).map((p) => ({ values: p.values, row: p.values.length / outer }));
  return Array.from({ length: outer }, (_, i) =>
    rows.flatMap((p) => p.values.slice(i * p.row, (i + 1) * p.row)),
  ).flat();
};

export const expand: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const target = spelledDims(c, 1);
  const dims = broadcast(c.symbols, [input, target]);
  const sizes = smallCount(dims) === undefined ? undefined : constants(dims);
  const known = contentsOf(c, 0);
  return [withInts(typeOf(c, 0), dims, known && sizes && spread(known, sizes))];
};

export const tile: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const repeats = contentsOf(c, 1)?.values;
  if (repeats === undefined) c.note('its repeats are computed from data');
  const dims = input.map((d, i) => (repeats === undefined ? c.unknown(0, i) : mulDims(d, repeats[i] ?? one)));
  const sizes = smallCount(dims) === undefined ? undefined : constants(dims);
  const known = contentsOf(c, 0);
  const values = known && sizes && moved(known, sizes, (at) => at.map((x, axis) => x % (known.dims[axis] ?? 1)));
  return [withInts(typeOf(c, 0), dims, values)];
};

/** Sizes of the parts: given, or equal ones with a shorter last. */
const partSizes = (c: ShapeContext, whole: Dim): readonly Dim[] => {
  const given = intsOf(c.node, 'split')?.map(constDim) ?? (hasInput(c, 1) ? spelledParts(c) : undefined);
  if (given !== undefined) return given;
  const count = intOf(c.node, 'num_outputs', c.node.outputs.length);
  const each = c.symbols.ceilDiv(whole, constDim(count));
  const last = subDims(whole, mulDims(constDim(count - 1), each));
  return Array.from({ length: count }, (_, i) => (i < count - 1 ? each : last));
};
const spelledParts = (c: ShapeContext): readonly Dim[] =>
  contentsOf(c, 1)?.values ?? c.node.outputs.map((_, i) => c.unknown(i, 0));

export const split: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const axis = normalAxis(intOf(c.node, 'axis', 0), input.length);
  const sizes = partSizes(c, input[axis] as Dim);
  const known = contentsOf(c, 0);
  let start: Dim = constDim(0);
  return c.node.outputs.map((_, i) => {
    const part = sizes[i] ?? gap(`it has ${c.node.outputs.length} outputs and ${sizes.length} sizes`);
    const dims = input.map((d, k) => (k === axis ? part : d));
    const from = dimValue(start);
    start = addDims(start, part);
    const plain = constants(dims);
    const values =
      known && plain && from !== undefined
        ? moved(known, plain, (at) => at.map((x, k) => (k === axis ? x + from : x)))
        : undefined;
    return withInts(typeOf(c, 0), dims, values);
  });
};

/** Pads as an attribute or input 1, for all axes or those of input 3. */
export const pad: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const axes = hasInput(c, 3)
    ? plainContents(c, 3, 'axes').map((a) => normalAxis(a, input.length))
    : input.map((_, i) => i);
  const pads = (intsOf(c.node, 'pads') ?? intsOf(c.node, 'paddings'))?.map(constDim) ?? contentsOf(c, 1)?.values;
  if (pads === undefined) c.note('its pads are computed from data');
  const dims = [...input];
  axes.forEach((axis, i) => {
    dims[axis] =
      pads === undefined
        ? c.unknown(0, axis)
        : sumDims([
            input[axis] as Dim,
            pads[i] ?? gap('it has too few pads'),
            pads[i + axes.length] ?? gap('it has too few pads'),
          ]);
  });
  return [{ dataType: typeOf(c, 0), dims }];
};

const blocks = (c: ShapeContext): { input: readonly Dim[]; by: Dim } => {
  const input = dimsOf(c, 0);
  if (input.length !== 4) return gap(`its input has ${input.length} axes, not 4`);
  return { input, by: constDim(intOf(c.node, 'blocksize', 1)) };
};

export const depthToSpace: ShapeRule = (c) => {
  const { input, by } = blocks(c);
  const [n, depth, h, w] = input as [Dim, Dim, Dim, Dim];
  const channels = c.symbols.floorDiv(depth, mulDims(by, by));
  return [{ dataType: typeOf(c, 0), dims: [n, channels, mulDims(h, by), mulDims(w, by)] }];
};

export const spaceToDepth: ShapeRule = (c) => {
  const { input, by } = blocks(c);
  const [n, depth, h, w] = input as [Dim, Dim, Dim, Dim];
  return [
    {
      dataType: typeOf(c, 0),
      dims: [n, productOf([depth, by, by]), c.symbols.floorDiv(h, by), c.symbols.floorDiv(w, by)],
    },
  ];
};
