/**
 * Reads of token positions behind a reduction, sorted by what can be done about them: single positions that can be
 * protected and remapped, cuts at borders between lanes, reads at data-dependent places, and the rest.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { usesOf } from '../graph/uses.ts';
import { inputsBehind } from './dependencies.ts';
import { dimValue, sameDim, subDims, sumDims, type Dim } from './dim.ts';
import { isShortened, tokensOf, type Segment } from './labels.ts';
import type { LaneEvent, Lanes } from './lanes.ts';
import { borderAt, locate, type Located } from './positions.ts';

export type LaneRead =
  | {
      readonly kind: 'position';
      readonly event: LaneEvent;
      readonly tokens: readonly Segment[];
      readonly at: Located;
      readonly slice: boolean;
    }
  | {
      readonly kind: 'border';
      readonly event: LaneEvent;
      readonly tokens: readonly Segment[];
      readonly from: number;
      readonly to: number;
    }
  | {
      readonly kind: 'text-data';
      readonly event: LaneEvent;
      readonly tokens: readonly Segment[];
      readonly index: ValueName;
    }
  | { readonly kind: 'unknown'; readonly event: LaneEvent; readonly tokens: readonly Segment[] };

/** Reads whose result is only ever asked for its shape touch no token. */
export const onlyShapeRead = (model: Model, node: Node): boolean =>
  node.outputs.every(
    (o) =>
      !usesOf(model.graph).isGraphOutput(o) &&
      usesOf(model.graph)
        .consumers(o)
        .every((u) => u.node.op === 'Shape'),
  );

/** True where an index can only point at text: it comes from inputs shaped like the text lane, and from nothing else. */
const pointsAtText = (
  model: Model,
  index: ValueName,
  tokens: readonly Segment[],
  shapeOf: (input: ValueName) => readonly Dim[] | undefined,
): boolean => {
  const text = tokens.findIndex((s) => s.lane === 'text');
  const image = tokens.filter((s) => s.lane === 'image').map((s) => s.length);
  const behind = [...inputsBehind(model)(index)];
  if (text !== 0 || behind.length === 0) return false;
  const length = (tokens[0] as Segment).length;
  return behind.every((input) => {
    const dims = shapeOf(input);
    const own = dims?.length === 2 ? dims[1] : undefined;
    if (own === undefined || !sameDim(own, length)) return false;
    return !image.some((n) => sameDim(own, n));
  });
};

const sorted = (
  model: Model,
  event: LaneEvent,
  tokens: readonly Segment[],
  shapeOf: (input: ValueName) => readonly Dim[] | undefined,
): LaneRead => {
  const { read } = event;
  if (read?.kind === 'position') {
    const at = locate(tokens, read.at);
    if (at !== undefined) return { kind: 'position', event, tokens, at, slice: false };
  }
  if (read?.kind === 'range') {
    const end = read.end ?? sumDims(tokens.map((s) => s.length));
    const from = borderAt(tokens, read.start);
    const to = borderAt(tokens, end);
    if (from !== undefined && to !== undefined && from < to) return { kind: 'border', event, tokens, from, to };
    const at = dimValue(subDims(end, read.start)) === 1 ? locate(tokens, read.start) : undefined;
    if (at !== undefined) return { kind: 'position', event, tokens, at, slice: true };
  }
  if (read?.kind === 'data' && pointsAtText(model, read.index, tokens, shapeOf))
    return { kind: 'text-data', event, tokens, index: read.index };
  return { kind: 'unknown', event, tokens };
};

/** All reads of axes on which some lane is shortened. */
export const shortenedReads = (
  model: Model,
  lanes: Lanes,
  shapeOf: (input: ValueName) => readonly Dim[] | undefined,
): readonly LaneRead[] =>
  lanes.events.flatMap((event) => {
    if (event.kind !== 'read' || onlyShapeRead(model, event.node)) return [];
    const axis = lanes.seenBy(event.node, event.value)?.[event.axis];
    if (axis === undefined || !isShortened(axis)) return [];
    const tokens = tokensOf(axis);
    return [
      tokens === undefined ? ({ kind: 'unknown', event, tokens: [] } as const) : sorted(model, event, tokens, shapeOf),
    ];
  });
