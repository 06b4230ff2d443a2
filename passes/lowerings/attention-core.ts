/**
 * The arithmetic all fused attentions share, written as exporters write it:
 *
 *   softmax(scale Q K^T + mask + bias) V          Q [B,H,S,d]  K [B,H,L,d]  V [B,H,L,e]
 */
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { intAttr } from '../../src/graph/tensors.ts';

/** [B, L, H d] to [B, H, L, d]. */
export const splitHeads = (e: Emitter, x: ValueName, heads: number, size: number): ValueName =>
  e.transpose(e.op('Reshape', [x, e.int64s([0, 0, heads, size])]), [0, 2, 1, 3]);

/** [B, H, L, d] to [B, L, H d]. */
export const mergeHeads = (e: Emitter, x: ValueName, width: number): ValueName =>
  e.op('Reshape', [e.transpose(x, [0, 2, 1, 3]), e.int64s([0, 0, width])]);

export interface Attended {
  readonly scores: ValueName;
  readonly probabilities: ValueName;
  /** [B, H, S, e] */
  readonly context: ValueName;
}

/** How the softmax is taken. */
export interface SoftmaxForm {
  /** Type of the operands. */
  readonly own: DataType;
  /** Type of the softmax; cast to and from where it is another one. */
  readonly softmax: DataType;
  /** What rows become that see no key at all; NaN where it is left out. */
  readonly hiddenRows?: ValueName;
}

/** `added` goes onto the scores in order. */
export const attend = (
  e: Emitter,
  q: ValueName,
  k: ValueName,
  v: ValueName,
  scale: ValueName | undefined,
  added: readonly ValueName[],
  form: SoftmaxForm,
): Attended => {
  const product = e.op('MatMul', [q, e.transpose(k, [0, 1, 3, 2])]);
  const scores = scale === undefined ? product : e.op('Mul', [product, scale]);
  const masked = added.reduce((sum, mask) => e.op('Add', [sum, mask]), scores);
  const single = form.own === form.softmax;
  const last = intAttr(e.opset < 13 ? 3 : -1);
  const soft = e.op('Softmax', [single ? masked : e.cast(masked, form.softmax)], { axis: last });
  const own = single ? soft : e.cast(soft, form.own);
  const probabilities =
    form.hiddenRows === undefined ? own : e.op('Where', [e.op('IsNaN', [own]), form.hiddenRows, own]);
  return { scores, probabilities, context: e.op('MatMul', [probabilities, v]) };
};
