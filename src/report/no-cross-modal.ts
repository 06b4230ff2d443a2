/**
 * Explains why a model has no layer to shorten: which towers it has, which attention was nearly recognised, and where
 * the trace of its tokens ends.
 */
import { kindOf } from '../analysis/layers.ts';
import { embeddingInputs } from '../analysis/lane-births.ts';
import { lostTokens } from '../analysis/lost-tokens.ts';
import type { Understanding } from '../analysis/understanding.ts';
import type { Diagnostic } from '../diagnostics/diagnostic.ts';
import { noCrossModalLayer } from '../diagnostics/messages.ts';
import { inputsBehind } from '../analysis/dependencies.ts';
import { grouped } from './grouped.ts';

/** At most so many of a kind; `inspect` lists them all. */
const mentioned = 3;

const plural = (n: number, word: string): string => `${n} ${word}${n === 1 ? '' : 's'}`;

export const noCrossModal = (u: Understanding): Diagnostic => {
  const towers = (['text', 'image', 'other'] as const).flatMap((kind) => {
    const own = u.attentions.filter((a) => kindOf(a) === kind);
    if (own.length === 0) return [];
    const inputs = [...new Set(own.flatMap((a) => [...inputsBehind(u.model)(a.query)]))];
    const name = kind === 'other' ? 'tokens of unknown kind' : `${kind} tower`;
    return [`${name}: ${plural(own.length, 'layer')} on ${inputs.join(', ')}`];
  });
  const misses = grouped(
    u.nearMisses.map((m) => ({ node: m.at.name, op: m.at.op, text: `expected ${m.expected}, found ${m.found}` })),
  );
  // Towers that are whole have lost nothing that matters.
  const isWhole = u.attentions.length > 0 && u.attentions.every((a) => kindOf(a) !== 'other') && misses.length === 0;
  const losses = grouped(
    lostTokens(u.lanes).map((l) => ({
      node: l.node.name,
      op: l.node.op,
      text: `axis ${l.axis}, ${l.lane ?? 'several'} tokens: ${l.reason}`,
    })),
  );
  const details = [
    ...misses.slice(0, mentioned).map((text) => `not recognised: ${text}`),
    ...(isWhole ? [] : losses.slice(0, mentioned).map((text) => `tokens are followed up to ${text}`)),
  ];
  const unknown = u.attentions.filter((a) => kindOf(a) === 'other');
  const behind = new Set(unknown.flatMap((a) => [...inputsBehind(u.model)(a.query)]));
  const embeddings = embeddingInputs(u.model).filter((name) => behind.has(name));
  return noCrossModalLayer(u.attentions.length, towers, details, embeddings);
};
