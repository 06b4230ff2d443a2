/**
 * Two streams (METER and kin): text queries attend to image keys. Text is shortened at the value entering its FFN
 * block and matched on the layer's text self-attention keys. The image value entering the pair is shortened for
 * every reader but this layer's (and earlier layers') text-to-image attention, which scores and matches it; where that
 * attention reads the image this layer has just made, it is that one (semantics.md, Where).
 */
import { dataReaders, isWrapper } from '../../src/analysis/number-types.ts';
import { climbToProjection } from '../../src/analysis/projection.ts';
import { inputsBehind, nodesBehind, valuesAfter } from '../../src/analysis/dependencies.ts';
import { onlyShapeRead } from '../../src/analysis/lane-reads.ts';
import { kindOf } from '../../src/analysis/layers.ts';
import { maskFactsOf } from '../../src/analysis/mask-facts.ts';
import { afterNorm, isNormOf, residualSum } from '../../src/analysis/residual.ts';
import type { LaneSite, ReductionSite, SiteFault, SiteStrategy, TokenUse } from '../../src/analysis/sites.ts';
import type { Attention } from '../../src/analysis/attention.ts';
import type { Model, Node } from '../../src/graph/model.ts';
import { usesOf } from '../../src/graph/uses.ts';

/** The text self-attention that reads `value`, perhaps normalised, before any FFN. */
const selfAttentionOn = (model: Model, value: string, selves: readonly Attention[]): Attention | undefined =>
  selves.find((a) => {
    const read = climbToProjection(model, a.key)?.input;
    return read !== undefined && isNormOf(model, read, value);
  });

/** The last text self-attention before the cross-attention asks its queries. */
const selfAttentionBefore = (model: Model, cross: Attention, selves: readonly Attention[]): Attention | undefined =>
  selves.findLast((a) => valuesAfter(model, [a.context]).has(cross.query));

const textSite = (model: Model, cross: Attention, selves: readonly Attention[]): LaneSite | { why: string } => {
  let attention = cross;
  let keys = selfAttentionBefore(model, cross, selves);
  for (;;) {
    const sum = residualSum(model, attention.context);
    if (!('value' in sum)) return { why: `expected ${sum.expected}, found ${sum.found}` };
    const value = afterNorm(model, sum.value);
    const next = selfAttentionOn(model, value, selves);
    if (next !== undefined) {
      attention = next;
      keys = next;
      continue;
    }
    const uses = usesOf(model.graph).consumers(value);
    const [seenBy] = uses;
    if (seenBy === undefined) return { why: 'nothing reads the text after it' };
    if (keys === undefined) return { why: 'the layer has no text self-attention whose keys could match text tokens' };
    return { stream: { value, seenBy, uses }, keys };
  }
};

const imageSite = (
  model: Model,
  layer: number,
  cross: Attention,
  earlier: readonly Attention[],
): LaneSite | SiteFault => {
  const key = climbToProjection(model, cross.key);
  if (key === undefined || inputsBehind(model)(key.input).size === 0)
    return { layer, node: cross.product, why: 'its image keys are not one projection of an image value' };
  // Reads by the projections themselves, or by casts and quantisers that serve nothing but them.
  const exempt = new Set(
    [cross, ...earlier].flatMap((a) => [
      climbToProjection(model, a.key)?.node,
      climbToProjection(model, a.value)?.node,
    ]),
  );
  const isExempt = ({ node }: TokenUse): boolean =>
    exempt.has(node) ||
    ((isWrapper(node) || node.op === 'Reshape') &&
      dataReaders(model, node.outputs[0] ?? '').every((reader) => exempt.has(reader.node)));
  // Sizes read for this attention's own sake stay those of the full lane, also where a slice is all that is measured.
  const own = nodesBehind(model, cross.context);
  const measures = (node: Node): boolean => node.op === 'Shape' || onlyShapeRead(model, node);
  const uses = usesOf(model.graph)
    .consumers(key.input)
    .filter((u) => !isExempt(u) && !(measures(u.node) && own.has(u.node)));
  const early = uses.find((u) => own.has(u.node));
  if (early !== undefined)
    return { layer, node: early.node, why: 'the attention that scores the image depends on what reads it' };
  if (!uses.some((u) => u.node.op !== 'Shape'))
    return { layer, node: cross.product, why: 'nothing else reads the image it attends to' };
  return { stream: { value: key.input, seenBy: key.use, uses }, keys: cross };
};

/**
 * The text self-attention of this layer or behind it whose mask is more than padding: one by which words see only the
 * words before them (a caption decoder), or one nobody knows. Scores summed over all text rows would tell earlier
 * words of later ones.
 */
const inOrder = (model: Model, cross: Attention, selves: readonly Attention[]): Attention | undefined => {
  const behind = valuesAfter(model, [cross.context]);
  const own = selfAttentionBefore(model, cross, selves);
  return selves.find((a) => (a === own || behind.has(a.query)) && 'fault' in maskFactsOf(model, a));
};

export const coAttention: SiteStrategy = {
  name: 'co-attention',
  sites: (model, layer, attentions) => {
    if (layer.textToImage.length === 0) return undefined;
    const selves = attentions.filter((a) => kindOf(a) === 'text');
    const asked = attentions.filter((a) => kindOf(a) === 'text-to-image');
    return layer.textToImage.map((cross): ReductionSite | SiteFault => {
      const ordered = inOrder(model, cross, selves);
      if (ordered !== undefined)
        return {
          layer: layer.layer,
          node: ordered.product,
          why: 'the mask of its text self-attention is not proven to hide padding alone: were it causal, image tokens chosen by all words would tell earlier words of later ones',
        };
      const earlier = asked.filter((a) => a !== cross && valuesAfter(model, [a.context]).has(cross.query));
      const image = imageSite(model, layer.layer, cross, earlier);
      if ('layer' in image) return image;
      return { layer: layer.layer, scoring: cross, image, text: textSite(model, cross, selves) };
    });
  },
};
