/**
 * Single stream (ViLT, VisualBERT, UNITER): text and image tokens share one axis. Shortened after the attention
 * residual (post-LN: after the LayerNorm behind it), before the MLP, for every reader (semantics.md, Where).
 */
import { afterNorm, residualSum } from '../../src/analysis/residual.ts';
import type { ReductionSite, SiteFault, SiteStrategy } from '../../src/analysis/sites.ts';
import type { Attention } from '../../src/analysis/attention.ts';
import type { Model } from '../../src/graph/model.ts';
import { usesOf } from '../../src/graph/uses.ts';

const siteOf = (model: Model, layer: number, attention: Attention): ReductionSite | SiteFault => {
  const sum = residualSum(model, attention.context);
  if (!('value' in sum))
    return { layer, node: sum.at ?? attention.apply, why: `expected ${sum.expected}, found ${sum.found}` };
  const value = afterNorm(model, sum.value);
  const uses = usesOf(model.graph).consumers(value);
  const [seenBy] = uses;
  if (seenBy === undefined) return { layer, node: sum.node, why: 'nothing reads the tokens after it' };
  const lane = { stream: { value, seenBy, uses }, keys: attention };
  return { layer, scoring: attention, image: lane, text: lane };
};

export const jointStream: SiteStrategy = {
  name: 'joint-stream',
  sites: (model, layer) =>
    layer.joint.length === 0 ? undefined : layer.joint.map((attention) => siteOf(model, layer.layer, attention)),
};
