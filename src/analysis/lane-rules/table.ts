/**
 * The one table of what each operator does to a token axis. An operator that is not here stops the trace; on
 * shortened tokens that is a refusal.
 */
import type { Node } from '../../graph/model.ts';
import type { LaneRule } from './context.ts';
import { concat, expand, reshape, squeeze, transpose, unsqueeze } from './layout.ts';
import { elementwise, normalisation, softmax, unary } from './pointwise.ts';
import { gemm, matMul, packedProduct } from './products.ts';
import { alongAxis, gather, gatherByData, reduction, slice, split } from './reads.ts';
import { tokenReduce } from './reducer.ts';

/** Outputs that hold no tokens: what they say of a length is local to the value they read. */
const none: LaneRule = (c) => c.node.outputs.map(() => undefined);

const each = (ops: readonly string[], rule: LaneRule): readonly (readonly [string, LaneRule])[] =>
  ops.map((op) => [op, rule] as const);

const rules: ReadonlyMap<string, LaneRule> = new Map([
  ...each(
    [
      'Add',
      'Sub',
      'Mul',
      'Div',
      'Pow',
      'Max',
      'Min',
      'Sum',
      'Mean',
      'Mod',
      'Where',
      'And',
      'Or',
      'Xor',
      'Equal',
      'Greater',
      'GreaterOrEqual',
      'Less',
      'LessOrEqual',
      'PRelu',
    ],
    elementwise,
  ),
  ...each(
    [
      'Abs',
      'Cast',
      'CastLike',
      'Ceil',
      'Clip',
      'Cos',
      'Dropout',
      'Elu',
      'Erf',
      'Exp',
      'Floor',
      'Gelu',
      'HardSigmoid',
      'HardSwish',
      'Identity',
      'IsInf',
      'IsNaN',
      'LeakyRelu',
      'Log',
      'Mish',
      'Neg',
      'Not',
      'Reciprocal',
      'Relu',
      'Round',
      'Selu',
      'Sigmoid',
      'Sign',
      'Sin',
      'Softplus',
      'Softsign',
      'Sqrt',
      'Swish',
      'Tanh',
      'ThresholdedRelu',
    ],
    unary,
  ),
  ...each(['LayerNormalization', 'RMSNormalization', 'LpNormalization'], normalisation),
  ...each(['Softmax', 'LogSoftmax', 'Hardmax'], softmax),
  ...each(
    [
      'ReduceMean',
      'ReduceSum',
      'ReduceMax',
      'ReduceMin',
      'ReduceProd',
      'ReduceL1',
      'ReduceL2',
      'ReduceSumSquare',
      'ReduceLogSum',
      'ReduceLogSumExp',
      'ArgMax',
      'ArgMin',
    ],
    reduction,
  ),
  ...each(['Reshape', 'Flatten'], reshape),
  ...each(['GatherElements', 'GatherND'], gatherByData),
  ...each(['CumSum', 'TopK'], alongAxis),
  ...each(['Shape', 'Size', 'ConstantOfShape', 'EyeLike'], none),
  ['Transpose', transpose],
  ['Unsqueeze', unsqueeze],
  ['Squeeze', squeeze],
  ['Expand', expand],
  ['Concat', concat],
  ['MatMul', matMul],
  ['Gemm', gemm],
  ['Gather', gather],
  ['Slice', slice],
  ['Split', split],
  ['com.microsoft.Gelu', unary],
  ['com.microsoft.FastGelu', elementwise],
  ['com.microsoft.BiasGelu', elementwise],
  ['com.microsoft.QuickGelu', unary],
  ['com.microsoft.MatMulNBits', packedProduct],
  ['ai.pumer.TokenReduce', tokenReduce],
]);

export const laneRuleOf = (node: Node): LaneRule | undefined =>
  rules.get(node.domain === '' ? node.op : `${node.domain}.${node.op}`);
