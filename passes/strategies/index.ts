/** The ways a layer can be shortened, tried in this order on every cross-modal layer. */
import type { SiteStrategy } from '../../src/analysis/sites.ts';
import { coAttention } from './co-attention.ts';
import { jointStream } from './joint-stream.ts';

export const siteStrategies: readonly SiteStrategy[] = [jointStream, coAttention];
