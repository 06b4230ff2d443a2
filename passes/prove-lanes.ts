/**
 * The last word on a reduced graph: traces the lanes again and asks of every operator that touches shortened tokens
 * whether it is understood. Knows nothing of how the reductions got there; whatever is not proven is refused with
 * node, axis and reason (semantics.md, Always).
 */
import { findAttention, type AttentionPattern } from '../src/analysis/attention.ts';
import { isShortened, tokensOf } from '../src/analysis/labels.ts';
import type { LaneHints } from '../src/analysis/lane-births.ts';
import { lanesOf, readsShortened, type LaneEvent } from '../src/analysis/lanes.ts';
import { dimValue, sameDim } from '../src/analysis/dim.ts';
import { shapesOf } from '../src/analysis/shapes.ts';
import { sizesUsedAsData } from '../src/analysis/size-uses.ts';
import { CompileError } from '../src/diagnostics/diagnostic.ts';
import * as say from '../src/diagnostics/messages.ts';
import type { Model, Node, ValueName } from '../src/graph/model.ts';
import { usesOf } from '../src/graph/uses.ts';
import { isTokenReduce, TOKEN_REDUCE } from '../src/reduction/token-reduce/contract.ts';
import { invariant } from '../src/support/assert.ts';
import type { Settled } from './insertion/session.ts';

const describe = (node: Node): string => `${node.op}${node.name === '' ? '' : ` "${node.name}"`}`;

const refuse = (event: LaneEvent): never => {
  throw new CompileError(
    say.notUnderstood(describe(event.node), event.reason, {
      node: event.node.name,
      value: event.value,
      axis: event.axis,
    }),
  );
};

/** Throws a CompileError unless every operator on a shortened lane is proven to mean what it meant. */
export const proveLanes = (
  model: Model,
  hints: LaneHints,
  patterns: readonly AttentionPattern[],
  settled: Settled,
): void => {
  const lanes = lanesOf(model, hints);
  const { attentions } = findAttention(model, lanes, patterns);
  // Inside a recognised attention, work across keys is what attention is.
  const owned = new Set(attentions.flatMap((a) => [a.apply, ...a.owned]));
  const selfSeeing = new Set(attentions.flatMap((a) => a.selfSeeing ?? []));
  const isOurs = (node: Node): boolean => node.outputs.every((o) => settled.written.has(o));
  for (const event of lanes.events) {
    const { node, kind } = event;
    if (isOurs(node)) continue;
    const axis = lanes.of(event.value)?.[event.axis];
    const touched = kind === 'conflict' ? readsShortened(lanes, node) : axis !== undefined && isShortened(axis);
    if (!touched) continue;
    if (kind === 'mixes' && owned.has(node)) continue;
    if (kind === 'conflict' && selfSeeing.has(node) && agreesInLength(model, node)) continue;
    if (kind === 'read' && node.outputs.every((o) => settled.remapped.has(o) || !isRead(model, o))) continue;
    refuse(event);
  }
  // Reads that were rewired hold indices made of lengths, as the cuts that insertion wrote.
  const trusted = (node: Node): boolean =>
    owned.has(node) ||
    isOurs(node) ||
    node.domain === TOKEN_REDUCE.domain ||
    node.outputs.every((o) => settled.remapped.has(o));
  const [misused] = sizesUsedAsData(model, lanes, trusted);
  if (misused?.node !== undefined)
    refuse({
      node: misused.node,
      value: misused.value,
      axis: 0,
      kind: 'lost',
      reason: 'it computes with the number of tokens, which is another one now',
    });
  if (misused !== undefined) throw new CompileError(say.outputCountsTokens(misused.value));
  for (const node of model.graph.nodes) {
    // Were a shortened lane lost sight of, everything behind it would go unproven.
    const [tokens] = node.outputs;
    if (!isTokenReduce(node) || tokens === undefined) continue;
    const known = tokensOf(lanes.of(tokens)?.[1]);
    invariant(known?.length === 1 && known[0]?.version === tokens, `the tokens "${tokens}" cannot be traced`);
  }
  for (const { name } of model.graph.outputs)
    if (lanes.of(name)?.some(isShortened)) throw new CompileError(say.outputCarriesTokens(name, 'shortened'));
};

const isRead = (model: Model, value: ValueName): boolean =>
  usesOf(model.graph).isGraphOutput(value) ||
  usesOf(model.graph)
    .consumers(value)
    .some((u) => u.node.op !== 'Shape');

/** A mask part the attention pattern vouches for (an identity matrix) must at least have the scores' own lengths. */
const agreesInLength = (model: Model, node: Node): boolean => {
  const shapes = shapesOf(model);
  const [a, b] = node.inputs.map((v) => shapes.of(v)?.dims);
  if (a === undefined || b === undefined) return false;
  return [1, 2].every((back) => {
    const one = a[a.length - back];
    const two = b[b.length - back];
    if (one === undefined || two === undefined) return true;
    return sameDim(one, two) || dimValue(one) === 1 || dimValue(two) === 1;
  });
};
