/**
 * The calibration models of single streams against the compiler: any plan gives what it gives compiled.
 */
import { describe, it } from 'vitest';
import { fixtures, meterPumer, viltTiny } from '../compile/fixtures.ts';
import { expectSame } from './against-compiled.ts';
import { plansFor, semanticsList } from './plans.ts';

describe.each(semanticsList)('--semantics %s', (semantics) => {
  it.each(fixtures.filter((f) => f !== meterPumer && f !== viltTiny).map((f) => [f.name, f] as const))(
    '%s',
    (_, fixture) => expectSame(fixture, semantics, plansFor(fixture, semantics).slice(0, 2), [0, 3]),
  );
});
