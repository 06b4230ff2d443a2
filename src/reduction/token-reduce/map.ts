/**
 * Another value of the same tokens follows a reduction (semantics.md, Values joined to shortened tokens): the rows of
 * the survivors, averaged with the rows of what was merged into them, by the weights the lane had there. Decides
 * nothing: which token went where comes from the reduction's own outputs.
 */
import type { Emitter } from '../../graph/emit.ts';
import { DataType, type ValueName } from '../../graph/model.ts';
import type { Semantics } from '../plan.ts';
import type { TokenMapInputs } from './contract.ts';
import { emitMeans, wideOf } from './merge.ts';

/** [B, k, D] from tokens [B, n, D]; opset 11 and up. Pruned tokens leave no trace, not even a NaN. */
export const emitTokenMap = (
  e: Emitter,
  inputs: TokenMapInputs,
  { semantics, dataType }: { readonly semantics: Semantics; readonly dataType: DataType },
): ValueName => {
  const wide = wideOf(e, dataType);
  const tokens = wide.from(inputs.tokens, dataType);
  const weight = wide.from(inputs.weight, DataType.FLOAT);
  const { target, position } = inputs;
  const upTo = (x: ValueName): ValueName => e.op('Range', [e.int64(0), e.squeeze(e.length(x, 1), [0]), e.int64(1)]);
  // goesInto[b, j, i]: token i ended at place j and is not the token that stands there.
  const there = e.op('Equal', [e.unsqueeze(target, [1]), e.unsqueeze(upTo(position), [1])]);
  const itself = e.op('Equal', [e.unsqueeze(position, [2]), upTo(target)]);
  const goesInto = e.op('And', [there, e.op('Not', [itself])]);
  const isSource = e.op('Greater', [e.reduce('ReduceMax', e.cast(goesInto, DataType.FLOAT), [1], false), e.float(0)]);
  const { mean } = emitMeans(
    e,
    {
      kept: e.gatherRows(tokens, position),
      keptWeight: e.unsqueeze(e.gatherElements(weight, position), [2]),
      gone: e.op('Where', [e.unsqueeze(isSource, [2]), tokens, wide.scalar(0)]),
      goneWeight: e.unsqueeze(weight, [1]),
      goesInto,
    },
    semantics,
    wide,
  );
  return dataType === wide.type ? mean : e.cast(mean, dataType);
};
