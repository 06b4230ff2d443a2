/**
 * Values joined to shortened tokens row by row although they still have a row for every token (BridgeTower adds each
 * tower layer to the fused stream; skip connections; position tables added at every layer) follow the reductions of
 * those tokens. Only the operand of the join is mapped. What cannot be mapped stays as it is: the proof refuses it.
 */
import { inputsBehind, nodesBehind } from '../../src/analysis/dependencies.ts';
import { sameDim } from '../../src/analysis/dim.ts';
import {
  anyShortened,
  axisDim,
  isEarlier,
  isLabelled,
  isShortened,
  tokensOf,
  type Axis,
  type Labels,
  type Segment,
} from '../../src/analysis/labels.ts';
import { streamLayout } from '../../src/analysis/layout.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type Node, type ValueName } from '../../src/graph/model.ts';
import { TOKEN_MAP } from '../../src/reduction/token-reduce/contract.ts';
import { cutSegment, once, type Insertion, type Step } from './session.ts';

/** Operators that join rows such that a mean of rows still means something. */
const joins: ReadonlySet<string> = new Set(['Add', 'Sub', 'Mul', 'Sum', 'Concat']);
const floats: ReadonlySet<number> = new Set([DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16, DataType.DOUBLE]);

/** The reductions that lead from one version of a lane to a later one. */
const stepsBetween = (s: Insertion, from: string, to: string): readonly Step[] => {
  const steps = s.states.get(to)?.steps ?? [];
  const first = steps.findIndex((step) => step.before === from);
  return first < 0 ? [] : steps.slice(first);
};

const follow = (s: Insertion, tokens: ValueName, step: Step): ValueName => {
  const output = s.editor.fresh('pumer/link/TokenMap');
  s.editor.add({
    name: output,
    op: TOKEN_MAP.name,
    domain: TOKEN_MAP.domain,
    inputs: [tokens, step.weight, step.target, step.position],
    outputs: [output],
    attrs: {},
    captures: [],
  });
  return output;
};

/** Made to the length of tokens that are shorter now: it is as long as they are, and its rows are others. */
const isMeasured = (s: Insertion, value: ValueName): boolean =>
  [...nodesBehind(s.u.model, value)].some(
    (node) =>
      (node.op === 'Shape' || node.op === 'Size') && anyShortened(s.plan.lanes.seenBy(node, node.inputs[0] ?? '')),
  );

/** What lies along the joined axis of an operand, in its own versions; undefined where it cannot follow. */
const ownRuns = (s: Insertion, value: ValueName, own: Axis, joined: Axis): readonly Segment[] | undefined => {
  const wanted = tokensOf(joined) ?? [];
  if (isLabelled(own)) {
    const runs = tokensOf(own);
    const fits = (a: Segment, b: Segment): boolean => a.version === b.version || isEarlier(a, b);
    return runs?.length === wanted.length && runs.every((run, i) => fits(run, wanted[i] as Segment)) ? runs : undefined;
  }
  // A table with one row per place belongs to no lane: it has the rows that the tokens had at first.
  const fixed =
    inputsBehind(s.u.model)(value).size === 0 && sameDim(axisDim(own), axisDim(joined)) && !isMeasured(s, value);
  return fixed ? wanted.map(({ lane, length }) => ({ lane, length, version: '' })) : undefined;
};

/** [B, n, D] of an operand that may have one row for all of the batch, or no batch axis. */
const perRow = (e: Emitter, value: ValueName, batch: ValueName): ValueName =>
  e.op('Expand', [value, e.concat([batch, e.int64s([1, 1])], 0)]);

/** One operand as it joins the shortened tokens. */
const mapped = (s: Insertion, value: ValueName, runs: readonly Segment[], wanted: readonly Segment[]): ValueName => {
  const e = s.emitter('link');
  const parts = runs.map((run, i) =>
    stepsBetween(s, run.version, (wanted[i] as Segment).version).reduce(
      (tokens, step) => follow(s, tokens, step),
      cutSegment(s, e, value, 1, runs, i),
    ),
  );
  return e.concat(parts, 1);
};

const mapOperand = (s: Insertion, node: Node, input: number, joined: Labels): void => {
  const original = node.inputs[input] ?? '';
  const dims = shapesOf(s.u.model).of(original)?.dims;
  const type = shapesOf(s.u.model).of(original)?.dataType;
  const labels = s.plan.lanes.seenBy(node, original) ?? dims?.map((dim): Axis => [{ dim }]);
  const own = labels?.[labels.length - 2];
  if (dims === undefined || labels === undefined || own === undefined || type === undefined || !floats.has(type))
    return;
  const wanted = tokensOf(joined[1]) ?? [];
  const runs = labels.length > 3 ? undefined : ownRuns(s, original, own, joined[1] as Axis);
  if (runs === undefined || runs.every((run, i) => run.version === wanted[i]?.version)) return;
  const now = (s.editor.current(node) ?? node).inputs[input] ?? original;
  const [step] = runs.flatMap((run, i) => stepsBetween(s, run.version, wanted[i]?.version ?? ''));
  if (step === undefined || !sameDim(step.batch, axisDim(joined[0] as Axis))) return;
  const key = [now, ...runs.map((run, i) => `${run.version}>${wanted[i]?.version}`)].join();
  const follows = once(s, `link:${key}`, () => {
    const e = s.emitter('link');
    const whole =
      dims.length === 3 && sameDim(axisDim(labels[0] as Axis), step.batch)
        ? now
        : perRow(e, now, e.length(step.weight, 0));
    return mapped(s, whole, runs, wanted);
  });
  s.editor.setInput(node, input, follows);
};

/** Maps the older operands of every join of tokens before and after reductions, on axis 1 of [batch, tokens, width]. */
export const mapLinks = (s: Insertion): void => {
  const nodes = new Set(s.plan.lanes.events.filter((e) => e.kind === 'conflict').map((e) => e.node));
  for (const node of nodes) {
    const joined = s.plan.lanes.of(node.outputs[0] ?? '');
    if (node.domain !== '' || !joins.has(node.op) || joined?.length !== 3) continue;
    const tokens = joined[1] as Axis;
    if (streamLayout(joined, s.plan.lanes.singleRow)?.tokens !== 1 || !isShortened(tokens)) continue;
    node.inputs.forEach((_, input) => {
      mapOperand(s, node, input, joined);
    });
  }
};
