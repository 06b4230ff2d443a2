/**
 * Operators that are a whole attention: the standard one (opset 23), ONNX Runtime's, and rotary embeddings.
 * B batch, S queries, L new keys, T all keys, N heads, H head size, D = N * H.
 */
import { DataType } from '../../graph/model.ts';
import { intOf, intsOf } from '../../graph/tensors.ts';
import { addDims, constDim, mulDims, type Dim } from '../dim.ts';
import type { ValueFacts } from '../shape-facts.ts';
import { dimsOf, gap, hasInput, typeOf, type ShapeContext, type ShapeRule } from './context.ts';

const at = (dims: readonly Dim[], axis: number): Dim => dims[axis] ?? gap('an operand has too few axes');
const heads = (c: ShapeContext, name: string): Dim => {
  const count = intOf(c.node, name, 0);
  return count > 0 ? constDim(count) : gap(`it does not say ${name}`);
};

/** The length of the past along the second to last axis of input `input`, 0 without one. */
const past = (c: ShapeContext, input: number): Dim => (hasInput(c, input) ? at(dimsOf(c, input), 2) : constDim(0));

/** ai.onnx Attention: operands [B, N, S, H], or [B, S, N * H] with the number of heads as attributes. */
export const attention: ShapeRule = (c) => {
  const [q, k, v] = [dimsOf(c, 0), dimsOf(c, 1), dimsOf(c, 2)];
  const dataType = typeOf(c, 0);
  const flat = q.length === 3;
  const batch = at(q, 0);
  const queryHeads = flat ? heads(c, 'q_num_heads') : at(q, 1);
  const keyHeads = flat ? heads(c, 'kv_num_heads') : at(k, 1);
  const queries = at(q, flat ? 1 : 2);
  const keys = addDims(past(c, 4), at(k, flat ? 1 : 2));
  const size = (dims: readonly Dim[]): Dim => (flat ? c.symbols.floorDiv(at(dims, 2), keyHeads) : at(dims, 3));
  const width = size(v);
  const dims = flat ? [batch, queries, mulDims(queryHeads, width)] : [batch, queryHeads, queries, width];
  return [
    { dataType, dims },
    { dataType, dims: [batch, keyHeads, keys, size(k)] },
    { dataType: typeOf(c, 2), dims: [batch, keyHeads, keys, width] },
    { dataType, dims: [batch, queryHeads, queries, keys] },
  ];
};

/** com.microsoft Attention and QAttention: x [B, S, C], packed weights [C, q + k + v], past [2, B, N, P, H]. */
const packedAttention =
  (pastInput: number, dataType: (c: ShapeContext) => DataType): ShapeRule =>
  (c) => {
    const x = dimsOf(c, 0);
    const packed = at(dimsOf(c, 1), 1);
    const sizes = intsOf(c.node, 'qkv_hidden_sizes');
    const width = sizes?.[2] === undefined ? c.symbols.floorDiv(packed, constDim(3)) : constDim(sizes[2]);
    const count = heads(c, 'num_heads');
    const earlier = hasInput(c, pastInput) ? at(dimsOf(c, pastInput), 3) : constDim(0);
    const [batch, length] = [at(x, 0), at(x, 1)];
    const present = [constDim(2), batch, count, addDims(earlier, length), c.symbols.floorDiv(width, count)];
    return [
      { dataType: dataType(c), dims: [batch, length, width] },
      { dataType: dataType(c), dims: present },
    ];
  };

export const msAttention: ShapeRule = packedAttention(4, (c) => typeOf(c, 0));
/** Scales of input and weights are inputs 3 and 4, the result has their type. */
export const quantisedAttention: ShapeRule = packedAttention(8, (c) => typeOf(c, 3));

/** com.microsoft MultiHeadAttention: separate [B, S, D], packed [B, S, N, 3, H], or keys already [B, N, L, H]. */
export const multiHeadAttention: ShapeRule = (c) => {
  const q = dimsOf(c, 0);
  const dataType = typeOf(c, 0);
  const count = heads(c, 'num_heads');
  const [batch, queries] = [at(q, 0), at(q, 1)];
  const packed = q.length === 5;
  const k = hasInput(c, 1) ? dimsOf(c, 1) : undefined;
  const v = hasInput(c, 2) ? dimsOf(c, 2) : undefined;
  const headSize = packed ? at(q, 4) : c.symbols.floorDiv(at(q, 2), count);
  const valueSize = v === undefined ? headSize : v.length === 4 ? at(v, 3) : c.symbols.floorDiv(at(v, 2), count);
  const fresh = k === undefined ? queries : at(k, k.length === 4 ? 2 : 1);
  const keys = addDims(past(c, 6), fresh);
  const cache = (size: Dim): ValueFacts => ({ dataType, dims: [batch, count, keys, size] });
  return [
    { dataType, dims: [batch, queries, mulDims(count, valueSize)] },
    cache(headSize),
    cache(valueSize),
    { dataType, dims: [batch, count, queries, keys] },
  ];
};

/** com.microsoft GroupQueryAttention: the cache grows to a length that depends on the data. */
export const groupQueryAttention: ShapeRule = (c) => {
  const q = dimsOf(c, 0);
  const dataType = typeOf(c, 0);
  const [count, groups] = [heads(c, 'num_heads'), heads(c, 'kv_num_heads')];
  const share = hasInput(c, 1) ? count : addDims(count, mulDims(constDim(2), groups));
  const headSize = c.symbols.floorDiv(at(q, 2), share);
  const cache: ValueFacts = { dataType, dims: [at(q, 0), groups, c.unknown(1, 2), headSize] };
  return [{ dataType, dims: [at(q, 0), at(q, 1), mulDims(count, headSize)] }, cache, cache];
};

/** com.microsoft RelativePositionBias: a table [buckets, N] and two lengths give [1, N, S, T]. */
export const relativePositionBias: ShapeRule = (c) => {
  const length = (input: number): Dim => c.facts(input)?.ints?.values[0] ?? c.unknown(0, input + 1);
  return [{ dataType: typeOf(c, 0), dims: [constDim(1), at(dimsOf(c, 0), 1), length(1), length(2)] }];
};
