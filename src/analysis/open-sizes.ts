/**
 * Sizes for what a model leaves open, where a figure needs a number: one row, 40 words, pictures of 384 pixels,
 * 36 image regions. Only for counting; validation and users choose their own.
 */
import { DataType, type GraphValue, type Model } from '../graph/model.ts';

export interface AssumedSize {
  /** As the file names it; an unnamed size goes by its input and axis. */
  readonly symbol: string;
  readonly size: number;
}

/** What the sizes of an input usually mean, by rank, type and axis. */
export interface UsualSizes {
  readonly batch: number;
  readonly text: number;
  readonly pixels: number;
  readonly regions: number;
}

export const usualSizes: UsualSizes = { batch: 1, text: 40, pixels: 384, regions: 36 };

const floats: ReadonlySet<number> = new Set([DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16, DataType.DOUBLE]);

const sizeOf = (input: GraphValue, axis: number, sizes: UsualSizes): number => {
  const rank = input.type?.dims?.length ?? 0;
  const isFloat = floats.has(input.type?.dataType ?? 0);
  if (axis === 0) return sizes.batch;
  if (rank >= 4) return axis < rank - 2 ? 3 : sizes.pixels;
  return isFloat && rank === 3 ? sizes.regions : sizes.text;
};

/** The symbol of a declared size, as shape inference names it; undefined for a number. */
export const symbolOf = (input: GraphValue, axis: number): string | undefined => {
  const size = input.type?.dims?.[axis];
  if (typeof size === 'number' && size >= 0) return undefined;
  return typeof size === 'string' && size !== '' ? size : `${input.name}_${axis}`;
};

/** Inputs a caller has to give. */
export const givenInputs = (model: Model): readonly GraphValue[] =>
  model.graph.inputs.filter((i) => !model.graph.constants.has(i.name));

/** One size for every symbol on the inputs, in the order of the inputs. */
export const assumedSizes = (model: Model, sizes: UsualSizes = usualSizes): readonly AssumedSize[] => {
  const found = new Map<string, number>();
  const visit = (wanted: (axis: number) => boolean): void => {
    for (const input of givenInputs(model))
      for (const axis of (input.type?.dims ?? []).keys()) {
        const symbol = symbolOf(input, axis);
        if (symbol !== undefined && wanted(axis) && !found.has(symbol)) found.set(symbol, sizeOf(input, axis, sizes));
      }
  };
  // A name that is a batch anywhere is one everywhere.
  visit((axis) => axis === 0);
  visit((axis) => axis > 0);
  return [...found].map(([symbol, size]) => ({ symbol, size }));
};
