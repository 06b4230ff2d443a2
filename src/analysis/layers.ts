/**
 * Cross-modal layers, numbered by depth (semantics.md, Words): the k-th on each path from the embeddings is layer k.
 * A layer is a joint self-attention, or a co-attention pair: text queries on image keys, image queries on text keys.
 */
import type { Model, ValueName } from '../graph/model.ts';
import type { Attention } from './attention.ts';
import type { Segment } from './labels.ts';

export type AttentionKind = 'joint' | 'text-to-image' | 'image-to-text' | 'text' | 'image' | 'other';

const names = (tokens: readonly Segment[]): string =>
  [...new Set(tokens.filter((s) => s.lane !== 'other').map((s) => s.lane))].sort().join('+');

export const kindOf = (attention: Attention): AttentionKind => {
  const queries = names(attention.queryTokens);
  const keys = names(attention.keyTokens);
  if (queries === 'image+text' && keys === 'image+text') return 'joint';
  if (queries === 'text' && keys === 'image') return 'text-to-image';
  if (queries === 'image' && keys === 'text') return 'image-to-text';
  return queries === keys && (queries === 'text' || queries === 'image') ? queries : 'other';
};

/** One cross-modal layer. Several attentions of one kind at one depth are parallel stacks. */
export interface CrossModalLayer {
  readonly layer: number;
  readonly joint: readonly Attention[];
  readonly textToImage: readonly Attention[];
  readonly imageToText: readonly Attention[];
}

type Counted = 'joint' | 'text-to-image' | 'image-to-text';
const counted: readonly Counted[] = ['joint', 'text-to-image', 'image-to-text'];

/** Cross-modal layers in depth order. */
export const crossModalLayers = (model: Model, attentions: readonly Attention[]): readonly CrossModalLayer[] => {
  const byNode = new Map(attentions.map((a) => [a.apply, a]));
  const depth = new Map<ValueName, Readonly<Record<Counted, number>>>();
  const zero = { joint: 0, 'text-to-image': 0, 'image-to-text': 0 };
  const found: { kind: Counted; layer: number; attention: Attention }[] = [];
  for (const node of model.graph.nodes) {
    if (node.op === 'Shape' || node.op === 'Size') continue;
    let here = zero;
    for (const value of [...node.inputs, ...node.captures]) {
      const d = depth.get(value);
      if (d === undefined || d === here) continue;
      here = {
        joint: Math.max(here.joint, d.joint),
        'text-to-image': Math.max(here['text-to-image'], d['text-to-image']),
        'image-to-text': Math.max(here['image-to-text'], d['image-to-text']),
      };
    }
    const attention = byNode.get(node);
    const kind = attention && counted.find((k) => k === kindOf(attention));
    if (attention !== undefined && kind !== undefined) {
      found.push({ kind, layer: here[kind], attention });
      here = { ...here, [kind]: here[kind] + 1 };
    }
    if (here !== zero) for (const output of node.outputs) depth.set(output, here);
  }
  const last = Math.max(-1, ...found.map((f) => f.layer));
  const at = (layer: number, kind: Counted): readonly Attention[] =>
    found.filter((f) => f.layer === layer && f.kind === kind).map((f) => f.attention);
  return Array.from({ length: last + 1 }, (_, layer) => ({
    layer,
    joint: at(layer, 'joint'),
    textToImage: at(layer, 'text-to-image'),
    imageToText: at(layer, 'image-to-text'),
  }));
};
