/**
 * Finds attentions over text and image whose mask is one count of tokens for each row. Such a mask can hide the last
 * tokens of the axis only: where text does not stand last, it is wrong for padded text. Says so; changes nothing.
 */
import type { Understanding } from '../../src/analysis/understanding.ts';
import type { Diagnostic } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { LoweredModel } from '../lower-fused.ts';

export const paddingCounts = (u: Understanding, { lowered }: LoweredModel): readonly Diagnostic[] => {
  const countOf = new Map(
    lowered
      .filter((l) => l.counts)
      .flatMap(({ node, parts }) => parts.flatMap((p) => p.outputs.map((o) => [o, node] as const))),
  );
  const nodes = u.layers
    .flatMap((layer) => layer.joint)
    .filter((a) => a.keyTokens.findIndex((t) => t.lane === 'text') < a.keyTokens.length - 1)
    .flatMap((a) => countOf.get(a.product.outputs[0] ?? '') ?? []);
  const [first] = nodes;
  return first === undefined ? [] : [say.paddingIsCounted(first.name, nodes.length)];
};
