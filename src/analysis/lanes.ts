/**
 * Traces lanes: where text and image tokens are born, and along which axis of which value they lie. An abstract
 * interpretation over the whole graph, one rule per operator (lane-rules/). A rule either carries a label on or
 * says why it cannot. Before the first reduction a lost label only means that later layers are not recognised;
 * on shortened tokens every event is a refusal (prove-lanes).
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import { memoised } from '../support/memo.ts';
import { dimValue, type Dim } from './dim.ts';
import {
  anyShortened,
  axisDim,
  hasRows,
  isFollowed,
  isLabelled,
  nextVersion,
  type Axis,
  type LaneName,
  type Labels,
} from './labels.ts';
import { bornIn, inputLabels, type LaneHints } from './lane-births.ts';
import { laneEntryOf } from './lane-rules/table.ts';
import type { LaneContext } from './lane-rules/context.ts';
import { shapesOf } from './shapes.ts';

export type EventKind =
  /** No rule, or the rule cannot say where the tokens went. */
  | 'lost'
  /** Two operands disagree about the tokens on an axis. */
  | 'conflict'
  /** Softmax, sums or products over a token axis: right inside attention, nowhere else. */
  | 'mixes'
  /** A token is read by its position. */
  | 'read';

/** Which positions of a token axis a node reads. */
export type ReadAt =
  /** Single position; negative counts from the end, a Dim is symbolic. */
  | { readonly kind: 'position'; readonly at: Dim; readonly input: number }
  /** From `start` (inclusive) to `end` (exclusive, undefined: to the end). */
  | { readonly kind: 'range'; readonly start: Dim; readonly end?: Dim }
  | { readonly kind: 'split' }
  | { readonly kind: 'data'; readonly index: ValueName };

export interface LaneEvent {
  readonly kind: EventKind;
  readonly node: Node;
  /** The input that carries the tokens. */
  readonly value: ValueName;
  readonly axis: number;
  readonly reason: string;
  readonly read?: ReadAt;
}

export interface Lanes {
  readonly of: (value: ValueName) => Labels | undefined;
  /** Labels as one reader sees the value: only with shortenings can that differ from `of`. */
  readonly seenBy: (node: Node, value: ValueName) => Labels | undefined;
  readonly events: readonly LaneEvent[];
  /** The batch has one row, as the file fixes it: no axis needs to be told from it. */
  readonly singleRow: boolean;
}

const noHints: LaneHints = {};

/** Uses that will read shortened tokens: what the trace would be if they did, lengths apart. */
export interface Shortening {
  readonly node: Node;
  readonly input: number;
  readonly lane: LaneName;
  /** A name for this shortening. */
  readonly version: string;
}

const relabelled = (labels: Labels, shortenings: readonly Shortening[]): Labels =>
  labels.map((axis) =>
    axis.map((factor) => {
      if (factor.tokens === undefined) return factor;
      const tokens = factor.tokens.map((s) => {
        const version = shortenings.findLast((x) => x.lane === s.lane)?.version;
        return version === undefined ? s : nextVersion(s, version);
      });
      return { ...factor, tokens };
    }),
  );

/** Every shortened run of an axis must be on some output of its operator, unless the rule said what became of it. */
const comesOut = (axis: Axis, results: readonly (Labels | undefined)[]): boolean => {
  const versions = (on: Axis): readonly string[] =>
    on.flatMap((f) => f.tokens ?? []).flatMap((s) => (s.version === '' ? [] : [s.version]));
  const out = new Set(results.flatMap((labels) => labels ?? []).flatMap(versions));
  return versions(axis).every((version) => out.has(version));
};

const trace = (model: Model, hints: LaneHints, shortenings: readonly Shortening[] = []): Lanes => {
  const shortenedUses = new Map<Node, Shortening[]>();
  for (const s of shortenings) shortenedUses.set(s.node, [...(shortenedUses.get(s.node) ?? []), s]);
  const shapes = shapesOf(model);
  const labels = new Map<ValueName, Labels>();
  const events: LaneEvent[] = [];
  let singleRow = true;
  const bear = (value: ValueName, born: Labels): void => {
    labels.set(value, born);
    singleRow &&= born.every((axis) => !hasRows(axis) || dimValue(axisDim(axis)) === 1);
  };
  for (const [value, born] of inputLabels(model, hints)) bear(value, born);

  const seen = (node: Node, value: ValueName, input: number): Labels | undefined => {
    const found = labels.get(value);
    const here = shortenedUses.get(node)?.filter((s) => s.input === input);
    return found === undefined || here === undefined || here.length === 0 ? found : relabelled(found, here);
  };
  const dimsOf = (value: ValueName): readonly Dim[] | undefined => shapes.of(value)?.dims;
  for (const node of model.graph.nodes) {
    if (node.op === 'Constant') continue;
    const carried = node.inputs.some((v) => labels.has(v)) || node.captures.some((v) => labels.has(v));
    // Nothing is born of shortened tokens: what reads them must account for them.
    const shortened = node.inputs.some((v, input) => anyShortened(seen(node, v, input)));
    const born = shortened ? undefined : bornIn(model, hints, node);
    if (born !== undefined) {
      bear(node.outputs[0] ?? '', born);
      continue;
    }
    if (!carried) continue;
    const say = (kind: EventKind, input: number, axis: number, reason: string, read?: ReadAt): void => {
      const value = input < 0 ? (node.captures[-1 - input] ?? '') : (node.inputs[input] ?? '');
      events.push({ kind, node, value, axis, reason, ...(read && { read }) });
    };
    node.captures.forEach((value, i) => {
      labels.get(value)?.forEach((axis, a) => {
        if (isLabelled(axis)) say('lost', -1 - i, a, `the body of ${node.op} reads it`);
      });
    });
    const context: LaneContext = {
      node,
      labels: (input) => seen(node, node.inputs[input] ?? '', input),
      dims: (input) => dimsOf(node.inputs[input] ?? ''),
      outDims: (output) => dimsOf(node.outputs[output] ?? ''),
      ints: (input) => shapes.of(node.inputs[input] ?? '')?.ints,
      model,
      say,
    };
    const entry = laneEntryOf(node);
    const before = events.length;
    const results = entry?.rule(context);
    if (results === undefined) {
      node.inputs.forEach((value, input) =>
        labels.get(value)?.forEach((axis, a) => {
          if (isLabelled(axis))
            say(
              'lost',
              input,
              a,
              entry === undefined
                ? `operator ${node.domain ? `${node.domain}.` : ''}${node.op} is not known to keep one row per token`
                : `cannot follow the tokens through ${node.op}`,
            );
        }),
      );
      continue;
    }
    if (events.length === before && entry?.is !== 'reads-sizes' && entry?.is !== 'shortens')
      node.inputs.forEach((value, input) =>
        seen(node, value, input)?.forEach((axis, a) => {
          if (!comesOut(axis, results)) say('lost', input, a, `the tokens do not come out of ${node.op}`);
        }),
      );
    results.forEach((result, i) => {
      const output = node.outputs[i] ?? '';
      if (output === '' || result === undefined) return;
      if (result.some(isFollowed)) labels.set(output, result);
    });
  }
  return {
    of: (value) => labels.get(value),
    seenBy: (node, value) => seen(node, value, node.inputs.indexOf(value)),
    events,
    singleRow,
  };
};

const plainLanes = memoised((model: Model) => trace(model, noHints));
const hinted = new WeakMap<LaneHints, (model: Model) => Lanes>();

/** Lanes of a model, with the user's hints about where they are born. */
export const lanesOf = (model: Model, hints: LaneHints = noHints): Lanes => {
  if (hints === noHints || Object.keys(hints).length === 0) return plainLanes(model);
  const known = hinted.get(hints) ?? memoised((m: Model) => trace(m, hints));
  hinted.set(hints, known);
  return known(model);
};

/** Lanes as they would be if the given uses read shortened tokens. Lengths stay those of the model. */
export const lanesAfter = (model: Model, hints: LaneHints, shortenings: readonly Shortening[]): Lanes =>
  trace(model, hints, shortenings);

/** True where any value on the node's inputs carries shortened tokens. */
export const readsShortened = (lanes: Lanes, node: Node): boolean =>
  [...node.inputs, ...node.captures].some((v) => anyShortened(lanes.of(v)));
