/** Half of the judge's models (judge-seeds.ts says what it does); two files, so that two cores share them. */
import { it } from 'vitest';
import { judgeSeeds } from './judge-seeds.ts';

it('compiled models compute the original with its lanes shortened', { timeout: 600_000 }, () => judgeSeeds(0, 2));
