/**
 * Positions on a token axis: which lane a read falls into, counted from the lane's start or end. Works on symbolic
 * lengths; what cannot be told for every length is undefined, never guessed.
 */
import { addDims, constDim, dimValue, sameDim, subDims, sumDims, type Dim } from './dim.ts';
import type { Segment } from './labels.ts';

export interface Located {
  readonly segment: number;
  /** Offset from the segment's start, or (negative) from its end. */
  readonly offset: number;
}

/** Starts of the segments, and the end of the last one. */
export const bordersOf = (tokens: readonly Segment[]): readonly Dim[] =>
  tokens.reduce<readonly Dim[]>((list, s) => [...list, addDims(list[list.length - 1] as Dim, s.length)], [constDim(0)]);

/** The token an index points at. Lanes are taken to hold at least one token. */
export const locate = (tokens: readonly Segment[], at: Dim): Located | undefined => {
  const value = dimValue(at);
  const index = value !== undefined && value < 0 ? addDims(sumDims(tokens.map((s) => s.length)), at) : at;
  const borders = bordersOf(tokens);
  for (const [segment, { length }] of tokens.entries()) {
    const size = dimValue(length);
    const fromStart = dimValue(subDims(index, borders[segment] as Dim));
    const fromEnd = dimValue(subDims(index, borders[segment + 1] as Dim));
    if (fromStart !== undefined && fromStart >= 0 && (fromStart === 0 || (size !== undefined && fromStart < size)))
      return { segment, offset: fromStart };
    if (fromEnd !== undefined && fromEnd < 0 && (fromEnd === -1 || (size !== undefined && -fromEnd <= size)))
      return { segment, offset: size === undefined ? fromEnd : size + fromEnd };
  }
  return undefined;
};

/** The border between segments an offset falls on. */
export const borderAt = (tokens: readonly Segment[], at: Dim): number | undefined => {
  const found = bordersOf(tokens).findIndex((b) => sameDim(b, at));
  return found < 0 ? undefined : found;
};
