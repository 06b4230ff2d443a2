/**
 * Products and convolutions that took a neighbour in:
 *
 *   com.microsoft.FusedMatMul   alpha A' B', each operand perhaps with its last two axes swapped (transA, transB) or
 *                               its first one moved before the last (transBatchA, transBatchB)
 *   com.microsoft.FusedGemm     activation(Gemm)
 *   com.microsoft.FusedConv     activation(Conv + Z)
 *
 * Source: ONNX Runtime, ContribOperators.md. Activations other than the ones named here are left alone.
 */
import type { Attr, Node, ValueName } from '../../src/graph/model.ts';
import { floatAttr, floatOf, intOf, stringOf } from '../../src/graph/tensors.ts';
import { declinable, decline, dimsOf, floatType, scalar, type Lowering, type LoweringContext } from './lowering.ts';

const moved = (c: LoweringContext, input: 0 | 1): ValueName => {
  const side = input === 0 ? 'A' : 'B';
  const swaps = intOf(c.node, `trans${side}`, 0) === 1;
  const batches = intOf(c.node, `transBatch${side}`, 0) === 1;
  if (!swaps && !batches) return c.input(input);
  const rank = dimsOf(c, input).length;
  if (rank < 2) return decline('one of its operands is a vector');
  const axes = Array.from({ length: rank }, (_, i) => i);
  const last = rank - 1;
  const laid = batches && rank > 2 ? [...axes.slice(1, last), 0, last] : axes;
  const perm = swaps ? [...laid.slice(0, -2), laid[last] as number, laid[last - 1] as number] : laid;
  return perm.every((from, to) => from === to) ? c.input(input) : c.e.transpose(c.input(input), perm);
};

export const fusedMatMul: Lowering = {
  op: 'com.microsoft.FusedMatMul',
  streams: [0, 1],
  lower: declinable((c) => {
    const product = c.e.op('MatMul', [moved(c, 0), moved(c, 1)]);
    const alpha = floatOf(c.node, 'alpha', 1);
    return [alpha === 1 ? product : c.e.op('Mul', [product, scalar(c, floatType(c, 0), alpha)])];
  }),
};

const activated = (c: LoweringContext, x: ValueName, alpha: number): ValueName => {
  const name = stringOf(c.node, 'activation');
  switch (name) {
    case undefined:
    case '':
      return x;
    case 'Relu':
    case 'Tanh':
    case 'Sigmoid':
      return c.e.op(name, [x]);
    case 'LeakyRelu':
      return c.e.op(name, [x], { alpha: floatAttr(alpha) });
    default:
      return decline(`its activation is ${name}`);
  }
};

const own = (node: Node, names: readonly string[]): Readonly<Record<string, Attr>> =>
  Object.fromEntries(Object.entries(node.attrs).filter(([name]) => names.includes(name)));

export const fusedGemm: Lowering = {
  op: 'com.microsoft.FusedGemm',
  streams: [0],
  lower: declinable((c) => {
    const product = c.e.op('Gemm', c.node.inputs, own(c.node, ['alpha', 'beta', 'transA', 'transB']));
    return [activated(c, product, floatOf(c.node, 'activation_alpha', 0.01))];
  }),
};

const convolutionAttributes = ['auto_pad', 'dilations', 'group', 'kernel_shape', 'pads', 'strides'];

export const fusedConv: Lowering = {
  op: 'com.microsoft.FusedConv',
  streams: [],
  lower: declinable((c) => {
    const inputs = [0, 1, 2].map(c.input);
    const conv = c.e.op('Conv', inputs[2] === '' ? inputs.slice(0, 2) : inputs, own(c.node, convolutionAttributes));
    const sum = c.input(3) === '' ? conv : c.e.op('Add', [conv, c.input(3)]);
    const parameters = c.node.attrs['activation_params'];
    return [activated(c, sum, parameters?.kind === 'floats' ? (parameters.value[0] ?? 0.01) : 0.01)];
  }),
};
