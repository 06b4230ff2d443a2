/**
 * Whether a model calls one of the reducers: a compiled one, its reducers not written in place.
 */
import type { Model } from '../../graph/model.ts';
import { TOKEN_REDUCE, TOKEN_REDUCE_QK } from './contract.ts';

const reducers: ReadonlySet<string> = new Set([TOKEN_REDUCE.name, TOKEN_REDUCE_QK.name]);

export const callsReducer = (model: Model): boolean =>
  model.graph.nodes.some((node) => node.domain === TOKEN_REDUCE.domain && reducers.has(node.op));
