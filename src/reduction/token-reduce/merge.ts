/**
 * Last part of the reducer's body: moves and averages the tokens as the matching says. Sums are one-hot products, so
 * their order is fixed (scatter-additions on a GPU are not); a token nothing is merged into keeps its very bits.
 */
import type { Emitter } from '../../graph/emit.ts';
import { DataType, type ValueName } from '../../graph/model.ts';
import type { Semantics } from '../plan.ts';
import type { TokenReduceInputs } from './contract.ts';
import type { Matching } from './match.ts';

/**
 * reduced [B, keep - merge, D] and its weights [B, keep - merge].
 * `pumer` rule 3: y = (x + sum of sources) / (1 + their number), and the weight (the mask) is averaged the same way.
 * Safe rule 2: y = (w x + sum of w_s x_s) / (w + sum of w_s) and w + sum of w_s; where no source has a size, y = x.
 */
export const emitMerged = (
  e: Emitter,
  inputs: TokenReduceInputs,
  { survivors, sources, destinations }: Matching,
  semantics: Semantics,
  dataType: DataType,
): { reduced: ValueName; weight: ValueName } => {
  // 16-bit tokens are averaged in float32 and rounded once; double ones stay double.
  const wide = dataType === DataType.DOUBLE ? DataType.DOUBLE : DataType.FLOAT;
  const asWide = (x: ValueName, from: DataType): ValueName => (from === wide ? x : e.cast(x, wide));
  const scalar = (x: number): ValueName => asWide(e.float(x), DataType.FLOAT);
  const tokens = asWide(inputs.tokens, dataType);
  const weight = asWide(inputs.weight, DataType.FLOAT);

  const kept = e.gatherRows(tokens, survivors);
  const gone = e.gatherRows(tokens, sources);
  const keptWeight = e.unsqueeze(e.gatherElements(weight, survivors), [2]);
  const goneWeight = e.unsqueeze(e.gatherElements(weight, sources), [1]);

  // minus[b, j, i] = -1 where source i goes into survivor j. Negative, because x - (+0) is x for every x and x + 0 is
  // not: so a token nothing is merged into keeps its bits without a selection over all of them.
  const goesInto = e.op('Equal', [e.unsqueeze(survivors, [2]), e.unsqueeze(destinations, [1])]);
  const minus = e.op('Where', [goesInto, scalar(-1), scalar(0)]);
  const minusWeight = e.op('Mul', [minus, goneWeight]);
  const minusAdded = e.reduce('ReduceSum', minusWeight, [2], true);
  const sumWeight = e.op('Sub', [keptWeight, minusAdded]);

  let mean: ValueName;
  let outWeight = sumWeight;
  if (semantics === 'pumer') {
    const count = e.op('Sub', [scalar(1), e.reduce('ReduceSum', minus, [2], true)]);
    mean = e.op('Div', [e.op('Sub', [kept, e.op('MatMul', [minus, gone])]), count]);
    outWeight = e.op('Div', [sumWeight, count]);
  } else {
    const grows = e.op('Less', [minusAdded, scalar(0)]);
    const own = e.op('Mul', [kept, e.op('Where', [grows, keptWeight, scalar(1)])]);
    const sum = e.op('Sub', [own, e.op('MatMul', [minusWeight, gone])]);
    mean = e.op('Div', [sum, e.op('Where', [grows, sumWeight, scalar(1)])]);
  }
  outWeight = e.squeeze(outWeight, [2]);
  return {
    reduced: dataType === wide ? mean : e.cast(mean, dataType),
    weight: wide === DataType.FLOAT ? outWeight : e.cast(outWeight, DataType.FLOAT),
  };
};
