/**
 * What insertion carries from site to site: the graph being edited, and for every version of every lane its length
 * and the weight of each token (semantics.md: the mask of `pumer`, the sizes of `safe`).
 */
import type { Attention } from '../../src/analysis/attention.ts';
import { dimText, dimValue } from '../../src/analysis/dim.ts';
import { tokensOf, type Segment } from '../../src/analysis/labels.ts';
import { maskFactsOf, type MaskFacts } from '../../src/analysis/mask-facts.ts';
import type { Understanding } from '../../src/analysis/understanding.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { GraphEditor } from '../../src/graph/editor.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { opsetOf, type ValueName } from '../../src/graph/model.ts';
import type { ControlChoice } from '../../src/reduction/control.ts';
import type { ResolvedPlan } from '../../src/reduction/site-plan.ts';
import type { LaneState, Size } from './lane-state.ts';
import { emitOriginalLength } from './original-length.ts';

export type { LaneState, Size, Step } from './lane-state.ts';

/** Outputs of nodes whose handling of shortened tokens is vouched for here. */
export interface Settled {
  /** Written by insertion itself: cuts, recomputed rows, restored outputs. */
  readonly written: Set<ValueName>;
  /** The model's own reads by position, remapped. */
  readonly remapped: Set<ValueName>;
}

export interface Insertion {
  readonly u: Understanding;
  readonly plan: ResolvedPlan;
  readonly editor: GraphEditor;
  /** States of shortened lanes by version. */
  readonly states: Map<string, LaneState>;
  readonly settled: Settled;
  /** Things written once and shared. */
  readonly shared: Map<string, ValueName>;
  /** Values written for attention that have a row for each query. */
  readonly perQuery: Set<ValueName>;
  /** The same with one entry for each row of the batch and key, laid out as the scores they meet. */
  readonly perKey: Set<ValueName>;
  /** Another choice of image tokens than the plan's. */
  readonly control: ControlChoice | undefined;
  readonly emitter: (part: string) => Emitter;
  /** The same for nodes that are vouched for: arithmetic on counts and places, which no token flows through. */
  readonly vouched: (part: string) => Emitter;
}

export const newInsertion = (
  u: Understanding,
  plan: ResolvedPlan,
  editor: GraphEditor,
  control?: ControlChoice,
): Insertion => {
  const settled = { written: new Set<ValueName>(), remapped: new Set<ValueName>() };
  return {
    u,
    plan,
    editor,
    states: new Map(),
    settled,
    shared: new Map(),
    perQuery: new Set(),
    perKey: new Set(),
    control,
    emitter: (part) => editor.emitter(opsetOf(u.model), `pumer/${part}`),
    vouched: (part) => editor.emitter(opsetOf(u.model), `pumer/${part}`, (name) => settled.written.add(name)),
  };
};

/** Writes something the first time it is asked for. */
export const once = (s: Insertion, key: string, write: () => ValueName): ValueName => {
  const known = s.shared.get(key);
  if (known !== undefined) return known;
  const value = write();
  s.shared.set(key, value);
  return value;
};

export const maskOf = (s: Insertion, attention: Attention): MaskFacts => {
  const facts = maskFactsOf(s.u.model, attention);
  if ('fault' in facts) throw new CompileError(say.maskNotUnderstood(facts.fault, { node: attention.product.name }));
  return facts;
};

/** Tokens on the key (or query) axis of an attention as they will be. */
export const plannedTokens = (s: Insertion, attention: Attention, side: 'query' | 'key'): readonly Segment[] => {
  const labels = s.plan.lanes.of(attention.product.outputs[0] ?? '');
  return tokensOf(labels?.[labels.length - (side === 'key' ? 1 : 2)]) ?? [];
};

/** The length of an original lane: a constant, or read off the model's own values. */
const originalLength = (s: Insertion, segment: Segment): Size =>
  dimValue(segment.length) ??
  once(s, `length:${segment.lane}:${dimText(segment.length)}`, () =>
    emitOriginalLength(s.u, segment, s.emitter('lengths')),
  );

export const lengthOf = (s: Insertion, segment: Segment): Size =>
  segment.version === '' ? originalLength(s, segment) : (s.states.get(segment.version) as LaneState).length;

const plus = (s: Insertion, a: Size, b: Size): Size => {
  if (typeof a === 'number' && typeof b === 'number') return a + b;
  if (a === 0) return b;
  if (b === 0) return a;
  return once(s, `sum:${a}+${b}`, () => {
    const e = s.emitter('lengths');
    return e.op('Add', [typeof a === 'number' ? e.int64s([a]) : a, typeof b === 'number' ? e.int64s([b]) : b]);
  });
};

export const sumSizes = (s: Insertion, sizes: readonly Size[]): Size => sizes.reduce<Size>((a, b) => plus(s, a, b), 0);

/** Where segment `index` starts on its axis. */
export const startOf = (s: Insertion, tokens: readonly Segment[], index: number): Size =>
  sumSizes(
    s,
    tokens.slice(0, index).map((t) => lengthOf(s, t)),
  );

/** One segment of a value along an axis; the value itself where it is the only one. */
export const cutSegment = (
  s: Insertion,
  e: Emitter,
  value: ValueName,
  axis: number,
  tokens: readonly Segment[],
  index: number,
): ValueName => {
  if (tokens.length === 1) return value;
  const last = index === tokens.length - 1;
  const cut = e.slice(value, axis, startOf(s, tokens, index), last ? undefined : startOf(s, tokens, index + 1));
  s.settled.written.add(cut);
  return cut;
};

/** A size as an int64[1] value. */
export const sizeValue = (e: Emitter, size: Size): ValueName => (typeof size === 'number' ? e.int64s([size]) : size);
