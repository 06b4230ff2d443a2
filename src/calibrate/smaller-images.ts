/**
 * The control that every user could try without a compiler: the unreduced model on smaller pictures, where it takes
 * them. Finds whether a model leaves the size of its pictures open, the size that costs as much as a plan, and shrinks
 * samples to it.
 */
import { countMacs } from '../analysis/macs.ts';
import { givenInputs, symbolOf } from '../analysis/open-sizes.ts';
import { shapesOf } from '../analysis/shapes.ts';
import * as say from '../diagnostics/messages-calibrate.ts';
import { DataType, type Model } from '../graph/model.ts';
import { intsOf } from '../graph/tensors.ts';
import { usesOf } from '../graph/uses.ts';
import type { TensorData } from '../runtime/tensor-data.ts';
import type { Tensors } from '../samples/sample-set.ts';

export interface OpenImages {
  readonly input: string;
  /** The model's names for height and width. */
  readonly height: string;
  readonly width: string;
  /** Pixels of one patch, by which sizes are stepped. */
  readonly step: readonly [height: number, width: number];
}

/** The one picture whose height and width the model leaves open, or why there is none. */
export const openImages = (model: Model): OpenImages | { readonly why: string } => {
  const pictures = givenInputs(model).filter((i) => i.type?.dims?.length === 4 && i.type.dataType === DataType.FLOAT);
  const [picture] = pictures;
  if (picture === undefined || pictures.length > 1) return { why: say.noOnePicture(pictures.length) };
  const height = symbolOf(picture, 2);
  const width = symbolOf(picture, 3);
  if (height === undefined || width === undefined)
    return { why: say.pictureSizeFixed(picture.name, picture.type?.dims?.slice(2).join(' x ') ?? '') };
  const reader = usesOf(model.graph)
    .consumers(picture.name)
    .find(({ node }) => node.op === 'Conv')?.node;
  const [down = 1, across = down] = (reader && intsOf(reader, 'strides')) ?? [];
  return { input: picture.name, height, width, step: [down, across] };
};

/** How much of each old cell lies in each new one, along one axis: rows [to][from], each summing to 1. */
const shares = (from: number, to: number): readonly (readonly [first: number, weights: readonly number[]])[] =>
  Array.from({ length: to }, (_, i) => {
    const [start, end] = [(i * from) / to, ((i + 1) * from) / to];
    const first = Math.floor(start);
    const last = Math.min(Math.ceil(end), from);
    const weights = Array.from(
      { length: last - first },
      (_, k) => ((Math.min(end, first + k + 1) - Math.max(start, first + k)) * to) / from,
    );
    return [first, weights];
  });

/** Means over the area of each new pixel (box filter), [.., from, ..] -> [.., to, ..] along `axis`. */
const averaged = (tensor: TensorData, axis: number, to: number): TensorData => {
  const from = tensor.dims[axis] ?? 0;
  const inner = tensor.dims.slice(axis + 1).reduce((n, d) => n * d, 1);
  const outer = tensor.dims.slice(0, axis).reduce((n, d) => n * d, 1);
  const data = new Float32Array(outer * to * inner);
  const source = tensor.data as Float32Array;
  const rows = shares(from, to);
  for (let o = 0; o < outer; o++)
    for (const [i, [first, weights]] of rows.entries())
      for (const [k, weight] of weights.entries())
        for (let c = 0; c < inner; c++) {
          const at = (o * to + i) * inner + c;
          data[at] = (data[at] as number) + weight * (source[(o * from + first + k) * inner + c] as number);
        }
  return { dataType: tensor.dataType, dims: tensor.dims.map((d, i) => (i === axis ? to : d)), data };
};

/** The old element under the middle of each new one: masks stay masks. */
const sampled = (tensor: TensorData, axis: number, to: number): TensorData => {
  const from = tensor.dims[axis] ?? 0;
  const inner = tensor.dims.slice(axis + 1).reduce((n, d) => n * d, 1);
  const outer = tensor.dims.slice(0, axis).reduce((n, d) => n * d, 1);
  const data = tensor.data.slice(0, outer * to * inner);
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < to; i++) {
      const start = (o * from + Math.floor(((i + 0.5) * from) / to)) * inner;
      // One type on both sides; the union of element types has no common `set`.
      (data as Float32Array).set(tensor.data.subarray(start, start + inner) as Float32Array, (o * to + i) * inner);
    }
  return { dataType: tensor.dataType, dims: tensor.dims.map((d, i) => (i === axis ? to : d)), data };
};

/** Feeds with the picture, and every mask that shares its sizes, at `height` x `width`. */
export const shrunkFeeds = (
  model: Model,
  images: OpenImages,
  feeds: Tensors,
  [height, width]: readonly [height: number, width: number],
): Tensors =>
  new Map(
    [...feeds].map(([name, tensor]) => {
      const input = model.graph.inputs.find((i) => i.name === name);
      let changed = tensor;
      for (const axis of tensor.dims.keys()) {
        const symbol = input && symbolOf(input, axis);
        const to = symbol === images.height ? height : symbol === images.width ? width : undefined;
        if (to === undefined || to === tensor.dims[axis]) continue;
        changed = name === images.input ? averaged(changed, axis, to) : sampled(changed, axis, to);
      }
      return [name, changed];
    }),
  );

/**
 * The largest size, in whole patches and at the proportions of the given one, whose work is at most the given share of
 * the whole; `symbols` are the sizes of one full sample. Undefined where even one row of patches costs more.
 */
export const sizeAtShare = (
  model: Model,
  images: OpenImages,
  symbols: ReadonlyMap<string, number>,
  share: number,
): { readonly size: readonly [height: number, width: number]; readonly share: number } | undefined => {
  const [down, across] = images.step;
  const full = [symbols.get(images.height) ?? 0, symbols.get(images.width) ?? 0] as const;
  const work = (sizes: ReadonlyMap<string, number>): number => countMacs(model, shapesOf(model), sizes).total;
  const whole = work(symbols);
  for (let rows = Math.floor(full[0] / down) - 1; rows > 0; rows--) {
    const columns = Math.max(1, Math.round((rows * down * full[1]) / full[0] / across));
    const size = [rows * down, columns * across] as const;
    const left = work(new Map([...symbols, [images.height, size[0]], [images.width, size[1]]])) / whole;
    if (left <= share) return { size, share: left };
  }
  return undefined;
};
