/**
 * Last part of the reducer's body: moves and averages the tokens as the matching says. Sums are one-hot products, so
 * their order is fixed (scatter-additions on a GPU are not); a token nothing is merged into keeps its very bits.
 * map.ts averages other values of the same tokens by the same equations.
 */
import type { Emitter } from '../../graph/emit.ts';
import { DataType, type ValueName } from '../../graph/model.ts';
import type { Semantics } from '../plan.ts';
import type { TokenReduceInputs } from './contract.ts';
import type { Matching } from './match.ts';

/** The type means are computed in: 16-bit values are averaged in float32 and rounded once; double ones stay double. */
export interface Wide {
  readonly type: DataType;
  readonly from: (x: ValueName, from: DataType) => ValueName;
  readonly scalar: (x: number) => ValueName;
}

export const wideOf = (e: Emitter, dataType: DataType): Wide => {
  const type = dataType === DataType.DOUBLE ? DataType.DOUBLE : DataType.FLOAT;
  const from = (x: ValueName, given: DataType): ValueName => (given === type ? x : e.cast(x, type));
  return { type, from, scalar: (x) => from(e.float(x), DataType.FLOAT) };
};

/** Rows that stay, rows that may go into them, and which do. All in the wide type. */
export interface Groups {
  /** [B, k, D] and its weights [B, k, 1]. */
  readonly kept: ValueName;
  readonly keptWeight: ValueName;
  /** [B, s, D] and its weights [B, 1, s]. */
  readonly gone: ValueName;
  readonly goneWeight: ValueName;
  /** bool [B, k, s] */
  readonly goesInto: ValueName;
}

/**
 * Means [B, k, D] and their weights [B, k, 1].
 * `pumer` rule 3: y = (x + sum of sources) / (1 + their number), and the weight (the mask) is averaged the same way.
 * Safe rule 2: y = (w x + sum of w_s x_s) / (w + sum of w_s) and w + sum of w_s; where no source has a size, y = x.
 */
export const emitMeans = (
  e: Emitter,
  { kept, keptWeight, gone, goneWeight, goesInto }: Groups,
  semantics: Semantics,
  { scalar }: Wide,
): { mean: ValueName; weight: ValueName } => {
  // minus[b, j, i] = -1 where source i goes into survivor j. Negative, because x - (+0) is x for every x and x + 0 is
  // not: so a token nothing is merged into keeps its bits without a selection over all of them.
  const minus = e.op('Where', [goesInto, scalar(-1), scalar(0)]);
  const minusWeight = e.op('Mul', [minus, goneWeight]);
  const minusAdded = e.reduce('ReduceSum', minusWeight, [2], true);
  const sumWeight = e.op('Sub', [keptWeight, minusAdded]);
  if (semantics === 'pumer') {
    const count = e.op('Sub', [scalar(1), e.reduce('ReduceSum', minus, [2], true)]);
    const mean = e.op('Div', [e.op('Sub', [kept, e.op('MatMul', [minus, gone])]), count]);
    return { mean, weight: e.op('Div', [sumWeight, count]) };
  }
  const grows = e.op('Less', [minusAdded, scalar(0)]);
  const own = e.op('Mul', [kept, e.op('Where', [grows, keptWeight, scalar(1)])]);
  const sum = e.op('Sub', [own, e.op('MatMul', [minusWeight, gone])]);
  return { mean: e.op('Div', [sum, e.op('Where', [grows, sumWeight, scalar(1)])]), weight: sumWeight };
};

/** reduced [B, keep - merge, D] and its weights [B, keep - merge]. */
export const emitMerged = (
  e: Emitter,
  inputs: TokenReduceInputs,
  { survivors, sources, destinations }: Matching,
  semantics: Semantics,
  dataType: DataType,
): { reduced: ValueName; weight: ValueName } => {
  const wide = wideOf(e, dataType);
  const tokens = wide.from(inputs.tokens, dataType);
  const weight = wide.from(inputs.weight, DataType.FLOAT);
  const groups: Groups = {
    kept: e.gatherRows(tokens, survivors),
    gone: e.gatherRows(tokens, sources),
    keptWeight: e.unsqueeze(e.gatherElements(weight, survivors), [2]),
    goneWeight: e.unsqueeze(e.gatherElements(weight, sources), [1]),
    goesInto: e.op('Equal', [e.unsqueeze(survivors, [2]), e.unsqueeze(destinations, [1])]),
  };
  const made = emitMeans(e, groups, semantics, wide);
  const outWeight = e.squeeze(made.weight, [2]);
  return {
    reduced: dataType === wide.type ? made.mean : e.cast(made.mean, dataType),
    weight: wide.type === DataType.FLOAT ? outWeight : e.cast(outWeight, DataType.FLOAT),
  };
};
