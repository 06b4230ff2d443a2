/**
 * com.microsoft.EmbedLayerNormalization:
 *
 *   sum = word[ids] + position[positions] + segment[segments]     Y = layerNorm(sum)     outputs Y, counts, sum
 *
 * where positions are 0 .. S-1 unless given, and counts[b] is the number of ones in row b of the mask, 0 without a mask.
 * Source: ONNX Runtime, ContribOperators.md and its CPU kernel.
 */
import { DataType } from '../../src/graph/model.ts';
import { floatOf, intAttr } from '../../src/graph/tensors.ts';
import { declinable, floatType, type Lowering, type LoweringContext } from './lowering.ts';
import { layerNorm } from './norms.ts';

const lookup = ({ e }: LoweringContext, table: string, ids: string): string =>
  e.op('Gather', [table, ids], { axis: intAttr(0) });

const maskCounts = (c: LoweringContext): string | undefined => {
  if (!c.gives(1)) return undefined;
  const { e } = c;
  if (c.input(7) === '') return e.cast(e.op('ConstantOfShape', [e.length(c.input(0), 0)]), DataType.INT32);
  const ones = e.op('Equal', [e.cast(c.input(7), DataType.INT64), e.int64(1)]);
  return e.cast(e.reduce('ReduceSum', e.cast(ones, DataType.INT64), [1], false), DataType.INT32);
};

export const embedLayerNormalization: Lowering = {
  op: 'com.microsoft.EmbedLayerNormalization',
  streams: [],
  lower: declinable((c) => {
    const { e } = c;
    const type = floatType(c, 2);
    const words = lookup(c, c.input(2), c.input(0));
    const positions =
      c.input(8) === '' ? e.slice(c.input(3), 0, 0, e.length(c.input(0), 1)) : lookup(c, c.input(3), c.input(8));
    const placed = e.op('Add', [words, positions]);
    const sum = c.input(1) === '' ? placed : e.op('Add', [placed, lookup(c, c.input(4), c.input(1))]);
    const epsilon = floatOf(c.node, 'epsilon', 1e-12);
    return [layerNorm(c, sum, type, c.input(5), c.input(6), epsilon), maskCounts(c), c.gives(2) ? sum : undefined];
  }),
};
