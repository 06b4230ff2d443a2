/**
 * The one table of shape rules, by operator. An operator that is not here leaves a gap.
 */
import type { Node } from '../../graph/model.ts';
import {
  attention,
  groupQueryAttention,
  msAttention,
  multiHeadAttention,
  quantisedAttention,
  relativePositionBias,
} from './attention.ts';
import type { ShapeRule } from './context.ts';
import {
  constantOfShape,
  likeWithType,
  multinomial,
  oneHot,
  randomOfShape,
  range,
  shape,
  size,
  windowOfSize,
} from './generators.ts';
import {
  concat,
  depthToSpace,
  expand,
  flatten,
  pad,
  reshape,
  spaceToDepth,
  split,
  squeeze,
  tile,
  transpose,
  unsqueeze,
} from './layout.ts';
import { batchNorm, embedLayerNorm, groupNorm, layerNorm, skipLayerNorm } from './normalisation.ts';
import {
  cast,
  castLike,
  clip,
  comparison,
  dropout,
  elementwise,
  likeFirst,
  truthLikeFirst,
  where,
} from './pointwise.ts';
import {
  alwaysFloat,
  alwaysInt32,
  einsum,
  firstType,
  fusedMatMul,
  gemmOf,
  matMulOf,
  packedMatMul,
  typeAt,
} from './products.ts';
import {
  dequantize,
  dynamicQuantize,
  gatherQuantised,
  quantisedConcat,
  quantisedElementwise,
  quantisedUnary,
  quantize,
} from './quantised.ts';
import { recurrent } from './recurrent.ts';
import { argExtreme, cumSum, reduce } from './reductions.ts';
import { tokenMap, tokenReduce } from './reducer.ts';
import {
  compress,
  gather,
  gatherElements,
  gatherND,
  nonMaxSuppression,
  nonZero,
  slice,
  topK,
  unique,
} from './selection.ts';
import { col2Im, convOf, convTranspose, globalPool, gridSample, pool, resize, roiAlign } from './windows.ts';

const each = (ops: string, rule: ShapeRule, domain = ''): readonly (readonly [string, ShapeRule])[] =>
  ops.split(' ').map((op) => [domain === '' ? op : `${domain}.${op}`, rule] as const);
const microsoft = (ops: string, rule: ShapeRule): readonly (readonly [string, ShapeRule])[] =>
  each(ops, rule, 'com.microsoft');

/** Only the first input counts: what the other inputs hold is parameters of the same shape or smaller. */
const keepsShape =
  'Abs Acos Acosh Asin Asinh Atan Atanh Celu Ceil Cos Cosh Elu Erf Exp Floor Gelu GroupNormalization HardSigmoid HardSwish ' +
  'Hardmax Identity InstanceNormalization LRN LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg ' +
  'PRelu Reciprocal Relu ReverseSequence RotaryEmbedding Round ScatterElements Scatter ScatterND Selu Shrink Sigmoid Sign Sin ' +
  'Sinh Softmax Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu Trilu BitwiseNot';

const rules: ReadonlyMap<string, ShapeRule> = new Map([
  ...each(keepsShape, likeFirst),
  ...each('Add Sub Mul Div Pow Mod Max Min Sum Mean BitwiseAnd BitwiseOr BitwiseXor BitShift', elementwise),
  ...each('And Or Xor Equal Less LessOrEqual Greater GreaterOrEqual', comparison),
  ...each('Not IsNaN IsInf', truthLikeFirst),
  ...each('Where', where),
  ...each('Cast', cast),
  ...each('CastLike', castLike),
  ...each('Clip', clip),
  ...each('Dropout', dropout),
  ...each('Shape', shape),
  ...each('Size', size),
  ...each('ConstantOfShape', constantOfShape),
  ...each('Range', range),
  ...each('EyeLike RandomNormalLike RandomUniformLike Bernoulli', likeWithType),
  ...each('RandomNormal RandomUniform', randomOfShape),
  ...each('Multinomial', multinomial),
  ...each('HannWindow HammingWindow BlackmanWindow', windowOfSize),
  ...each('OneHot', oneHot),
  ...each('Reshape', reshape),
  ...each('Flatten', flatten),
  ...each('Transpose', transpose),
  ...each('Unsqueeze', unsqueeze),
  ...each('Squeeze', squeeze),
  ...each('Concat', concat),
  ...each('Split', split),
  ...each('Expand', expand),
  ...each('Tile', tile),
  ...each('Pad', pad),
  ...each('DepthToSpace', depthToSpace),
  ...each('SpaceToDepth', spaceToDepth),
  ...each('Gather', gather),
  ...each('GatherElements', gatherElements),
  ...each('GatherND', gatherND),
  ...each('Slice', slice),
  ...each('TopK', topK),
  ...each('NonZero', nonZero),
  ...each('Compress', compress),
  ...each('Unique', unique),
  ...each('NonMaxSuppression', nonMaxSuppression),
  ...each(
    'ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceSumSquare',
    reduce,
  ),
  ...each('ArgMax ArgMin', argExtreme),
  ...each('CumSum', cumSum),
  ...each('MatMul', matMulOf(0, 1, firstType)),
  ...each('MatMulInteger', matMulOf(0, 1, alwaysInt32)),
  ...each('QLinearMatMul', matMulOf(0, 3, typeAt(7))),
  ...each('Gemm', gemmOf(1, firstType)),
  ...each('Einsum', einsum),
  ...each('Conv', convOf(1, firstType)),
  ...each('ConvInteger', convOf(1, alwaysInt32)),
  ...each('QLinearConv', convOf(3, typeAt(7))),
  ...each('ConvTranspose', convTranspose),
  ...each('MaxPool AveragePool LpPool', pool),
  ...each('GlobalAveragePool GlobalMaxPool GlobalLpPool', globalPool),
  ...each('Resize Upsample', resize),
  ...each('GridSample', gridSample),
  ...each('RoiAlign', roiAlign),
  ...each('Col2Im', col2Im),
  ...each('LSTM GRU RNN', recurrent),
  // ONNX Runtime writes its own SimplifiedLayerNormalization into the default domain.
  ...each('LayerNormalization RMSNormalization SimplifiedLayerNormalization', layerNorm),
  ...each('BatchNormalization', batchNorm),
  ...each('Attention', attention),
  ...each('QuantizeLinear', quantize),
  ...each('DequantizeLinear', dequantize),
  ...each('DynamicQuantizeLinear', dynamicQuantize),
  ...microsoft('Gelu QuickGelu FastGelu BiasGelu BiasSoftmax BiasAdd RotaryEmbedding Trilu', likeFirst),
  ...microsoft('SkipLayerNormalization SkipSimplifiedLayerNormalization', skipLayerNorm),
  ...microsoft('EmbedLayerNormalization', embedLayerNorm),
  ...microsoft('GroupNorm SkipGroupNorm', groupNorm),
  ...microsoft('FusedMatMul', fusedMatMul),
  ...microsoft('FusedGemm', gemmOf(1, firstType)),
  ...microsoft('FusedConv', convOf(1, firstType)),
  ...microsoft('MatMulNBits MatMulBnb4', packedMatMul),
  ...microsoft('DynamicQuantizeMatMul', matMulOf(0, 1, alwaysFloat)),
  ...microsoft('MatMulIntegerToFloat', matMulOf(0, 1, typeAt(2))),
  ...microsoft('QGemm', gemmOf(3, typeAt(8))),
  ...microsoft('QLinearAdd QLinearMul', quantisedElementwise),
  ...microsoft('QLinearSigmoid QLinearSoftmax QLinearLeakyRelu', quantisedUnary),
  ...microsoft('QLinearConcat', quantisedConcat),
  ...microsoft('QuantizeLinear', quantize),
  ...microsoft('DequantizeLinear', dequantize),
  ...microsoft('GatherBlockQuantized', gatherQuantised),
  ...microsoft('Attention', msAttention),
  ...microsoft('QAttention', quantisedAttention),
  ...microsoft('MultiHeadAttention', multiHeadAttention),
  ...microsoft('GroupQueryAttention', groupQueryAttention),
  ...microsoft('RelativePositionBias', relativePositionBias),
  ...each('TokenReduce TokenReduceQK', tokenReduce, 'ai.pumer'),
  ...each('TokenMap', tokenMap, 'ai.pumer'),
]);

export const shapeRuleOf = (node: Pick<Node, 'op' | 'domain'>): ShapeRule | undefined =>
  rules.get(node.domain === '' ? node.op : `${node.domain}.${node.op}`);
