/**
 * Searches that are interrupted and gone on with, and searches with evaluators that misbehave. No model is run.
 */
import { describe, expect, test } from 'vitest';
import type { Budget } from '../../src/calibrate/search/budget.ts';
import type { Evaluator } from '../../src/calibrate/evaluator.ts';
import { parseSearchState, type SearchState } from '../../src/calibrate/search/state.ts';
import { search, type SearchOptions, type SearchResult } from '../../src/calibrate/search/search.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { all, COUNT, options, problem } from './synthetic.ts';

describe('interrupted and gone on with', () => {
  const made = problem(41);
  const budget = { maxDrop: 0.02 };
  let once: Promise<SearchResult> | undefined;
  const whole = (): Promise<SearchResult> => (once ??= search(options(made, budget, made.evaluator(COUNT, true))));

  const interruptedAfter = async (
    calls: number,
    given: Budget = budget,
  ): Promise<{ result: SearchResult; states: SearchState[] }> => {
    const stop = new AbortController();
    const inner = made.evaluator(COUNT, true);
    const states: SearchState[] = [];
    const evaluator: Evaluator = {
      count: COUNT,
      losses: (plan, samples, signal) => {
        if (inner.calls === calls) stop.abort();
        return inner.losses(plan, samples, signal);
      },
    };
    const onState = (state: SearchState): void => void states.push(state);
    const result = await search(options(made, given, evaluator, { signal: stop.signal, onState }));
    return { result, states };
  };

  test.each([0, 1, 20, 60])('after %i evaluations: the same result as uninterrupted', async (calls) => {
    const { result } = await interruptedAfter(calls);
    expect(result.interrupted).toBe(true);
    expect(result.tried.planSamples).toBeLessThan((await whole()).tried.planSamples);
    const state = parseSearchState(JSON.stringify(result.state));
    if (typeof state === 'string') throw new Error(state);
    const evaluator = made.evaluator(COUNT, true);
    const resumed = await search(options(made, budget, evaluator, { state }));
    expect(resumed).toEqual(await whole());
    expect(evaluator.planSamples).toBe(resumed.tried.planSamples - result.tried.planSamples);
  });

  test('every state on the way will do', async () => {
    const { states } = await interruptedAfter(60);
    expect(states.length).toBeGreaterThan(1);
    const [first] = states;
    const resumed = await search(
      options(made, budget, made.evaluator(COUNT, true), { ...(first && { state: first }) }),
    );
    expect(resumed).toEqual(await whole());
  });

  test('the best so far is kept: within the budget, or at its speed', async () => {
    const { result } = await interruptedAfter(60);
    expect(result.chosen.samples).toBe(COUNT);
    expect(result.chosen.drop.mean + result.chosen.drop.standardError).toBeLessThanOrEqual(0.02);
    const early = await interruptedAfter(10, { minSpeedup: 1.1 });
    expect(early.result.interrupted).toBe(true);
    expect(early.result.chosen.ratio).toBeLessThanOrEqual(1 / 1.1);
  });

  test('a state of another search is refused, and told what differs', async () => {
    const { state } = await whole();
    const run = (more: Partial<SearchOptions>, given: Budget = budget): Promise<unknown> =>
      search(options(made, given, made.evaluator(COUNT, true), { state, ...more })).catch((error: unknown) => error);
    expect(await run({ seed: 9, effort: 'default' })).toMatchObject({
      diagnostic: { code: 'state-of-another-search', message: expect.stringContaining('effort, seed') as string },
    });
    expect(await run({}, { maxDrop: 0.03 })).toBeInstanceOf(CompileError);
    expect(await run({ facts: { model: 'another' } })).toMatchObject({
      message: expect.stringContaining('model') as string,
    });
    expect(await run({ choose: all.slice(1) })).toMatchObject({
      message: expect.stringContaining('samples') as string,
    });
  });

  test.each([
    ['', /not JSON/],
    ['[]', /not an object/],
    ['{"schema_version": 2}', /schema_version/],
    ['{"schema_version": 1, "problem": {}, "latency": {}}', /trials/],
    ['{"schema_version": 1, "problem": {}, "latency": {}, "trials": [{"rung": 0}]}', /trials\[0\]/],
  ])('no state: %s', (text, reason) => {
    expect(parseSearchState(text)).toMatch(reason);
  });

  test('other failures of the evaluator are its own', async () => {
    const evaluator: Evaluator = { count: COUNT, losses: () => Promise.reject(new Error('out of memory')) };
    await expect(search(options(made, budget, evaluator))).rejects.toThrow('out of memory');
  });
});

describe('hostile evaluators', () => {
  const made = problem(51, 3);
  const constant = (value: number): Evaluator => ({
    count: COUNT,
    losses: (_, samples) => {
      const losses = Float64Array.from(samples, () => value);
      return Promise.resolve({ metric: losses, disagreement: losses, distance: losses });
    },
  });
  const run = (evaluator: Evaluator, budget: Budget): Promise<SearchResult> => search(options(made, budget, evaluator));

  test('NaN everywhere: nothing is removed, and no figure is NaN', async () => {
    const result = await run(constant(NaN), { maxDrop: 0.5 });
    expect(result.chosen.plan.sites).toEqual([]);
    expect(result.tried.broken).toBe(result.tried.plans);
    expect(JSON.stringify(result.front)).not.toContain('null');
    expect(JSON.parse(JSON.stringify(result.state))).toEqual(result.state);
    expect((await run(constant(Infinity), { minSpeedup: 1.2 })).reached).toBe(false);
  });

  test('NaN for one site: that site is left alone', async () => {
    const inner = made.evaluator(COUNT, false);
    const evaluator: Evaluator = {
      count: COUNT,
      losses: async (plan, samples) => {
        const losses = await inner.losses(plan, samples);
        if (plan.sites.some((s) => s.layer === 1)) losses.metric[samples.length - 1] = NaN;
        return losses;
      },
    };
    const { chosen, front } = await run(evaluator, { maxDrop: 0.02 });
    expect(chosen.plan.sites.length).toBeGreaterThan(0);
    for (const { plan } of [chosen, ...front]) expect(plan.sites.map((s) => s.layer)).not.toContain(1);
  });

  test('all plans lose the same: nothing, much, less than nothing', async () => {
    const free = await run(constant(0), { maxDrop: 0 });
    expect(free.chosen.ratio).toBe(Math.min(...free.front.map((p) => p.ratio)));
    expect(free.chosen.ratio).toBeLessThan(0.6);
    expect((await run(constant(1), { maxDrop: 0.1 })).chosen.plan.sites).toEqual([]);
    expect((await run(constant(-1), { maxDrop: 0.1 })).chosen.ratio).toBeLessThan(0.6);
  });

  test('no layer is open, one sample, one ratio', async () => {
    const evaluator = made.evaluator(COUNT, false);
    const none = await search(options(made, { maxDrop: 0.1 }, evaluator, { sites: [] }));
    expect(none.chosen.plan.sites).toEqual([]);
    expect(evaluator.calls).toBe(0);
    // One sample says nothing of luck, so no plan is trusted.
    const single = await search(options(made, { maxDrop: 0.1 }, evaluator, { choose: [5] }));
    expect(single.chosen.plan.sites).toEqual([]);
    const text = await search(
      options(made, { maxDrop: 0.05 }, evaluator, { sites: [{ layer: 1, image: false, text: true }] }),
    );
    for (const { plan } of text.front)
      for (const site of plan.sites) expect(site).toMatchObject({ layer: 1, prune: 0, merge: 0 });
    expect(text.chosen.plan.sites).toHaveLength(1);
  });
});
