/**
 * Explains why a model has no layer to shorten: which towers it has, and which attention was nearly recognised.
 */
import { kindOf } from '../analysis/layers.ts';
import type { Understanding } from '../analysis/understanding.ts';
import type { Diagnostic } from '../diagnostics/diagnostic.ts';
import { noCrossModalLayer } from '../diagnostics/messages.ts';
import { inputsBehind } from '../analysis/dependencies.ts';

const plural = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;

export const noCrossModal = (u: Understanding): Diagnostic => {
  const towers = (['text', 'image', 'other'] as const).flatMap((kind) => {
    const own = u.attentions.filter((a) => kindOf(a) === kind);
    if (own.length === 0) return [];
    const inputs = [...new Set(own.flatMap((a) => [...inputsBehind(u.model)(a.query)]))];
    const name = kind === 'other' ? 'tokens of unknown kind' : `${kind} tower`;
    return [`${name}: ${plural(own.length, 'layer')} on ${inputs.join(', ')}`];
  });
  const misses = u.nearMisses
    .slice(0, 3)
    .map((m) => `not recognised: node "${m.at.name}" (${m.at.op}): expected ${m.expected}, found ${m.found}`);
  return noCrossModalLayer(u.attentions.length, towers, misses);
};
