/** Where sites lie when nobody says so, against the table of docs/semantics.md. */
import { expect, test } from 'vitest';
import { defaultLayers } from '../../src/reduction/choose-plan.ts';

test.each([
  [1, [0], [0]],
  [2, [0, 1], [0, 1]],
  [3, [0, 1, 2], [0, 1, 2]],
  [4, [0, 1, 2], [0, 1, 2]],
  [5, [1, 2, 3], [0, 2, 3]],
  [6, [1, 2, 4], [1, 2, 4]],
  [12, [2, 5, 8], [2, 5, 8]],
  [24, [4, 10, 16], [4, 10, 16]],
])('of %i layers', (depth, safe, pumer) => {
  expect(defaultLayers(depth, 'safe')).toEqual(safe);
  expect(defaultLayers(depth, 'pumer')).toEqual(pumer);
});
