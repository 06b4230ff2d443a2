/**
 * com.microsoft.GroupQueryAttention is never opened: it counts positions from the lengths it is given, turns queries
 * and keys by them, and appends to a cache. A shorter prompt would stand at other positions. Source: ONNX Runtime,
 * ContribOperators.md.
 */
import type { Lowering } from './lowering.ts';

export const groupQueryAttention: Lowering = {
  op: 'com.microsoft.GroupQueryAttention',
  streams: [],
  lower: () => ({ why: 'it is causal and counts positions and a cache inside' }),
};
