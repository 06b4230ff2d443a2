/**
 * The weights of all keys of an attention behind a reduction.
 */
import type { Attention } from '../../src/analysis/attention.ts';
import type { Segment } from '../../src/analysis/labels.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { ValueName } from '../../src/graph/model.ts';
import { once, type Insertion } from './session.ts';
import { originalWeight } from './weights.ts';

/** Weights [B, Lk] of all keys of an attention, as they will be. */
export const keyWeights = (
  s: Insertion,
  attention: Attention,
  tokens: readonly Segment[],
  number: number,
): ValueName => {
  const parts = tokens.map((segment, i) => {
    if (segment.version === '') return originalWeight(s, attention, attention.keyTokens, i);
    const state = s.states.get(segment.version);
    if (state === undefined || state.mask !== number)
      throw new CompileError(
        say.maskNotUnderstood('it masks the same tokens differently from the layer that was shortened', {
          node: attention.product.name,
        }),
      );
    return state.weight;
  });
  return once(s, `keys:${parts.join()}`, () => s.emitter('masks').concat(parts, 1));
};
