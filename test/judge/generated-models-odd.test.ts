/** The other half of the judge's models (judge-seeds.ts says what it does). */
import { it } from 'vitest';
import { judgeSeeds } from './judge-seeds.ts';

it('compiled models compute the original with its lanes shortened', { timeout: 600_000 }, () => judgeSeeds(1, 2));
