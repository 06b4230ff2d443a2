/**
 * What is done to a model, in order, one reason a line. Everything here but insertion runs at `--keep 1` too.
 */
import type { Attention } from '../src/analysis/attention.ts';
import type { Semantics } from '../src/reduction/plan.ts';
import type { Pass } from '../src/rewrite/pass.ts';
import { dropStaleAnnotations } from './drop-stale-annotations.ts';
import { foldBranches } from './fold-branches.ts';
import { foldShapes } from './fold-shapes.ts';
import { freeTokenCounts, type FreeingScope } from './free-token-counts.ts';
import { inlineFunctions } from './inline-functions.ts';
import { inlineMaps } from './inline-maps.ts';
import { inlineReductions } from './inline-reductions.ts';
import { ownWrappers } from './own-wrappers.ts';
import type { LoweredModel } from './lower-fused.ts';
import { raiseUntouched } from './raise-untouched.ts';
import { removeUnused } from './remove-unused.ts';
import { shareWrappers } from './share-wrappers.ts';

/** Before anything is understood: what cannot be traced into is written out. Exact, nothing is folded but branches. */
export const open: readonly Pass[] = [
  inlineFunctions, // a call hides what its body does to tokens
  foldBranches, // a branch never taken is no reader; an If over shapes may stand in any function
];

/** Before anything is planned. */
export const splitReaders = (asked: readonly Attention[]): readonly Pass[] => [
  ownWrappers(asked), // a site needs a place between the readers of one quantised value
];

/** Once the first cross-modal layers are known. */
export const freeLengths = (scope: FreeingScope): readonly Pass[] => [
  freeTokenCounts(scope), // nothing behind a reduction may assume a length
  removeUnused, // the shape chains this leaves behind would read old lengths
];

/** After insertion and its proof. */
export const tidy = (ops: 'function' | 'inline', semantics: Semantics, lowered: LoweredModel): readonly Pass[] => [
  removeUnused, // what insertion asked for in vain reads inside of operators
  raiseUntouched(lowered), // fused operators whose parts are as they were
  dropStaleAnnotations, // while the calls still say where lengths change
  inlineMaps(semantics), // they were calls for the proof alone
  ...(ops === 'inline' ? [inlineReductions(semantics)] : []), // for tools that dislike functions
  shareWrappers, // one quantiser for all readers of a value, where they still read the same
  foldShapes, // lengths are final now: what is constant arithmetic becomes the numbers it is
  removeUnused, // old masks, old shape chains, and reducer outputs nobody reads
];
