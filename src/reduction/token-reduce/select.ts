/**
 * First part of the reducer's body: how much the text looks at each token, and which tokens are kept for matching,
 * in the order in which they are matched. Indices only; no token is moved here.
 */
import type { Emitter } from '../../graph/emit.ts';
import { DataType, type ValueName } from '../../graph/model.ts';
import { intAttr } from '../../graph/tensors.ts';
import type { Semantics } from '../plan.ts';
import type { TokenReduceInputs } from './contract.ts';

/** The lowest finite float32: where a NaN score ranks, below every number and above "never" (-Infinity). */
const LOWEST = -3.4028234663852886e38;

/** A position that no lane has, within int32. */
const BEYOND = 2 ** 31 - 1;

/** x with NaN replaced by `value`. */
export const withoutNaN = (e: Emitter, x: ValueName, value: number): ValueName =>
  e.op('Where', [e.op('IsNaN', [x]), e.float(value), x]);

/**
 * Saliency s [B, n], times the number of heads (a constant, so no decision changes), from `attention` [B|1, H, R, n|1]:
 *     s = sum_r u_r (sum_h attention[b, h, r, :]) / sum_r row_weight[b, r]
 * u = 1 in `pumer` (all text rows, PAD included), u = row_weight in `safe` (safe rule 2). NaN ranks last.
 */
const emitSaliency = (e: Emitter, inputs: TokenReduceInputs, attention: ValueName, semantics: Semantics): ValueName => {
  const looks =
    semantics === 'pumer'
      ? e.reduce('ReduceSum', attention, [1, 2], false)
      : e.reduce(
          'ReduceSum',
          e.op('Mul', [e.reduce('ReduceSum', attention, [1], false), e.unsqueeze(inputs.rowWeight, [2])]),
          [1],
          false,
        );
  const s = e.op('Div', [looks, e.reduce('ReduceSum', inputs.rowWeight, [1], true)]);
  return e.op('Expand', [withoutNaN(e, s, LOWEST), e.op('Shape', [inputs.weight])]);
};

/** max(a - b, 0) of int64[1]; integer Max exists from opset 12 on. */
const minusButNotBelowZero = (e: Emitter, a: ValueName, b: ValueName): ValueName => {
  const difference = e.op('Sub', [a, b]);
  const zero = e.int64s([0]);
  return e.opset >= 12
    ? e.op('Max', [difference, zero])
    : e.op('Where', [e.op('Less', [difference, zero]), zero, difference]);
};

/** Which positions are protected, bool [n]; a position may be named twice, or beyond the end. */
export const emitIsProtected = (e: Emitter, inputs: TokenReduceInputs): ValueName => {
  // One more position, beyond every end: older ONNX Runtimes crash on a OneHot of nothing (seen with 1.20).
  const positions = e.concat([inputs.protected, e.int64s([BEYOND])], 0);
  const marks = e.op('OneHot', [positions, e.length(inputs.weight, 1), e.floats([0, 1])], { axis: intAttr(-1) });
  return e.cast(e.reduce('ReduceSum', marks, [0], false), DataType.BOOL);
};

/** `pumer` rule 2: the positions [B, keep] of the most salient tokens, best first. */
export const emitMostSalient = (e: Emitter, inputs: TokenReduceInputs, attention: ValueName): ValueName =>
  e.topK(emitSaliency(e, inputs, attention, 'pumer'), inputs.keep, true).indices;

/** Safe rule 3: the positions [B, keep - c] of the most salient of the unprotected tokens, in original order. */
export const emitUnprotected = (
  e: Emitter,
  inputs: TokenReduceInputs,
  attention: ValueName,
  isProtected: ValueName,
): ValueName => {
  const scores = e.op('Where', [isProtected, e.float(-Infinity), emitSaliency(e, inputs, attention, 'safe')]);
  const k = minusButNotBelowZero(e, inputs.keep, e.op('Shape', [inputs.protected]));
  return e.topK(e.topK(scores, k, true).indices, k, false).values;
};
