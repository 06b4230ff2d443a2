/**
 * Controls: other ways to choose the image tokens that go, at the token counts of a plan and so at its cost. They show
 * what a plan's own choice is worth. Sizes, masks, protected tokens and everything behind stay the reducer's.
 */

/**
 * `random`   all tokens that go are pruned, at random
 * `strided`  all are pruned, such that those left are evenly spaced
 * `pooling`  neighbours are merged, evenly spread over the lane; where more than half must go, strides first
 * `unscored` the plan as it is, with random numbers in place of the text's looks
 */
export const CONTROLS = ['random', 'strided', 'pooling', 'unscored'] as const;
export type Control = (typeof CONTROLS)[number];

export interface ControlChoice {
  readonly control: Control;
  /** Of what is random: a number, or given when the model runs as the input `SEED_INPUT`. */
  readonly seed: number | 'given';
}

/** int64 [1], from 0 up to, not including, 2^31 - 1. */
export const SEED_INPUT = 'pumer/control/seed';
