/**
 * Normalisations over the last axis in any opset:
 *
 *   layerNorm(x) = (x - mean) / sqrt(mean((x - mean)^2) + eps) * gamma + beta        an operator from opset 17 on
 *   rmsNorm(x)   = x / sqrt(mean(x^2) + eps) * gamma                                 an operator from opset 23 on
 *
 * Before, in their parts, as exporters write them; float16 is computed in float32, as the fused kernels do.
 */
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { floatAttr, intAttr } from '../../src/graph/tensors.ts';
import type { LoweringContext } from './lowering.ts';

const inSingle = (
  { e }: LoweringContext,
  type: DataType,
  x: ValueName,
  write: (x: ValueName) => ValueName,
): ValueName => (type === DataType.FLOAT ? write(x) : e.cast(write(e.cast(x, DataType.FLOAT)), type));

const meanSquare = ({ e }: LoweringContext, x: ValueName): ValueName =>
  e.reduce('ReduceMean', e.op('Mul', [x, x]), [-1], true);

const root = ({ e }: LoweringContext, square: ValueName, epsilon: number): ValueName =>
  e.op('Sqrt', [e.op('Add', [square, e.float(epsilon)])]);

export const layerNorm = (
  c: LoweringContext,
  x: ValueName,
  type: DataType,
  gamma: ValueName,
  beta: ValueName,
  epsilon: number,
): ValueName => {
  const { e } = c;
  if (e.opset >= 17)
    return e.op('LayerNormalization', beta === '' ? [x, gamma] : [x, gamma, beta], {
      axis: intAttr(-1),
      epsilon: floatAttr(epsilon),
    });
  const normed = inSingle(c, type, x, (wide) => {
    const centred = e.op('Sub', [wide, e.reduce('ReduceMean', wide, [-1], true)]);
    return e.op('Div', [centred, root(c, meanSquare(c, centred), epsilon)]);
  });
  const scaled = e.op('Mul', [normed, gamma]);
  return beta === '' ? scaled : e.op('Add', [scaled, beta]);
};

export const rmsNorm = (
  c: LoweringContext,
  x: ValueName,
  type: DataType,
  gamma: ValueName,
  epsilon: number,
): ValueName => {
  const { e } = c;
  if (e.opset >= 23) return e.op('RMSNormalization', [x, gamma], { axis: intAttr(-1), epsilon: floatAttr(epsilon) });
  const normed = inSingle(c, type, x, (wide) => e.op('Div', [wide, root(c, meanSquare(c, wide), epsilon)]));
  return e.op('Mul', [normed, gamma]);
};
