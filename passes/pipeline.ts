/**
 * What is done to a model, in order, one reason a line. Everything here but insertion runs at `--keep 1` too.
 */
import type { Semantics } from '../src/reduction/plan.ts';
import type { Pass } from '../src/rewrite/pass.ts';
import { dropStaleAnnotations } from './drop-stale-annotations.ts';
import { foldShapes } from './fold-shapes.ts';
import { freeTokenCounts, type FreeingScope } from './free-token-counts.ts';
import { inlineReductions } from './inline-reductions.ts';
import { removeUnused } from './remove-unused.ts';

/** Once the first cross-modal layers are known. */
export const freeLengths = (scope: FreeingScope): readonly Pass[] => [
  freeTokenCounts(scope), // nothing behind a reduction may assume a length
  removeUnused, // the shape chains this leaves behind would read old lengths
];

/** After insertion and its proof. */
export const tidy = (ops: 'function' | 'inline', semantics: Semantics): readonly Pass[] => [
  dropStaleAnnotations, // while the calls still say where lengths change
  ...(ops === 'inline' ? [inlineReductions(semantics)] : []), // for tools that dislike functions
  foldShapes, // lengths are final now: what is constant arithmetic becomes the numbers it is
  removeUnused, // old masks, old shape chains, and reducer outputs nobody reads
];
