/**
 * The calibration model of two streams (METER) against the compiler: any plan gives what it gives compiled. Text stays
 * whole until the second site of one plan, and masks are the model's own until then.
 */
import { it } from 'vitest';
import { meterPumer } from '../compile/fixtures.ts';
import { expectSame } from './against-compiled.ts';
import { plansFor, semanticsList } from './plans.ts';

it.each(semanticsList)('--semantics %s', (semantics) =>
  expectSame(meterPumer, semantics, plansFor(meterPumer, semantics).slice(0, 2), [0, 5]),
);
