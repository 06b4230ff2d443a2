/**
 * The one table of what each operator does to a token axis, in the classes that docs/operators.md lists. An operator
 * that is not here stops the trace; on shortened tokens that is a refusal.
 */
import type { Node } from '../../graph/model.ts';
import type { LaneRule } from './context.ts';
import { concat, expand, reshape, squeeze, transpose, unsqueeze } from './layout.ts';
import { oneHot, pad, scatterElements, tile } from './places.ts';
import { elementwise, meanVariance, normalisation, softmax, unary } from './pointwise.ts';
import { einsum, gemm, matMul, packedProduct } from './products.ts';
import {
  dynamicQuantizeMatMul,
  matMulInteger,
  matMulIntegerToFloat,
  qLinearMatMul,
  quantise,
  quantisedConcat,
  quantisedElementwise,
  quantiseDynamically,
} from './quantised.ts';
import { alongAxis, gather, gatherAlong, gatherByData, reduction, slice, split } from './reads.ts';
import { tokenMap, tokenReduce } from './reducer.ts';
import { batchNormalisation, onLastAxes, parametersAlong, perPicture, refuses } from './refusals.ts';

export type LaneClass =
  | 'token-wise'
  | 'reduces'
  | 'quantises'
  | 'reshapes'
  | 'reads-positions'
  | 'mixes-positions'
  | 'reads-sizes'
  | 'no-tokens'
  | 'not-followed'
  | 'shortens';

/** What each class promises, in the order of the documentation. */
export const laneClasses: Readonly<Record<LaneClass, string>> = {
  'token-wise': 'row i of the result depends on row i of the tokens and on no other',
  reduces:
    'adds up, compares or normalises along some axes: along features token-wise; along tokens refused, but for the softmax and products of a recognised attention',
  quantises:
    'rounds to few numbers: token-wise where the steps are in the file; where they are found from all tokens at once, only the rounding of one depends on others. Steps of their own for tokens are refused',
  reshapes: 'moves axes or puts tokens side by side: followed where every token stays in one piece, else refused',
  'reads-positions':
    'picks tokens, or treats them by where they stand: single protected tokens and cuts between lanes are rewired, all else is refused',
  'mixes-positions': 'a token meets others through their places: refused on any axis but a batch of whole pictures',
  'reads-sizes': 'sees only how many there are: followed to where the number is used as one, which is refused',
  'no-tokens': 'makes values of its own',
  'not-followed': 'bodies, sequences, strings and chance: refused',
  shortens: 'the reductions this compiler writes',
};

export interface LaneEntry {
  readonly is: LaneClass;
  readonly rule: LaneRule;
}

/** Outputs that hold no tokens: what they say of a length is local to the value they read. */
const none: LaneRule = (c) => c.node.outputs.map(() => undefined);

const entries = new Map<string, LaneEntry>();
const enter = (is: LaneClass, rule: LaneRule, ops: string, domain = ''): void => {
  for (const op of ops.split(/\s+/)) entries.set(domain === '' ? op : `${domain}.${op}`, { is, rule });
};
const microsoft = (is: LaneClass, rule: LaneRule, ops: string): void => enter(is, rule, ops, 'com.microsoft');

enter(
  'token-wise',
  elementwise,
  `Add Sub Mul Div Pow Max Min Sum Mean Mod Where And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual PRelu
   BitShift BitwiseAnd BitwiseOr BitwiseXor`,
);
enter(
  'token-wise',
  unary,
  `Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast CastLike Ceil Celu Clip Cos Cosh Dropout Elu Erf Exp Floor Gelu
   HardSigmoid HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid Sign
   Sin Sinh Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu`,
);
enter('token-wise', oneHot, 'OneHot');
microsoft('token-wise', quantisedElementwise, 'QLinearAdd QLinearMul');
microsoft('token-wise', unary, 'QLinearSigmoid QLinearLeakyRelu');
microsoft('token-wise', unary, 'Gelu QuickGelu');
microsoft('token-wise', elementwise, 'FastGelu BiasGelu BiasAdd');

enter('reduces', normalisation, 'LayerNormalization RMSNormalization SimplifiedLayerNormalization LpNormalization');
enter('reduces', meanVariance, 'MeanVarianceNormalization');
enter('reduces', softmax, 'Softmax LogSoftmax Hardmax');
enter(
  'reduces',
  reduction,
  `ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp
   ArgMax ArgMin`,
);
enter('reduces', matMul, 'MatMul');
enter('reduces', gemm, 'Gemm');
enter('reduces', einsum, 'Einsum');
enter('reduces', refuses('compares all tokens'), 'Det NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss');
enter('reduces', matMulInteger, 'MatMulInteger');
enter('reduces', qLinearMatMul, 'QLinearMatMul');
microsoft('reduces', packedProduct, 'MatMulNBits MatMulBnb4');
microsoft('reduces', matMulIntegerToFloat, 'MatMulIntegerToFloat');

enter('quantises', quantise, 'QuantizeLinear DequantizeLinear');
microsoft('quantises', quantise, 'QuantizeLinear DequantizeLinear');
enter('quantises', quantiseDynamically, 'DynamicQuantizeLinear');
microsoft('quantises', dynamicQuantizeMatMul, 'DynamicQuantizeMatMul');

enter('reshapes', reshape, 'Reshape Flatten');
enter('reshapes', transpose, 'Transpose');
enter('reshapes', unsqueeze, 'Unsqueeze');
enter('reshapes', squeeze, 'Squeeze');
enter('reshapes', expand, 'Expand');
enter('reshapes', concat, 'Concat');
microsoft('reshapes', quantisedConcat, 'QLinearConcat');
enter('reshapes', tile, 'Tile');

enter('reads-positions', gather, 'Gather');
microsoft('reads-positions', gatherAlong('gather_axis'), 'GatherBlockQuantized');
enter('reads-positions', gatherByData, 'GatherElements GatherND');
enter('reads-positions', slice, 'Slice');
enter('reads-positions', split, 'Split');
enter('reads-positions', pad, 'Pad');
enter('reads-positions', scatterElements, 'ScatterElements Scatter');
enter('reads-positions', refuses('writes tokens by position'), 'ScatterND TensorScatter');
enter('reads-positions', alongAxis, 'CumSum CumProd TopK');
enter('reads-positions', onLastAxes(2, 'keeps or drops tokens by position'), 'Trilu');
enter('reads-positions', refuses('picks tokens by what they hold'), 'Compress NonZero Unique NonMaxSuppression');
enter('reads-positions', refuses('reverses tokens'), 'ReverseSequence');
enter('reads-positions', refuses('crops or pads the tokens'), 'CenterCropPad');
enter('reads-positions', refuses('turns each token by its place'), 'RotaryEmbedding');
enter('reads-positions', batchNormalisation, 'BatchNormalization');
microsoft('reads-positions', refuses('turns each token by its place'), 'RotaryEmbedding GemmaRotaryEmbedding MRotaryEmbedding'); // prettier-ignore
microsoft('reads-positions', refuses('depends on how far apart tokens are'), 'RelativePositionBias GatedRelativePositionBias'); // prettier-ignore
microsoft('reads-positions', refuses('packs tokens by what a mask says of them'), 'RemovePadding RestorePadding');
microsoft('reads-positions', onLastAxes(2, 'keeps or drops tokens by position'), 'Trilu');

enter('mixes-positions', perPicture('mixes neighbouring tokens'), 'Conv ConvInteger ConvTranspose AveragePool MaxPool LpPool'); // prettier-ignore
enter('mixes-positions', perPicture('takes all tokens together'), 'GlobalAveragePool GlobalMaxPool GlobalLpPool InstanceNormalization GroupNormalization'); // prettier-ignore
enter('mixes-positions', perPicture('lays tokens out as a grid'), 'Resize Upsample DepthToSpace SpaceToDepth Col2Im');
enter(
  'mixes-positions',
  parametersAlong(() => 1, 'mixes neighbouring tokens'),
  'LRN',
);
enter('mixes-positions', refuses('mixes neighbouring tokens'), 'DeformConv QLinearConv MaxUnpool STFT DFT');
enter('mixes-positions', refuses('samples a grid of tokens'), 'GridSample AffineGrid RoiAlign MaxRoiPool');
enter('mixes-positions', refuses('goes through the tokens one after another'), 'LSTM GRU RNN TfIdfVectorizer');
enter('mixes-positions', refuses('works across the tokens inside one operator'), 'Attention LinearAttention CausalConvWithState'); // prettier-ignore
microsoft(
  'mixes-positions',
  refuses('works across the tokens inside one operator'),
  `Attention MultiHeadAttention QAttention PackedAttention PackedMultiHeadAttention DecoderAttention
   DecoderMaskedMultiHeadAttention DecoderMaskedSelfAttention GroupQueryAttention SparseAttention PagedAttention
   LongformerAttention LinearAttention`,
);
microsoft('mixes-positions', perPicture('takes all tokens together'), 'GroupNorm SkipGroupNorm');
microsoft('mixes-positions', refuses('mixes neighbouring tokens'), 'FusedConv NhwcConv NhwcFusedConv NhwcMaxPool QLinearAveragePool QLinearGlobalAveragePool QLinearConv'); // prettier-ignore
microsoft('mixes-positions', refuses('samples a grid of tokens'), 'GridSample CropAndResize UnfoldTensor');

enter('reads-sizes', none, 'Shape Size EyeLike ConstantOfShape');

enter(
  'no-tokens',
  none,
  'Constant Range RandomNormal RandomUniform BlackmanWindow HammingWindow HannWindow MelWeightMatrix ImageDecoder',
);

enter('not-followed', refuses('runs a body that is not looked into'), 'If Loop Scan SequenceMap');
enter(
  'not-followed',
  refuses('keeps tokens in something that is no tensor'),
  `SequenceConstruct SequenceEmpty SequenceInsert SequenceErase SequenceAt SequenceLength SplitToSequence
   ConcatFromSequence Optional OptionalGetElement OptionalHasElement`,
);
enter('not-followed', refuses('draws a number for each token'), 'Bernoulli Multinomial RandomNormalLike RandomUniformLike'); // prettier-ignore
enter('not-followed', refuses('works on strings'), 'RegexFullMatch StringConcat StringNormalizer StringSplit');

enter('shortens', tokenReduce, 'TokenReduce TokenReduceQK', 'ai.pumer');
enter('shortens', tokenMap, 'TokenMap', 'ai.pumer');

/** All operators by name, those of other domains with it: `com.microsoft.Gelu`. */
export const laneTable: ReadonlyMap<string, LaneEntry> = entries;

export const laneEntryOf = (node: Node): LaneEntry | undefined =>
  entries.get(node.domain === '' ? node.op : `${node.domain}.${node.op}`);
