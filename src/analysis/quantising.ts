/**
 * What casts and quantisers do to single numbers, exactly: rounding half to even, saturation, float16's range.
 * Only one scale and one zero point for the whole tensor; anything finer is undefined here.
 */
import { DataType, type Model, type Node, type ValueName } from '../graph/model.ts';
import { intOf, readNumbers } from '../graph/tensors.ts';
import { constantTensor } from '../graph/uses.ts';

/** QuantizeLinear or DequantizeLinear, ONNX's or (for 16 bits, before opset 21) ONNX Runtime's. */
export const isQuantiser = (node: Node): boolean =>
  (node.op === 'QuantizeLinear' || node.op === 'DequantizeLinear') &&
  (node.domain === '' || node.domain === 'com.microsoft');

const ranges: Readonly<Record<number, readonly [number, number]>> = {
  [DataType.UINT8]: [0, 255],
  [DataType.INT8]: [-128, 127],
  [DataType.UINT16]: [0, 65_535],
  [DataType.INT16]: [-32_768, 32_767],
};

const halfToEven = (x: number): number => {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
};

/** As ONNX's Cast. float16 and bfloat16 keep their range here, not their precision. */
export const cast = (value: number, to: DataType): number => {
  if (to === DataType.BOOL) return value !== 0 ? 1 : 0;
  if (to === DataType.FLOAT16) return Math.abs(value) >= 65_520 ? Math.sign(value) * Infinity : value;
  if (to === DataType.FLOAT || to === DataType.BFLOAT16) return Math.fround(value);
  return to === DataType.DOUBLE ? value : Math.trunc(value);
};

const only = (model: Model, value: ValueName | undefined): number | undefined => {
  const tensor = value === undefined || value === '' ? undefined : constantTensor(model, value);
  const numbers = tensor && readNumbers(tensor, 65_536);
  return numbers?.every((v) => v === numbers[0]) === true ? numbers[0] : undefined;
};

/** What a wrapper with an output of type `to` makes of one number; undefined where that depends on the data. */
export const carriedNumbers = (
  model: Model,
  node: Node,
  to: DataType | undefined,
): ((value: number) => number) | undefined => {
  if (node.op === 'Identity' || node.op === 'Dropout') return (value) => value;
  if (node.op === 'Cast') {
    const type = intOf(node, 'to', DataType.FLOAT);
    return (value) => cast(value, type);
  }
  if (!isQuantiser(node)) return undefined;
  const scale = only(model, node.inputs[1]);
  const zero = (node.inputs[2] ?? '') === '' ? 0 : only(model, node.inputs[2]);
  if (scale === undefined || zero === undefined || to === undefined) return undefined;
  if (node.op === 'DequantizeLinear') return (value) => cast((value - zero) * scale, to);
  const range = ranges[to];
  if (range === undefined) return undefined;
  const [lowest, highest] = range;
  return (value) => Math.min(Math.max(halfToEven(Math.fround(value / scale)) + zero, lowest), highest);
};
