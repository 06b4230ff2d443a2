/**
 * Samples in two halves: one chooses a plan, the other judges it. Which sample goes where follows from the seed alone.
 */
import { randomFrom } from './random.ts';

export interface Halves {
  readonly choosing: readonly number[];
  readonly judging: readonly number[];
}

/** Of at least two samples; an odd one judges. Both in ascending order, so that files are read once. */
export const splitHalves = (count: number, seed: number): Halves => {
  const order = randomFrom(seed).shuffled(Array.from({ length: count }, (_, i) => i));
  const half = Math.floor(count / 2);
  const ascending = (part: readonly number[]): number[] => [...part].sort((a, b) => a - b);
  return { choosing: ascending(order.slice(0, half)), judging: ascending(order.slice(half)) };
};
