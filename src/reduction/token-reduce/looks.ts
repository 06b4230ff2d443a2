/**
 * How much each text row looks at each token, float32 [B|1, H, R, n|1]: as the call gives it, or worked out from
 * queries and keys, as the attention itself does. Rows of a softmax do not know of one another, so the text rows alone
 * give the numbers that the whole attention would.
 */
import type { Emitter } from '../../graph/emit.ts';
import { DataType, type ValueName } from '../../graph/model.ts';
import { intAttr } from '../../graph/tensors.ts';
import type { QueryInputs, TokenReduceInputs } from './contract.ts';

/** In float32 whatever the attention's type: a float16 score of 20 has steps of 1/64, its exponential of 1.6 %. */
const emitRows = (e: Emitter, { queries, keys, bias, scale }: QueryInputs): ValueName => {
  const single = (x: ValueName): ValueName => e.cast(x, DataType.FLOAT);
  const scores = e.op('Mul', [e.op('MatMul', [single(queries), single(keys)]), scale]);
  return e.op('Softmax', [e.op('Add', [scores, single(bias)])], { axis: intAttr(-1) });
};

export const emitLooks = (e: Emitter, inputs: TokenReduceInputs): ValueName => {
  if ('attention' in inputs) return e.cast(inputs.attention, DataType.FLOAT);
  const end = e.op('Add', [inputs.first, e.length(inputs.weight, 1)]);
  return e.slice(emitRows(e, inputs), 3, inputs.first, end);
};
