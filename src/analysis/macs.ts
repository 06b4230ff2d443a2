/**
 * Multiply-adds of a node as a polynomial in sizes, and of a model at given sizes: matrix products, convolutions and
 * whole-attention operators, also inside model-local functions. Elementwise work, normalisations and data movement are
 * not counted.
 */
import type { FunctionBody, Graph, GraphValue, Model, Node, Tensor, ValueName } from '../graph/model.ts';
import { DataType } from '../graph/model.ts';
import { int64Tensor, intOf, intsOf } from '../graph/tensors.ts';
import { addDims, constDim, divideDims, mulDims, productOf, type Dim } from './dim.ts';
import type { ShapeFacts } from './shape-facts.ts';
import { ShapeGap } from './shape-rules/context.ts';
import { einstein, fusedOperand } from './shape-rules/products.ts';
import { makeSymbols } from './shape-rules/symbols.ts';
import { shapesOf } from './shapes.ts';

export interface Macs {
  readonly total: number;
  /** By the node's first output. */
  readonly perNode: ReadonlyMap<ValueName, number>;
  /** Nodes that do such work but whose sizes are not known; `total` leaves them out. */
  readonly unknown: number;
}

type Sizes = readonly Dim[];

/** A node and the sizes of what it reads and writes, undefined where they are not known. */
export interface SizedNode {
  readonly node: Node;
  readonly input: (i: number) => Sizes | undefined;
  readonly output: (i: number) => Sizes | undefined;
}

type Count = (s: SizedNode) => Dim | undefined;

/** Elements of the result times the length summed over. */
const times = (result: Sizes | undefined, summed: Dim | undefined): Dim | undefined =>
  result === undefined || summed === undefined ? undefined : mulDims(productOf(result), summed);

const matMul: Count = (s) => times(s.output(0), s.input(0)?.at(-1));
const fusedMatMul: Count = (s) => {
  const dims = s.input(0);
  return times(s.output(0), dims && fusedOperand(s, dims, 'A').at(-1));
};
const gemm: Count = (s) => times(s.output(0), s.input(0)?.[intOf(s.node, 'transA', 0) === 1 ? 0 : 1]);

const convolution =
  (weights: number): Count =>
  (s) => {
    const filter = s.input(weights);
    return times(s.output(0), filter && productOf(filter.slice(1)));
  };
const transposedConvolution: Count = (s) => {
  const filter = s.input(1);
  return times(s.input(0), filter && productOf(filter.slice(1)));
};

/** A product over every letter; one operand alone is only moved or summed. */
const einsum: Count = (s) => {
  const attribute = s.node.attrs['equation'];
  const operands = s.node.inputs.map((_, i) => s.input(i));
  if (attribute?.kind !== 'string' || operands.some((o) => o === undefined)) return undefined;
  if (operands.length < 2) return constDim(0);
  const { size } = einstein(makeSymbols(), attribute.value, operands as readonly Sizes[]);
  return productOf([...size.values()]);
};

const lengthOfPast = (s: SizedNode, input: number, axis: number): Dim | undefined =>
  (s.node.inputs[input] ?? '') === '' ? constDim(0) : s.input(input)?.[axis];

/** Queries times keys, then weights times values: every element of either times the number of keys. */
const bothProducts = (queries: Dim | undefined, result: Sizes | undefined, keys: Dim | undefined): Dim | undefined =>
  queries === undefined || result === undefined || keys === undefined
    ? undefined
    : mulDims(addDims(queries, productOf(result)), keys);

const keysOf = (s: SizedNode, own: Dim | undefined, pastInput: number, pastAxis: number): Dim | undefined => {
  const before = lengthOfPast(s, pastInput, pastAxis);
  return own === undefined || before === undefined ? undefined : addDims(own, before);
};

const attention: Count = (s) => {
  const q = s.input(0);
  const k = s.input(1);
  return bothProducts(q && productOf(q), s.output(0), keysOf(s, k?.at(-2), 4, 2));
};

const multiHeadAttention: Count = (s) => {
  const q = s.input(0);
  const k = (s.node.inputs[1] ?? '') === '' ? q : s.input(1);
  const queries = q && divideDims(productOf(q), constDim(q.length === 5 ? 3 : 1));
  return bothProducts(queries, s.output(0), keysOf(s, k?.[k.length === 4 ? 2 : 1], 6, 2));
};

/** com.microsoft Attention projects its input itself. */
const packedAttention =
  (pastInput: number): Count =>
  (s) => {
    const x = s.input(0);
    const weights = s.input(1);
    const [batch, length] = x ?? [];
    const packed = weights?.[1];
    if (x === undefined || batch === undefined || length === undefined || packed === undefined) return undefined;
    const own = intsOf(s.node, 'qkv_hidden_sizes')?.[0];
    const width = own === undefined ? divideDims(packed, constDim(3)) : constDim(own);
    const queries = width && productOf([batch, length, width]);
    const inner = bothProducts(queries, s.output(0), keysOf(s, length, pastInput, 3));
    return inner && addDims(inner, mulDims(productOf(x), packed));
  };

/** Work that cannot be told from the outside. */
const untold: Count = () => undefined;

const counts: ReadonlyMap<string, Count> = new Map<string, Count>([
  ['MatMul', matMul],
  ['MatMulInteger', matMul],
  ['QLinearMatMul', matMul],
  ['Gemm', gemm],
  ['Conv', convolution(1)],
  ['ConvInteger', convolution(1)],
  ['QLinearConv', convolution(3)],
  ['ConvTranspose', transposedConvolution],
  ['Einsum', einsum],
  ['Attention', attention],
  ['If', untold],
  ['Loop', untold],
  ['Scan', untold],
  ['LSTM', untold],
  ['GRU', untold],
  ['RNN', untold],
  ['com.microsoft.MatMulNBits', matMul],
  ['com.microsoft.MatMulBnb4', matMul],
  ['com.microsoft.DynamicQuantizeMatMul', matMul],
  ['com.microsoft.MatMulIntegerToFloat', matMul],
  ['com.microsoft.FusedMatMul', fusedMatMul],
  ['com.microsoft.FusedGemm', gemm],
  ['com.microsoft.QGemm', gemm],
  ['com.microsoft.FusedConv', convolution(1)],
  ['com.microsoft.Attention', packedAttention(4)],
  ['com.microsoft.QAttention', packedAttention(8)],
  ['com.microsoft.MultiHeadAttention', multiHeadAttention],
  ['com.microsoft.GroupQueryAttention', untold],
]);

const keyOf = (node: Node): string =>
  node.domain === '' || node.domain === 'ai.onnx' ? node.op : `${node.domain}.${node.op}`;

/** Undefined where sizes do not tell; null for a node that does no such work. */
export const macsOf = (sized: SizedNode): Dim | undefined | null => {
  const count = counts.get(keyOf(sized.node));
  if (count === undefined) return null;
  try {
    return count(sized);
  } catch (error) {
    // A malformed equation is work nobody can tell.
    if (error instanceof ShapeGap) return undefined;
    throw error;
  }
};

/** The body of a function as a model of its own, at the sizes of one call; undefined where one is not known. */
const callModel = (
  model: Model,
  body: FunctionBody,
  s: SizedNode,
  shapes: ShapeFacts,
  symbols: ReadonlyMap<string, number>,
): Model | undefined => {
  const inputs: GraphValue[] = [];
  const constants = new Map<ValueName, Tensor>();
  for (const [i, name] of body.inputs.entries()) {
    const value = s.node.inputs[i] ?? '';
    if (value === '') continue;
    const facts = shapes.of(value);
    const dims = s.input(i)?.map((d) => shapes.resolve(d, symbols));
    if (facts === undefined || dims === undefined || dims.includes(undefined)) return undefined;
    const contents = facts.ints?.values.map((d) => shapes.resolve(d, symbols));
    // Lengths that the body computes with are lengths of this call.
    if (facts.dataType === DataType.INT64 && contents?.every((v) => Number.isSafeInteger(v)) === true)
      constants.set(name, int64Tensor(dims as number[], contents as number[]));
    else inputs.push({ name, type: { dataType: facts.dataType, dims: dims as number[] } });
  }
  const graph: Graph = { name: body.name, nodes: body.nodes, inputs, outputs: [], constants, annotations: [] };
  const functions = model.functions.filter((f) => f !== body);
  return { irVersion: model.irVersion, opsets: body.opsets, graph, functions, metadata: new Map() };
};

/**
 * Multiply-adds of `model` with its declared symbols at the given sizes, the names as the file gives them.
 * Source: the textbook counts, B * S * T * N for a product of [B, S, T] and [T, N].
 */
export const countMacs = (model: Model, shapes: ShapeFacts, symbols: ReadonlyMap<string, number>): Macs => {
  const functions = new Map(model.functions.map((f) => [`${f.domain}.${f.name}`, f]));
  const perNode = new Map<ValueName, number>();
  let total = 0;
  let unknown = 0;
  for (const node of model.graph.nodes) {
    const sized: SizedNode = {
      node,
      input: (i) => shapes.of(node.inputs[i] ?? '')?.dims,
      output: (i) => shapes.of(node.outputs[i] ?? '')?.dims,
    };
    const body = functions.get(`${node.domain}.${node.op}`);
    let own: number | undefined;
    if (body !== undefined) {
      const call = callModel(model, body, sized, shapes, symbols);
      const inside = call && countMacs(call, shapesOf(call), symbols);
      own = inside?.total;
      unknown += inside?.unknown ?? 0;
    } else {
      const macs = macsOf(sized);
      if (macs === null) continue;
      own = macs && shapes.resolve(macs, symbols);
    }
    if (own === undefined) unknown++;
    else {
      total += own;
      perNode.set(node.outputs[0] ?? '', own);
    }
  }
  return { total, perNode, unknown };
};
