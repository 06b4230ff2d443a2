/**
 * What a lane rule sees of its node and how it answers. A rule returns the labels of each output (undefined for an
 * output without tokens), or undefined where it cannot follow the tokens at all.
 */
import type { Model, Node } from '../../graph/model.ts';
import { dimValue, type Dim } from '../dim.ts';
import { plainAxis, type Axis, type Labels } from '../labels.ts';
import type { EventKind, ReadAt } from '../lanes.ts';
import type { KnownInts } from '../shape-facts.ts';

export interface LaneContext {
  readonly node: Node;
  readonly model: Model;
  readonly labels: (input: number) => Labels | undefined;
  readonly dims: (input: number) => readonly Dim[] | undefined;
  readonly outDims: (output: number) => readonly Dim[] | undefined;
  readonly ints: (input: number) => KnownInts | undefined;
  readonly say: (kind: EventKind, input: number, axis: number, reason: string, read?: ReadAt) => void;
}

export type LaneRule = (context: LaneContext) => readonly (Labels | undefined)[] | undefined;

/** Labels of an input, plain where it carries none; undefined where its rank is unknown. */
export const axesOf = (c: LaneContext, input: number): readonly Axis[] | undefined =>
  c.labels(input) ?? c.dims(input)?.map(plainAxis);

export const normalAxis = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

export const isOne = (dim: Dim | undefined): boolean => dim !== undefined && dimValue(dim) === 1;
