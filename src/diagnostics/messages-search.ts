/**
 * What the search for a plan says of states that it cannot go on from: one builder per code.
 */
import { error, type Diagnostic } from './diagnostic.ts';

/** `facts`: names of what differs, such as "budget" or "model". */
export const stateOfAnotherSearch = (facts: readonly string[]): Diagnostic =>
  error('state-of-another-search', `the state is that of another search: ${facts.join(', ')} differ`, {
    fix: 'give what it was started with, or calibrate without --resume',
  });
