/** Fused operators that can be written as standard ones, by operator. */
import { embedLayerNormalization } from './embed-layer-normalization.ts';
import { fusedConv, fusedGemm, fusedMatMul } from './fused-products.ts';
import { groupQueryAttention } from './group-query-attention.ts';
import type { Lowering } from './lowering.ts';
import { multiHeadAttention } from './multi-head-attention.ts';
import { packedAttention } from './packed-attention.ts';
import { quantisedAttention } from './quantised-attention.ts';
import { skipLayerNormalization, skipSimplifiedLayerNormalization } from './skip-layer-normalization.ts';
import { standardAttention } from './standard-attention.ts';

export const lowerings: ReadonlyMap<string, Lowering> = new Map(
  [
    embedLayerNormalization,
    fusedConv,
    fusedGemm,
    fusedMatMul,
    groupQueryAttention,
    multiHeadAttention,
    packedAttention,
    quantisedAttention,
    skipLayerNormalization,
    skipSimplifiedLayerNormalization,
    standardAttention,
  ].map((lowering) => [lowering.op, lowering]),
);
