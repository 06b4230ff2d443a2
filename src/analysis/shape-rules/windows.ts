/**
 * Convolutions, pooling and resampling: sizes that are quotients of other sizes. [N, C, spatial axes ...].
 */
import { DataType, type Node } from '../../graph/model.ts';
import { intOf, intsOf } from '../../graph/tensors.ts';
import { addDims, constDim, dimValue, mulDims, subDims, sumDims, type Dim } from '../dim.ts';
import {
  constants,
  contentsOf,
  dimsOf,
  gap,
  hasInput,
  normalAxis,
  one,
  typeOf,
  type ShapeContext,
  type ShapeRule,
} from './context.ts';

const textOf = (node: Node, name: string, otherwise: string): string => {
  const attr = node.attrs[name];
  return attr?.kind === 'string' ? attr.value : otherwise;
};

interface Window {
  readonly kernel: readonly Dim[];
  readonly ceil: boolean;
}

/** Windows along the spatial axes: floor((size + pads - extent) / stride) + 1. */
const slid = (c: ShapeContext, spatial: readonly Dim[], { kernel, ceil }: Window): readonly Dim[] => {
  const { symbols } = c;
  const strides = intsOf(c.node, 'strides');
  const dilations = intsOf(c.node, 'dilations');
  const pads = intsOf(c.node, 'pads');
  const auto = textOf(c.node, 'auto_pad', 'NOTSET');
  return spatial.map((size, i) => {
    const stride = strides?.[i] ?? 1;
    if (auto.startsWith('SAME')) return symbols.ceilDiv(size, constDim(stride));
    const before = auto === 'VALID' ? 0 : (pads?.[i] ?? 0);
    const after = auto === 'VALID' ? 0 : (pads?.[i + spatial.length] ?? 0);
    const reach = addDims(mulDims(constDim(dilations?.[i] ?? 1), subDims(kernel[i] ?? one, one)), one);
    const room = subDims(sumDims([size, constDim(before + after)]), reach);
    const steps = ceil ? symbols.ceilDiv(room, constDim(stride)) : symbols.floorDiv(room, constDim(stride));
    const count = dimValue(steps);
    const length = dimValue(size);
    // With ceil_mode the last window must still start inside the input or its left padding.
    const beyond = ceil && count !== undefined && length !== undefined && count * stride >= length + before;
    return beyond ? steps : addDims(steps, one);
  });
};

/** Weights [M, C / group, kernel ...] in input `weights`; the result has the type that `dataType` says. */
export const convOf =
  (weights: number, dataType: (c: ShapeContext) => DataType): ShapeRule =>
  (c) => {
    const input = dimsOf(c, 0);
    const filter = dimsOf(c, weights);
    const [batch] = input;
    const [channels] = filter;
    if (batch === undefined || channels === undefined || input.length !== filter.length)
      return gap('its input and its weights differ in rank');
    const kernel = intsOf(c.node, 'kernel_shape')?.map(constDim) ?? filter.slice(2);
    return [{ dataType: dataType(c), dims: [batch, channels, ...slid(c, input.slice(2), { kernel, ceil: false })] }];
  };

export const convTranspose: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const filter = dimsOf(c, 1);
  const [batch] = input;
  const perGroup = filter[1];
  if (batch === undefined || perGroup === undefined) return gap('its operands have too few axes');
  const spatial = input.slice(2);
  const at = (name: string, i: number, otherwise: number): number => intsOf(c.node, name)?.[i] ?? otherwise;
  const given = intsOf(c.node, 'output_shape');
  const auto = textOf(c.node, 'auto_pad', 'NOTSET');
  const sizes = spatial.map((size, i) => {
    if (given !== undefined) return constDim(given[i] ?? gap('its output_shape is too short'));
    const stride = constDim(at('strides', i, 1));
    if (auto.startsWith('SAME')) return mulDims(size, stride);
    const kernel = intsOf(c.node, 'kernel_shape')?.map(constDim)[i] ?? filter[i + 2] ?? one;
    const reach = mulDims(constDim(at('dilations', i, 1)), subDims(kernel, one));
    const pads = auto === 'VALID' ? 0 : at('pads', i, 0) + at('pads', i + spatial.length, 0);
    return sumDims([mulDims(stride, subDims(size, one)), constDim(at('output_padding', i, 0) + 1 - pads), reach]);
  });
  return [{ dataType: typeOf(c, 0), dims: [batch, mulDims(perGroup, constDim(intOf(c.node, 'group', 1))), ...sizes] }];
};

/** MaxPool, AveragePool, LpPool: the kernel is an attribute. MaxPool's second output holds positions. */
export const pool: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const kernel = intsOf(c.node, 'kernel_shape')?.map(constDim) ?? gap('it has no kernel_shape');
  const window = { kernel, ceil: intOf(c.node, 'ceil_mode', 0) === 1 };
  const dims = [...input.slice(0, 2), ...slid(c, input.slice(2), window)];
  return [
    { dataType: typeOf(c, 0), dims },
    { dataType: DataType.INT64, dims },
  ];
};

export const globalPool: ShapeRule = (c) => {
  const dims = dimsOf(c, 0).map((d, i) => (i < 2 ? d : one));
  return [{ dataType: typeOf(c, 0), dims }];
};

/** Resize and Upsample: by sizes, or by scales, whose products are rounded down. */
export const resize: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const dataType = typeOf(c, 0);
  const axes = intsOf(c.node, 'axes')?.map((a) => normalAxis(a, input.length)) ?? input.map((_, i) => i);
  if (textOf(c.node, 'keep_aspect_ratio_policy', 'stretch') !== 'stretch') return gap('it keeps an aspect ratio');
  const scalesAt = c.opset >= 11 ? 2 : 1;
  const empty = (i: number): boolean => !hasInput(c, i) || dimsOf(c, i).some((d) => dimValue(d) === 0);
  const dims = [...input];
  if (c.opset >= 11 && !empty(3)) {
    const sizes = contentsOf(c, 3)?.values;
    if (sizes === undefined) c.note('its sizes are computed from data');
    axes.forEach((axis, i) => (dims[axis] = sizes?.[i] ?? c.unknown(0, axis)));
    return [{ dataType, dims }];
  }
  const attribute = c.node.attrs['scales'];
  const scales = attribute?.kind === 'floats' ? attribute.value : c.numbers(scalesAt);
  if (scales === undefined) c.note('its scales are computed from data');
  axes.forEach((axis, i) => {
    const scale = scales?.[i];
    dims[axis] = scale === undefined ? c.unknown(0, axis) : scaled(c, input[axis] as Dim, scale);
  });
  return [{ dataType, dims }];
};

const scaled = (c: ShapeContext, size: Dim, by: number): Dim =>
  Number.isInteger(by)
    ? mulDims(size, constDim(by))
    : c.symbols.expression(`scaled${by}`.replaceAll('+', ''), [size], (s) => Math.floor(s * by), {
        lo: 0,
        hi: Infinity,
      });

export const gridSample: ShapeRule = (c) => {
  const dims = [...dimsOf(c, 0).slice(0, 2), ...dimsOf(c, 1).slice(1, -1)];
  return [{ dataType: typeOf(c, 0), dims }];
};

export const roiAlign: ShapeRule = (c) => {
  const [, channels] = dimsOf(c, 0);
  const [rois] = dimsOf(c, 1);
  const size = [intOf(c.node, 'output_height', 1), intOf(c.node, 'output_width', 1)];
  if (channels === undefined || rois === undefined) return gap('its operands have too few axes');
  return [{ dataType: typeOf(c, 0), dims: [rois, channels, ...size.map(constDim)] }];
};

/** Patches of a feature map beside each other; sizes are numbers only. */
export const col2Im: ShapeRule = (c) => {
  const input = dimsOf(c, 0);
  const image = contentsOf(c, 1)?.values;
  const block = constants(contentsOf(c, 2)?.values ?? []);
  const [batch, rows] = input;
  if (image === undefined || block === undefined || batch === undefined || rows === undefined)
    return gap('its sizes are not known before a run');
  const channels = c.symbols.floorDiv(rows, constDim(block.reduce((n, b) => n * b, 1)));
  return [{ dataType: typeOf(c, 0), dims: [batch, channels, ...image] }];
};
