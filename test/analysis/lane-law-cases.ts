/**
 * One operator each, at work on tokens x [b, t, 8] (and a second lane-wise value z): either its table entry carries
 * the tokens to `y`, or refuses to. Held against ONNX Runtime in lane-laws.test.ts. b = 2, t = 5 in full.
 */
export interface LaneLaw {
  readonly nodes: readonly string[];
  readonly values?: Readonly<Record<string, string>>;
  readonly opset?: number;
}

const swap = 'turned = Transpose(x) perm=[0,2,1]';
const bcht = 'turned = Transpose(x) perm=[0,2,1]';
const pictures = 'p = Reshape(x, pictures)';
/** Tokens folded into the batch: [b*t, 2, 2, 2]. */
const folded = { pictures: 'i[4]:-1,2,2,2' };
const eight = 'f[8]:0.5,-1,2,0.25,1,3,-2,0.75';

/** Shortening commutes with these: the rows left are the rows there would have been. */
export const kept: Readonly<Record<string, LaneLaw>> = {
  'LayerNormalization over features': { nodes: ['y = LayerNormalization(x, g, g) axis=-1'], values: { g: eight } },
  RMSNormalization: { nodes: ['y = RMSNormalization(x, g) axis=-1'], values: { g: eight }, opset: 23 },
  'LpNormalization over features': { nodes: ['y = LpNormalization(x) axis=-1 p=2'] },
  'LpNormalization before the tokens': { nodes: [swap, 'y = LpNormalization(turned) axis=1 p=2'] },
  'BatchNormalization, channels first': {
    nodes: [bcht, 'y = BatchNormalization(turned, g, g, g, v)'],
    values: { g: eight, v: 'f[8]:2' },
  },
  'MeanVarianceNormalization over features': { nodes: ['y = MeanVarianceNormalization(x) axes=[2]'] },
  'Softmax over features': { nodes: ['y = Softmax(x) axis=-1'] },
  'Softmax of old opsets, last axis': { nodes: ['y = Softmax(x) axis=2'], opset: 11 },
  'Hardmax over features': { nodes: ['y = Hardmax(x) axis=-1'] },
  'ArgMax over features': { nodes: ['y = ArgMax(x) axis=2 keepdims=0'] },
  'ReduceMean over features': { nodes: ['y = ReduceMean(x) axes=[2] keepdims=1'] },
  'ReduceSum, no axes and noop': { nodes: ['y = ReduceSum(x) noop_with_empty_axes=1'] },
  'MatMul by weights': { nodes: ['y = MatMul(x, w)'], values: { w: 'f[8,3]:0.5' } },
  'MatMul with tokens among columns': { nodes: [swap, 'y = MatMul(w, turned)'], values: { w: 'f[3,8]:0.5' } },
  'Gemm, transposed': {
    nodes: ['flat = Reshape(x, rows)', 'y = Gemm(flat, w, c) transB=1'],
    values: { rows: 'i[2]:-1,8', w: 'f[3,8]:0.5', c: 'f[3]:1' },
  },
  'Einsum by weights': { nodes: ['y = Einsum(x, w) equation="bti,ij->bjt"'], values: { w: 'f[8,3]:0.5' } },
  'Einsum of two lanes, token by token': { nodes: ['y = Einsum(x, z) equation="bti,bti->bt"'] },
  'Gather of ids for each token': {
    nodes: ['ids = ArgMax(x) axis=2 keepdims=0', 'y = Gather(table, ids) axis=0'],
    values: { table: 'f[8,2]:1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16' },
  },
  'GatherND of ids for each token': {
    nodes: ['ids = ArgMax(x) axis=2 keepdims=1', 'y = GatherND(table, ids)'],
    values: { table: 'f[8,2]:1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16' },
  },
  'GatherElements among features': {
    nodes: ['best = ArgMax(x) axis=2 keepdims=1', 'y = GatherElements(z, best) axis=2'],
  },
  'ScatterElements among features': {
    nodes: [
      'best = ArgMax(x) axis=2 keepdims=1',
      'top = ReduceMax(x) axes=[2] keepdims=1',
      'y = ScatterElements(z, best, top) axis=2',
    ],
  },
  'TopK among features': { nodes: ['y, at = TopK(x, k) axis=-1'], values: { k: 'i[1]:3' } },
  'CumSum among features': { nodes: ['y = CumSum(x, two)'], values: { two: 'i[]:2' } },
  'Slice of features, backwards': {
    nodes: ['y = Slice(x, last, first, two, back)'],
    values: { last: 'i[1]:-1', first: 'i[1]:-9000000000000000000', two: 'i[1]:2', back: 'i[1]:-2' },
  },
  'Split of features, uneven': { nodes: ['a, y = Split(x, sizes) axis=-1'], values: { sizes: 'i[2]:3,5' } },
  'Concat of features with themselves': { nodes: ['y = Concat(x, z, x) axis=2'] },
  'Pad of features': { nodes: ['y = Pad(x, pads)'], values: { pads: 'i[6]:0,0,1,0,0,2' } },
  'Pad of listed axes': {
    nodes: ['y = Pad(x, pads, , axes)'],
    values: { pads: 'i[2]:1,2', axes: 'i[1]:-1' },
    opset: 18,
  },
  'Tile of features': { nodes: ['y = Tile(x, repeats)'], values: { repeats: 'i[3]:1,1,2' } },
  'OneHot of ids': {
    nodes: ['ids = ArgMax(x) axis=2 keepdims=0', 'y = OneHot(ids, depth, onoff) axis=1'],
    values: { depth: 'i[]:8', onoff: 'f[2]:0,1' },
  },
  'Trilu of other axes': {
    nodes: ['u = Unsqueeze(x, last)', 'v = Expand(u, four)', 'y = Trilu(v) upper=1'],
    values: { last: 'i[1]:-1', four: 'i[4]:1,1,1,8' },
  },
  'Expand of features': {
    nodes: ['u = Unsqueeze(x, two)', 'y = Expand(u, four)'],
    values: { two: 'i[1]:2', four: 'i[4]:1,1,3,1' },
  },
  'Where with token conditions': { nodes: ['c = Greater(x, z)', 'y = Where(c, x, z)'] },
  'BitShift of ids': {
    nodes: ['n = Cast(x) to=12', 'm = Cast(z) to=12', 's = BitShift(n, m) direction="LEFT"', 'y = Cast(s) to=1'],
  },
  'Celu, Shrink, trigonometry': { nodes: ['a = Celu(x)', 'b = Shrink(a) lambd=0.3', 'c = Sin(b)', 'y = Asinh(c)'] },
  'Conv of one picture a token': { nodes: [pictures, 'y = Conv(p, w)'], values: { ...folded, w: 'f[3,2,2,2]:0.3' } },
  'MaxPool of one picture a token': { nodes: [pictures, 'y = MaxPool(p) kernel_shape=[2,2]'], values: folded },
  'GlobalAveragePool of one picture a token': { nodes: [pictures, 'y = GlobalAveragePool(p)'], values: folded },
  'InstanceNormalization of one picture a token': {
    nodes: [pictures, 'y = InstanceNormalization(p, g, g)'],
    values: { ...folded, g: 'f[2]:1,2' },
  },
  'DepthToSpace of one picture a token': {
    nodes: ['p = Reshape(x, pictures)', 'y = DepthToSpace(p) blocksize=2'],
    values: { pictures: 'i[4]:-1,4,2,1' },
  },
  'Resize of one picture a token': {
    nodes: [pictures, 'y = Resize(p, , scales) mode="linear"'],
    values: { ...folded, scales: 'f[4]:1,1,2,2' },
  },
  'LRN over channels': {
    nodes: [bcht, 'u = Unsqueeze(turned, three)', 'y = LRN(u) size=3'],
    values: { three: 'i[1]:3' },
  },
  'Reshape of features': { nodes: ['y = Reshape(x, four)'], values: { four: 'i[4]:0,0,2,4' } },
  'Reshape into the batch': { nodes: ['y = Reshape(x, two)'], values: { two: 'i[2]:-1,8' } },
  'QuantizeLinear and back, one scale': {
    nodes: ['q = QuantizeLinear(x, s, n)', 'y = DequantizeLinear(q, s, n)'],
    values: { s: 'f[]:0.05', n: 'u[]:20' },
  },
  'QuantizeLinear and back, a scale for each feature': {
    nodes: ['q = QuantizeLinear(x, s, n) axis=2', 'y = DequantizeLinear(q, s, n) axis=-1'],
    values: { s: 'f[8]:0.05,0.1,0.2,0.05,0.1,0.2,0.05,0.1', n: 'c[8]:0' },
  },
  '16 bits, as ONNX Runtime writes them': {
    nodes: ['q = com.microsoft.QuantizeLinear(x, s, n)', 'y = com.microsoft.DequantizeLinear(q, s, n)'],
    values: { s: 'f[]:0.001', n: 's[]:-5' },
  },
  'MatMulInteger by weights': {
    nodes: ['q = QuantizeLinear(x, s, n)', 'm = MatMulInteger(q, w, n, z0)', 'y = Cast(m) to=1'],
    values: { s: 'f[]:0.05', n: 'u[]:20', w: 'u[8,3]:7', z0: 'u[3]:1,2,3' },
  },
  'QLinearMatMul by weights': {
    nodes: [
      'q = QuantizeLinear(x, s, n)',
      'm = QLinearMatMul(q, s, n, w, s, n, s, n)',
      'y = DequantizeLinear(m, s, n)',
    ],
    values: { s: 'f[]:0.05', n: 'u[]:20', w: 'u[8,3]:27' },
  },
  'QLinearAdd of two lanes': {
    nodes: [
      'q = QuantizeLinear(x, s, n)',
      'r = QuantizeLinear(z, s, n)',
      'm = com.microsoft.QLinearAdd(q, s, n, r, s, n, s, n)',
      'y = DequantizeLinear(m, s, n)',
    ],
    values: { s: 'f[]:0.1', n: 'u[]:20' },
  },
  'QLinearConcat of features': {
    nodes: [
      'q = QuantizeLinear(x, s, n)',
      'm = com.microsoft.QLinearConcat(s, n, q, s, n, q, s, n) axis=2',
      'y = DequantizeLinear(m, s, n)',
    ],
    values: { s: 'f[]:0.1', n: 'u[]:20' },
  },
  'MatMulIntegerToFloat by weights': {
    nodes: ['q = QuantizeLinear(x, s, n)', 'y = com.microsoft.MatMulIntegerToFloat(q, w, s, s, n, n, c)'],
    values: { s: 'f[]:0.05', n: 'u[]:20', w: 'u[8,3]:27', c: 'f[3]:1,2,3' },
  },
  'MatMulNBits by weights': {
    nodes: ['wide = Concat(x, x) axis=2', 'y = com.microsoft.MatMulNBits(wide, w, g) K=16 N=3 bits=4 block_size=16'],
    values: { w: 'u[3,1,8]:105', g: 'f[3,1]:0.1,0.2,0.3' },
  },
  'GatherBlockQuantized of ids for each token': {
    nodes: [
      'ids = ArgMax(x) axis=2 keepdims=0',
      'y = com.microsoft.GatherBlockQuantized(table, ids, g) bits=4 block_size=16 gather_axis=0 quantize_axis=1',
    ],
    values: { table: `u[8,8]:${Array.from({ length: 64 }, (_, i) => (i * 37) % 256).join()}`, g: 'f[8,1]:0.5' },
  },
  'Flatten behind the tokens': {
    nodes: ['u = Reshape(x, four)', 'y = Flatten(u) axis=2'],
    values: { four: 'i[4]:0,0,2,4' },
  },
};

/** Shortening changes the rows left, or what is left of the operator's meaning: refused. */
export const refused: Readonly<Record<string, LaneLaw>> = {
  'LayerNormalization from the tokens on': {
    nodes: ['y = LayerNormalization(x, g, g) axis=1'],
    values: { g: `f[5,8]:1` },
  },
  'LayerNormalization with a scale for each token': {
    nodes: ['y = LayerNormalization(x, g, g) axis=2'],
    values: { g: 'f[1,5,8]:1' },
  },
  'LpNormalization over tokens': { nodes: ['y = LpNormalization(x) axis=1'] },
  'BatchNormalization with tokens for channels': {
    nodes: ['y = BatchNormalization(x, g, g, g, v)'],
    values: { g: 'f[5]:1', v: 'f[5]:2' },
  },
  'InstanceNormalization over tokens': {
    nodes: [swap, 'y = InstanceNormalization(turned, g, g)'],
    values: { g: eight },
  },
  'GroupNormalization over tokens': {
    nodes: [swap, 'y = GroupNormalization(turned, g, g) num_groups=2'],
    values: { g: eight },
    opset: 21,
  },
  'MeanVarianceNormalization over tokens': { nodes: ['y = MeanVarianceNormalization(x) axes=[1]'] },
  'Softmax over tokens': { nodes: ['y = Softmax(x) axis=1'] },
  'Softmax of old opsets, from the tokens on': { nodes: ['y = Softmax(x) axis=1'], opset: 11 },
  'ReduceMax over tokens': { nodes: ['y = ReduceMax(x) axes=[1] keepdims=1'] },
  'ReduceMean over axes of a run': {
    nodes: [
      'n = Cast(x) to=7',
      'm = ReduceMax(n) keepdims=0',
      'o = Mul(m, zero)',
      'a = Add(o, one)',
      'y = ReduceMean(z, a) keepdims=1',
    ],
    values: { zero: 'i[]:0', one: 'i[1]:1' },
    opset: 18,
  },
  'ReduceSum over everything': { nodes: ['y = ReduceSum(x) keepdims=1'] },
  'ArgMax over tokens': { nodes: ['y = ArgMax(x) axis=1'] },
  'MatMul of tokens with tokens': { nodes: [swap, 'y = MatMul(turned, z)'] },
  'Einsum over tokens': { nodes: ['y = Einsum(x, z) equation="bti,btj->bij"'] },
  'Einsum without a result': { nodes: ['y = Einsum(x, z) equation="bti,btj"'] },
  'CumSum over tokens': { nodes: ['y = CumSum(x, one)'], values: { one: 'i[]:1' } },
  'TopK of tokens': { nodes: ['y, at = TopK(x, k) axis=1'], values: { k: 'i[1]:3' } },
  'Trilu of tokens': { nodes: ['y = Trilu(x) upper=0'] },
  'Gather of a token': { nodes: ['y = Gather(x, at) axis=1'], values: { at: 'i[1]:2' } },
  'Gather backwards': { nodes: ['y = Gather(x, at) axis=1'], values: { at: 'i[5]:4,3,2,1,0' } },
  'GatherND of tokens, with batch dims': {
    nodes: ['y = GatherND(x, at) batch_dims=1'],
    values: { at: 'i[2,1,1]:1,4' },
  },
  'GatherElements of tokens': { nodes: ['ids = ArgMax(x) axis=1', 'y = GatherElements(z, ids) axis=1'] },
  ScatterND: { nodes: ['y = ScatterND(x, at, rows)'], values: { at: 'i[1,2]:0,2', rows: 'f[1,8]:7' } },
  'ScatterElements to tokens': {
    nodes: ['y = ScatterElements(x, at, rows) axis=1'],
    values: { at: 'i[1,1,8]:2', rows: 'f[1,1,8]:7' },
  },
  'Slice backwards': {
    nodes: ['y = Slice(x, last, first, one, back)'],
    values: { last: 'i[1]:-1', first: 'i[1]:-9000000000000000000', one: 'i[1]:1', back: 'i[1]:-1' },
  },
  'Slice of some': { nodes: ['y = Slice(x, from, to, one)'], values: { from: 'i[1]:1', to: 'i[1]:3', one: 'i[1]:1' } },
  'Slice along an axis of a run': {
    nodes: [
      'n = Cast(x) to=7',
      'm = ReduceMax(n) keepdims=0',
      'o = Mul(m, zero)',
      'a = Add(o, one)',
      'y = Slice(z, from, to, a)',
    ],
    values: { zero: 'i[]:0', one: 'i[1]:1', from: 'i[1]:1', to: 'i[1]:3' },
  },
  'Split of tokens': { nodes: ['y, rest = Split(x, sizes) axis=1'], values: { sizes: 'i[2]:2,3' } },
  'Pad of tokens': { nodes: ['y = Pad(x, pads)'], values: { pads: 'i[6]:0,1,0,0,0,0' } },
  'Tile of tokens': { nodes: ['y = Tile(x, repeats)'], values: { repeats: 'i[3]:1,2,1' } },
  'Compress of tokens': { nodes: ['y = Compress(x, which) axis=1'], values: { which: 'b[4]:1,0,1,1' } },
  NonZero: { nodes: ['y = NonZero(x)'] },
  Unique: { nodes: ['y = Unique(x)'] },
  ReverseSequence: {
    nodes: ['y = ReverseSequence(x, lengths) time_axis=1 batch_axis=0'],
    values: { lengths: 'i[2]:3,2' },
  },
  'Conv along tokens': { nodes: [swap, 'y = Conv(turned, w) pads=[1,1]'], values: { w: 'f[8,8,3]:0.2' } },
  'MaxPool along tokens': { nodes: [swap, 'y = MaxPool(turned) kernel_shape=[3] pads=[1,1]'] },
  'MaxPool, where it found them': { nodes: [pictures, 'm, y = MaxPool(p) kernel_shape=[2,2]'], values: folded },
  'GlobalAveragePool over tokens': { nodes: [swap, 'y = GlobalAveragePool(turned)'] },
  'Resize of tokens': { nodes: [swap, 'y = Resize(turned, , scales) mode="linear"'], values: { scales: 'f[3]:1,1,2' } },
  'DepthToSpace of tokens': {
    nodes: ['u = Reshape(x, four)', 'y = DepthToSpace(u) blocksize=2'],
    values: { four: 'i[4]:0,8,-1,1' },
  },
  'LRN with tokens for channels': {
    nodes: ['u = Unsqueeze(x, three)', 'y = LRN(u) size=3'],
    values: { three: 'i[1]:3' },
  },
  'LSTM over tokens': {
    nodes: ['line = Transpose(x) perm=[1,0,2]', 'y = LSTM(line, w, r) hidden_size=2'],
    values: { w: 'f[1,8,8]:0.1', r: 'f[1,8,2]:0.1' },
  },
  'Attention in one operator': { nodes: ['y = Attention(x, x, x) q_num_heads=2 kv_num_heads=2'], opset: 23 },
  RotaryEmbedding: {
    nodes: ['y = RotaryEmbedding(x, cos, cos) num_heads=2'],
    values: { cos: 'f[2,5,2]:0.5' },
    opset: 23,
  },
  'QuantizeLinear with a scale for each token': {
    nodes: ['q = QuantizeLinear(x, s, n) axis=1', 'y = DequantizeLinear(q, s, n) axis=1'],
    values: { s: 'f[5]:0.05,0.1,0.2,0.3,0.4', n: 'u[5]:20' },
  },
  'DequantizeLinear in blocks of tokens': {
    nodes: ['q = QuantizeLinear(x, one, n)', 'y = DequantizeLinear(q, s, ns) axis=1 block_size=2'],
    values: { one: 'f[]:0.05', n: 'u[]:20', s: 'f[2,3,8]:0.1', ns: 'u[2,3,8]:10' },
    opset: 21,
  },
  'MatMulInteger of tokens with tokens': {
    nodes: [
      swap,
      'q = QuantizeLinear(turned, s, n)',
      'r = QuantizeLinear(z, s, n)',
      'm = MatMulInteger(q, r, n, n)',
      'y = Cast(m) to=1',
    ],
    values: { s: 'f[]:0.05', n: 'u[]:20' },
  },
  'Reshape of some tokens to one': { nodes: ['y = Reshape(x, three)'], values: { three: 'i[3]:0,-1,20' } },
  'Reshape of all tokens to one row': {
    nodes: ['f = Reshape(x, two)', 'y = MatMul(f, w)'],
    values: { two: 'i[2]:0,-1', w: 'f[40,2]:0.1' },
  },
  'a table with a row for each token': { nodes: ['y = Add(x, table)'], values: { table: 'f[1,5,8]:0.5' } },
  'a table cut to the number of tokens': {
    nodes: ['s = Shape(x)', 'n = Slice(s, one, two)', 'cut = Slice(table, zero, n)', 'y = Add(x, cut)'],
    values: { one: 'i[1]:1', two: 'i[1]:2', zero: 'i[1]:0', table: 'f[9,1]:1,2,3,4,5,6,7,8,9' },
  },
  'DFT over tokens': {
    nodes: ['u = Unsqueeze(x, three)', 'y = DFT(u) axis=1'],
    values: { three: 'i[1]:3' },
    opset: 17,
  },
  'GridSample of tokens': {
    nodes: ['p = Unsqueeze(x, one)', 'y = GridSample(p, grid)'],
    values: { one: 'i[1]:1', grid: 'f[2,2,2,2]:0.5' },
  },
  RandomNormalLike: { nodes: ['r = RandomNormalLike(x)', 'y = Add(r, z)'] },
};

/** Every operator of the default domain from opset 11 to 24, as onnx.defs lists them. */
export const onnxOperators: readonly string[] = `
   Abs Acos Acosh Add AffineGrid And ArgMax ArgMin Asin Asinh Atan Atanh Attention AveragePool BatchNormalization
   Bernoulli BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor BlackmanWindow Cast CastLike Ceil Celu
   CenterCropPad Clip Col2Im Compress Concat ConcatFromSequence Constant ConstantOfShape Conv ConvInteger
   ConvTranspose Cos Cosh CumSum DFT DeformConv DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear
   Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm
   GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HammingWindow
   HannWindow HardSigmoid HardSwish Hardmax Identity If ImageDecoder InstanceNormalization IsInf IsNaN LRN LSTM
   LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul MatMulInteger
   Max MaxPool MaxRoiPool MaxUnpool Mean MeanVarianceNormalization MelWeightMatrix Min Mish Mod Mul Multinomial Neg
   NegativeLogLikelihoodLoss NonMaxSuppression NonZero Not OneHot Optional OptionalGetElement OptionalHasElement Or
   PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN RandomNormal RandomNormalLike
   RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax
   ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare RegexFullMatch Relu Reshape Resize ReverseSequence
   RoiAlign RotaryEmbedding Round STFT Scan Scatter ScatterElements ScatterND Selu SequenceAt SequenceConstruct
   SequenceEmpty SequenceErase SequenceInsert SequenceLength SequenceMap Shape Shrink Sigmoid Sign Sin Sinh Size
   Slice Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split SplitToSequence Sqrt Squeeze
   StringConcat StringNormalizer StringSplit Sub Sum Swish Tan Tanh TensorScatter TfIdfVectorizer ThresholdedRelu
   Tile TopK Transpose Trilu Unique Unsqueeze Upsample Where Xor`
  .trim()
  .split(/\s+/);
