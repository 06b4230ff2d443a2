/**
 * One calibration model against the compiler: fed a plan it must give what that plan compiled gives, and with nothing
 * removed what the original gives. Everything runs in ONNX Runtime, nothing optimised.
 */
import { expect } from 'vitest';
import type { ReductionPlan, Semantics } from '../../src/reduction/plan.ts';
import { compiledWith, feedsFor, loadFixture, outputsOf, runsOf, type Fixture } from '../compile/fixtures.ts';
import { apart, calibrationOf, planOf } from './plans.ts';

/** Rounding of float32 sums at most; what was seen was bit-equal. */
const rounding = 1e-6;

export const expectSame = async (
  fixture: Fixture,
  semantics: Semantics,
  plans: readonly ReductionPlan[],
  padding: readonly number[],
): Promise<void> => {
  const original = loadFixture(fixture);
  const calibration = calibrationOf(original, { semantics });
  const feeds = feedsFor(fixture, original, padding.length, padding);
  const given = [planOf(semantics, []), ...plans].map((plan) => new Map([...feeds, ...calibration.feedsFor(plan)]));
  const [untouched, ...reduced] = await runsOf(calibration.model, given);
  const whole = await outputsOf(original, feeds);
  expect(apart(whole, untouched!)).toBeLessThanOrEqual(rounding);
  for (const [i, plan] of plans.entries()) {
    const expected = await outputsOf(compiledWith(original, { plan }).model, feeds);
    expect(apart(expected, reduced[i]!)).toBeLessThanOrEqual(rounding);
    // Or nothing would be told apart.
    expect(apart(whole, expected)).toBeGreaterThan(100 * rounding);
  }
};
