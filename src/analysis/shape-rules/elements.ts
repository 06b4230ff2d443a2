/**
 * Index arithmetic over row-major contents: which element of an operand an element of the result is.
 */
import type { Dim } from '../dim.ts';
import type { KnownInts } from '../shape-facts.ts';

export const countOf = (dims: readonly number[]): number => dims.reduce((n, d) => n * d, 1);

/** Row-major strides. */
export const stridesOf = (dims: readonly number[]): readonly number[] => {
  const strides = dims.map(() => 1);
  for (let axis = dims.length - 2; axis >= 0; axis--)
    strides[axis] = (strides[axis + 1] as number) * (dims[axis + 1] as number);
  return strides;
};

/** Calls `visit` with the coordinates of every element in order. The array is reused. */
export const eachPosition = (dims: readonly number[], visit: (at: readonly number[], index: number) => void): void => {
  const at = dims.map(() => 0);
  const count = countOf(dims);
  for (let index = 0; index < count; index++) {
    visit(at, index);
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      at[axis] = (at[axis] as number) + 1;
      if ((at[axis] as number) < (dims[axis] as number)) break;
      at[axis] = 0;
    }
  }
};

/** The contents of a result of `dims` whose element at `at` is the operand's element at `from(at)`;
 * undefined where one lies outside. */
export const moved = (
  source: KnownInts,
  dims: readonly number[],
  from: (at: readonly number[]) => readonly number[],
): readonly Dim[] | undefined => {
  const strides = stridesOf(source.dims);
  const values: (Dim | undefined)[] = [];
  eachPosition(dims, (at) => {
    const coordinates = from(at);
    const inside = source.dims.every((d, axis) => (coordinates[axis] ?? -1) >= 0 && (coordinates[axis] ?? d) < d);
    values.push(
      inside ? source.values[coordinates.reduce((n, c, axis) => n + c * (strides[axis] ?? 0), 0)] : undefined,
    );
  });
  return values.every((v) => v !== undefined) ? values : undefined;
};

/** Contents broadcast to `dims`, as operands of elementwise operators are. */
export const spread = (source: KnownInts, dims: readonly number[]): readonly Dim[] | undefined => {
  if (source.dims.length === dims.length && source.dims.every((d, i) => d === dims[i])) return source.values;
  const lead = dims.length - source.dims.length;
  return moved(source, dims, (at) => source.dims.map((d, axis) => (d === 1 ? 0 : (at[axis + lead] as number))));
};
