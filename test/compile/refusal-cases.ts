/**
 * One small model, one edit each, that naive rewriting would turn into a model that runs and is wrong: each must be
 * refused, by name of the node that cannot follow. Shared by the tests of refusals.
 */
import { expect } from 'vitest';
import { CompileError, type Diagnostic } from '../../src/diagnostics/diagnostic.ts';
import type { Model } from '../../src/graph/model.ts';
import type { CompileOptions } from '../../src/options.ts';
import {
  edited,
  imageTokens,
  modelOfTiny,
  tinyVilt,
  words,
  type Edit,
  type Tiny,
  type TinyOptions,
} from '../support/tiny-vilt.ts';
import { compiledWith } from './fixtures.ts';

export const bothLanes: CompileOptions = { prune: 0.3, merge: 0.2, mergeText: 0.25, layers: [0, 1] };
export const imageOnly: CompileOptions = { ...bothLanes, mergeText: 0 };

export const joint = words + imageTokens;
/** The end of an axis, as exporters write it. */
export const end = 'i[1]:9000000000000000000';

export const refusalOf = (model: Model, options: CompileOptions): Diagnostic | undefined => {
  try {
    compiledWith(model, options);
  } catch (error) {
    if (error instanceof CompileError) return error.diagnostic;
    throw error;
  }
  return undefined;
};

export const edit =
  (e: Edit) =>
  (tiny: Tiny): Tiny =>
    edited(tiny, e);

/** `y` instead of the tokens entering the last layer, or of another value. */
export const through =
  (nodes: readonly string[], values: Record<string, string> = {}, after = 'x2') =>
  (tiny: Tiny): Tiny =>
    edited(tiny, { after, nodes, instead: 'y', values });

/** `q`, one vector a row made from the tokens entering the last layer, is added to what the answer is read off. */
export const beside =
  (nodes: readonly string[], values: Record<string, string> = {}) =>
  (tiny: Tiny): Tiny =>
    edited(edited(tiny, { after: 'x2', nodes, values }), {
      after: 'pooled',
      nodes: ['pooled_too = Add(pooled, q)'],
      instead: 'pooled_too',
    });

export interface Case {
  readonly what: string;
  readonly change: (tiny: Tiny) => Tiny;
  readonly base?: TinyOptions;
  readonly options?: CompileOptions;
  readonly semantics?: readonly ('safe' | 'pumer')[];
  readonly code: string;
  readonly node: string;
  /** Layer 2, whose site is behind the edit, cannot be shortened either: lanes end there, or its own mask is the edit. */
  readonly everywhere?: true;
}

export const expectRefused = (c: Case): void => {
  const { options = bothLanes } = c;
  const model = modelOfTiny(c.change(tinyVilt(c.base)));
  const importing = { ...model, opsets: new Map([...model.opsets, ['com.example', 1]]) };
  for (const semantics of c.semantics ?? (['safe', 'pumer'] as const)) {
    const refusal = refusalOf(importing, { ...options, semantics });
    expect(`${refusal?.code} at ${refusal?.at?.node}`).toBe(`${c.code} at ${c.node}`);
    // Where the tokens are shortened behind it, the same node is nobody's business.
    const behind = refusalOf(importing, { ...imageOnly, layers: [2], semantics });
    expect(behind?.code === undefined ? 'compiles' : 'refused').toBe(c.everywhere === true ? 'refused' : 'compiles');
  }
};
