/**
 * What a strategy says of a layer: where its lanes can be shortened, who then reads the shortened tokens, and which
 * attention scores and matches them. Data only; strategies live in passes/.
 */
import type { Model, Node, ValueName } from '../graph/model.ts';
import type { Attention } from './attention.ts';
import type { CrossModalLayer } from './layers.ts';

export interface TokenUse {
  readonly node: Node;
  readonly input: number;
}

/** A value that carries tokens ([B, L, D] or [L, B, D]) and the uses that will read it shortened. */
export interface Stream {
  readonly value: ValueName;
  /** A use through which the value is seen now; says which earlier shortening it already carries. */
  readonly seenBy: TokenUse;
  readonly uses: readonly TokenUse[];
}

export interface LaneSite {
  readonly stream: Stream;
  /** The attention whose keys, averaged over heads, match this lane's tokens. */
  readonly keys: Attention;
}

/** One place of one layer where tokens are removed. */
export interface ReductionSite {
  readonly layer: number;
  /** Text rows of its probabilities score image columns. */
  readonly scoring: Attention;
  readonly image: LaneSite;
  /** Undefined with a reason where the text cannot be shortened here. */
  readonly text: LaneSite | { readonly why: string };
}

export interface SiteFault {
  readonly layer: number;
  readonly node: Node;
  readonly why: string;
}

export interface SiteStrategy {
  readonly name: string;
  /** Undefined: the layer is not of this strategy's form. */
  readonly sites: (
    model: Model,
    layer: CrossModalLayer,
    attentions: readonly Attention[],
  ) => readonly (ReductionSite | SiteFault)[] | undefined;
}

export const isFault = (site: ReductionSite | SiteFault): site is SiteFault => 'why' in site;
