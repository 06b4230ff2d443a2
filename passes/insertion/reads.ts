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
import type { Node, ValueName } from '../../src/graph/model.ts';
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

/** Replaces one axis' bounds of a Slice, whatever form its opset writes them in. */
const rebound = (
  s: Insertion,
  e: Emitter,
  node: Node,
  axis: number,
  rank: number,
  from: Size,
  to: Size | undefined,
): Node => {
  const ints = (input: number): readonly number[] | undefined =>
    shapesOf(s.u.model)
      .of(node.inputs[input] ?? '')
      ?.ints?.values.map((d) => dimValue(d) ?? Number.NaN);
  const starts = intsOf(node, 'starts') ?? ints(1);
  const count = starts?.length ?? 1;
  const axes =
    intsOf(node, 'axes') ?? (node.inputs[3] ? ints(3) : undefined) ?? Array.from({ length: count }, (_, i) => i);
  const at = axes.findIndex((a) => normalAxis(a, rank) === axis);
  const attr = intsOf(node, 'starts') !== undefined;
  const vector = (input: number, name: 'starts' | 'ends', size: Size): ValueName =>
    e.concat(
      axes.map((_, i) => {
        if (i === at) return sizeValue(e, size);
        return attr ? e.int64s([intsOf(node, name)?.[i] ?? 0]) : e.slice(node.inputs[input] ?? '', 0, i, i + 1);
      }),
      0,
    );
  const inputs = [
    node.inputs[0] ?? '',
    vector(1, 'starts', from),
    vector(2, 'ends', to ?? Number.MAX_SAFE_INTEGER),
    e.int64s(axes),
  ];
  return { ...node, inputs: node.inputs[4] ? [...inputs, node.inputs[4]] : inputs, attrs: {} };
};

const remap = (s: Insertion, read: LaneRead): void => {
  const { node, axis } = read.event;
  const e = s.emitter('reads');
  const current = s.editor.current(node) ?? node;
  const rank = s.plan.lanes.of(read.event.value)?.length ?? axis + 1;
  switch (read.kind) {
    case 'position': {
      const index = newIndex(s, read.tokens, read.at.segment, read.at.offset);
      if (read.slice) {
        s.editor.replaceNode(node, rebound(s, e, current, axis, rank, index, sumSizes(s, [index, 1])));
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
      s.editor.replaceNode(node, rebound(s, e, current, axis, rank, startOf(s, read.tokens, read.from), to));
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
  for (const read of s.plan.reads) {
    remap(s, read);
    for (const output of read.event.node.outputs) s.settled.remapped.add(output);
  }
};
