/**
 * Remaps reads by position on axes that became shorter: protected tokens keep their place at either end of their
 * lane, lanes behind a shortened one start earlier, cuts at borders follow the borders.
 */
import type { LaneRead } from '../../src/analysis/lane-reads.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { dimValue } from '../../src/analysis/dim.ts';
import { normalAxis } from '../../src/analysis/lane-rules/context.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type Node, type ValueName } from '../../src/graph/model.ts';
import { intsOf, int64Tensor } from '../../src/graph/tensors.ts';
import type { Segment } from '../../src/analysis/labels.ts';
import { lengthOf, sizeValue, startOf, sumSizes, type Insertion, type Size } from './session.ts';

/** The new index of a located token. */
const newIndex = (s: Insertion, tokens: readonly Segment[], segment: number, offset: number): Size => {
  const at = tokens[segment] as Segment;
  const original = dimValue(at.length);
  const fromEnd = offset < 0 ? -offset : original === undefined ? undefined : original - offset;
  const kept = at.version === '' || offset >= 0 ? offset : undefined;
  // A shortened lane keeps protected tokens at both ends; which end is nearer decides what the offset counts from.
  const countsFromEnd = offset < 0 || (at.version !== '' && fromEnd !== undefined && fromEnd <= offset);
  const start = startOf(s, tokens, segment);
  if (!countsFromEnd && kept !== undefined) return sumSizes(s, [start, kept]);
  return sumSizes(s, [start, lengthOf(s, at), -(fromEnd ?? 1)]);
};

interface Cut {
  readonly from: Size;
  /** Undefined: to the end. */
  readonly to: Size | undefined;
}

/** Replaces bounds of a Slice on the axes given, whatever form its opset writes them in. */
const rebound = (s: Insertion, e: Emitter, node: Node, rank: number, cuts: ReadonlyMap<number, Cut>): Node => {
  // What the original says: earlier cuts of the same node are among `cuts`.
  const ints = (input: number): readonly number[] | undefined =>
    shapesOf(s.u.model)
      .of(node.inputs[input] ?? '')
      ?.ints?.values.map((d) => dimValue(d) ?? Number.NaN);
  const starts = intsOf(node, 'starts') ?? ints(1);
  const count = starts?.length ?? 1;
  const axes =
    intsOf(node, 'axes') ?? (node.inputs[3] ? ints(3) : undefined) ?? Array.from({ length: count }, (_, i) => i);
  const attr = intsOf(node, 'starts') !== undefined;
  const wide = (value: ValueName): ValueName =>
    shapesOf(s.u.model).of(value)?.dataType === DataType.INT64 ? value : e.cast(value, DataType.INT64);
  const vector = (input: number, name: 'starts' | 'ends', sizeOf: (cut: Cut) => Size): ValueName =>
    e.concat(
      axes.map((axis, i) => {
        const cut = cuts.get(normalAxis(axis, rank));
        if (cut !== undefined) return sizeValue(e, sizeOf(cut));
        return attr ? e.int64s([intsOf(node, name)?.[i] ?? 0]) : e.slice(wide(node.inputs[input] ?? ''), 0, i, i + 1);
      }),
      0,
    );
  const current = s.editor.current(node) ?? node;
  const inputs = [
    current.inputs[0] ?? '',
    vector(1, 'starts', (cut) => cut.from),
    vector(2, 'ends', (cut) => cut.to ?? Number.MAX_SAFE_INTEGER),
    e.int64s(axes),
  ];
  const steps = node.inputs[4] ? [wide(node.inputs[4])] : [];
  return { ...current, inputs: [...inputs, ...steps], attrs: {} };
};

const remap = (s: Insertion, read: LaneRead, cutsOf: (node: Node) => Map<number, Cut>): void => {
  const { node, axis } = read.event;
  const e = s.emitter('reads');
  const rank = s.plan.lanes.of(read.event.value)?.length ?? axis + 1;
  const cut = (bounds: Cut): void => {
    const cuts = cutsOf(node).set(normalAxis(axis, rank), bounds);
    s.editor.replaceNode(node, rebound(s, e, node, rank, cuts));
  };
  switch (read.kind) {
    case 'position': {
      const index = newIndex(s, read.tokens, read.at.segment, read.at.offset);
      if (read.slice) {
        cut({ from: index, to: sumSizes(s, [index, 1]) });
        return;
      }
      const dims = shapesOf(s.u.model).of(node.inputs[1] ?? '')?.ints?.dims ?? [];
      const value =
        typeof index === 'number'
          ? e.constant(int64Tensor(dims, [index]))
          : dims.length === 0
            ? e.squeeze(index, [0])
            : index;
      s.editor.setInput(node, 1, value);
      return;
    }
    case 'border': {
      const last = read.to === read.tokens.length;
      const to = last ? undefined : startOf(s, read.tokens, read.to);
      cut({ from: startOf(s, read.tokens, read.from), to });
      return;
    }
    case 'text-data':
      // Text stands first and keeps its length: the index still means the same token.
      return;
    case 'unknown':
      throw new CompileError(
        say.readNotAllowed('shortened', read.event.reason, { node: node.name, axis, value: read.event.value }),
      );
  }
};

export const remapReads = (s: Insertion): void => {
  const cuts = new Map<Node, Map<number, Cut>>();
  const cutsOf = (node: Node): Map<number, Cut> => {
    const known = cuts.get(node) ?? new Map<number, Cut>();
    cuts.set(node, known);
    return known;
  };
  for (const read of s.plan.reads) {
    remap(s, read, cutsOf);
    for (const output of read.event.node.outputs) s.settled.remapped.add(output);
  }
};
