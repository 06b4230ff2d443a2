/**
 * Graph outputs that carry shortened tokens get their full length back: a merged token's value goes to every token
 * it stands for, a pruned token gets zeros (semantics.md, Always).
 */
import { constDim } from '../../src/analysis/dim.ts';
import { isShortened, plainAxis, tokensOf, type Segment } from '../../src/analysis/labels.ts';
import { streamLayout } from '../../src/analysis/layout.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { intAttr, intsAttr } from '../../src/graph/tensors.ts';
import { usesOf } from '../../src/graph/uses.ts';
import { cutSegment, type Insertion, type LaneState } from './session.ts';

const clamped = (e: Emitter, index: ValueName): ValueName =>
  e.op('Where', [e.op('Less', [index, e.int64(0)]), e.int64(0), index]);

/** Places [B, n] of the original tokens among the ones left now, -1 where pruned. */
const places = (e: Emitter, targets: readonly ValueName[]): ValueName =>
  targets.reduce((so, next) => {
    const moved = e.gatherElements(next, clamped(e, so));
    return e.op('Where', [e.op('Less', [so, e.int64(0)]), e.int64(-1), moved]);
  });

const restoredLane = (
  s: Insertion,
  e: Emitter,
  tokens: ValueName,
  segment: Segment,
  rank: number,
  type: number,
): ValueName => {
  const place = places(
    e,
    (s.states.get(segment.version) as LaneState).steps.map((step) => step.target),
  );
  const gone = e.op('Less', [place, e.int64(0)]);
  const zero = e.cast(e.float(0), type);
  if (rank === 2)
    return e.op('Where', [gone, zero, e.op('GatherElements', [tokens, clamped(e, place)], { axis: intAttr(1) })]);
  return e.op('Where', [e.unsqueeze(gone, [2]), zero, e.gatherRows(tokens, clamped(e, place))]);
};

const floats: ReadonlySet<number> = new Set([DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16, DataType.DOUBLE]);

/** The name that the shortened value goes by from now on; undefined where the output carries none. */
const restore = (s: Insertion, name: ValueName): ValueName | undefined => {
  const labels = s.plan.lanes.of(name);
  const axis = labels?.findIndex(isShortened) ?? -1;
  const tokens = tokensOf(labels?.[axis]);
  if (labels === undefined || axis < 0) return undefined;
  const refuse = (why: string): never => {
    throw new CompileError(say.outputNotRestorable(name, why));
  };
  const type = shapesOf(s.u.model).of(name)?.dataType;
  // The same layouts as of streams; a number a token counts as a width of 1.
  const layout = streamLayout(
    labels.length === 2 ? [...labels, plainAxis(constDim(1))] : labels,
    s.plan.lanes.singleRow,
  );
  if (layout?.tokens !== axis || tokens === undefined || labels.filter(isShortened).length > 1)
    return refuse('its tokens are not on one of two axes beside the batch, perhaps with a width behind');
  if (type === undefined || !floats.has(type)) return refuse('it does not hold floating-point numbers');
  const uses = usesOf(s.u.model.graph);
  const producer = uses.producer(name);
  if (producer === undefined) return refuse('it is a graph input');
  const e = s.emitter(`restore/${name}`);
  const short = s.editor.fresh(`${name}/shortened`);
  if (uses.consumers(name).some(({ input }) => input < 0)) return refuse('a body of another operator reads it');
  // A later site may already read it: that one wants the tokens as they are, not as they are handed out.
  s.editor.renameValue(name, short);
  const turn = labels.length === 2 ? [1, 0] : [1, 0, 2];
  const rows = axis === 1 ? short : e.transpose(short, turn);
  const parts = tokens.map((segment, i) => {
    const part = cutSegment(s, e, rows, 1, tokens, i);
    return segment.version === '' ? part : restoredLane(s, e, part, segment, labels.length, type);
  });
  const last = { domain: '', outputs: [name], captures: [] };
  s.editor.add(
    axis === 1
      ? { ...last, ...named(s, name, 'Concat'), inputs: parts, attrs: { axis: intAttr(1) } }
      : { ...last, ...named(s, name, 'Transpose'), inputs: [e.concat(parts, 1)], attrs: { perm: intsAttr(turn) } },
  );
  return short;
};

const named = (s: Insertion, output: ValueName, op: string): { name: string; op: string } => ({
  name: s.editor.fresh(`pumer/restore/${output}/${op}`),
  op,
});

/** Restores every output that needs it, or refuses with `--outputs refuse`. */
export const restoreOutputs = (s: Insertion, choice: 'restore' | 'refuse'): void => {
  for (const { name } of s.u.model.graph.outputs) {
    const shortened = s.plan.lanes.of(name)?.find(isShortened);
    if (shortened === undefined) continue;
    const lane = tokensOf(shortened)?.find((t) => t.version !== '')?.lane ?? 'shortened';
    if (choice === 'refuse') throw new CompileError(say.outputCarriesTokens(name, lane));
    const before = new Set(s.editor.nodes().flatMap((node) => node.outputs));
    const short = restore(s, name);
    if (short !== undefined && s.settled.remapped.has(name)) s.settled.remapped.add(short);
    // Only what was written here is vouched for, not the model's own nodes that read or make the value.
    for (const output of s.editor.nodes().flatMap((node) => node.outputs))
      if (output === name || (output !== short && !before.has(output))) s.settled.written.add(output);
  }
};
