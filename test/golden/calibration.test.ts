/** golden/calibration-formula: the same seed, losses and latency table give the same plans, to the last digit. */
import { describe, expect, test } from 'vitest';
import { readCase, searched } from './calibration-case.ts';

describe('golden calibration', () => {
  const golden = readCase();

  test('holds a budget of each kind, and plans that remove something', () => {
    expect(golden.runs.map(({ budget }) => Object.keys(budget).join())).toEqual([
      'maxDrop',
      'minSpeedup',
      'minAgreement,maxLatencyMs',
    ]);
    for (const { chosen, front } of golden.runs) {
      expect(chosen.sites.length).toBeGreaterThan(0);
      expect(front.length).toBeGreaterThan(3);
    }
  });

  test.each(golden.runs)('$budget', async ({ budget, chosen, front, plans, planSamples }) => {
    const result = await searched(golden, budget);
    expect(result.chosen.plan).toEqual(chosen);
    expect(result.front.map(({ plan }) => plan)).toEqual(front);
    expect(result.tried).toMatchObject({ plans, planSamples });
  });
});
