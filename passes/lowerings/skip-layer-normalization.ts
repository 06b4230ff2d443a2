/**
 * com.microsoft.SkipLayerNormalization and SkipSimplifiedLayerNormalization:
 *
 *   sum = input + bias + skip      Y = norm(sum)         outputs Y, -, -, sum: the last is the residual stream
 *
 * Source: ONNX Runtime, ContribOperators.md. The bias joins first: it belongs to the projection in front. Mean and
 * deviation as outputs are left alone.
 */
import { DataType } from '../../src/graph/model.ts';
import { floatOf } from '../../src/graph/tensors.ts';
import { declinable, declineOutputs, floatType, type Lowering, type LoweringContext } from './lowering.ts';
import { layerNorm, rmsNorm } from './norms.ts';

const statistics = [
  [1, 'the means of its rows'],
  [2, 'the deviations of its rows'],
] as const;

const summed = (c: LoweringContext, bias: number): string => {
  const [input, skip] = [c.input(0), c.input(1)];
  const biased = c.input(bias) === '' ? input : c.e.op('Add', [input, c.input(bias)]);
  return c.e.op('Add', [biased, skip]);
};

export const skipLayerNormalization: Lowering = {
  op: 'com.microsoft.SkipLayerNormalization',
  streams: [0, 1],
  lower: declinable((c) => {
    const type: DataType = floatType(c, 0);
    declineOutputs(c, statistics);
    const sum = summed(c, 4);
    const epsilon = floatOf(c.node, 'epsilon', 1e-12);
    return [layerNorm(c, sum, type, c.input(2), c.input(3), epsilon), undefined, undefined, sum];
  }),
};

export const skipSimplifiedLayerNormalization: Lowering = {
  op: 'com.microsoft.SkipSimplifiedLayerNormalization',
  streams: [0, 1],
  lower: declinable((c) => {
    const type: DataType = floatType(c, 0);
    declineOutputs(c, statistics);
    const sum = summed(c, 3);
    return [rmsNorm(c, sum, type, c.input(2), floatOf(c.node, 'epsilon', 1e-12)), undefined, undefined, sum];
  }),
};
