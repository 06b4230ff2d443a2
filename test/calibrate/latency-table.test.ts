/** The table as text, the design of plans to time, and the timing itself on sessions that only count. */
import { describe, expect, test } from 'vitest';
import { latencyDesign, latencyTurns, type LatencyEffort } from '../../src/calibrate/latency/design.ts';
import { measureLatencies, type LatencyRequest, type ModelSource } from '../../src/calibrate/latency/measure.ts';
import { parseLatencyTable, printLatencyTable, whyUnfit } from '../../src/calibrate/latency/table.ts';
import { printPlan, type ReductionPlan, type Semantics } from '../../src/reduction/plan.ts';
import { costOf, openSites, sizes, tableOf } from './made-up-machine.ts';

const design = (effort: LatencyEffort, semantics: Semantics = 'safe', sites = openSites): readonly ReductionPlan[] =>
  latencyDesign({ sites, semantics, costOf }, sizes, effort);

describe('the table as text', () => {
  const table = tableOf(design('quick'), 0.01);
  const text = printLatencyTable(table);

  test('comes back as it was, and prints the same bytes', () => {
    expect(parseLatencyTable(text)).toEqual(table);
    expect(printLatencyTable(parseLatencyTable(text) as typeof table)).toBe(text);
    const machines = { ...table, threads: null };
    expect(parseLatencyTable(printLatencyTable(machines))).toEqual(machines);
  });

  test('serves the calibration it was measured for, and no other', () => {
    const { image, batch, threads } = table;
    const own = { image, batch, threads, semantics: 'safe', sites: openSites } as const;
    expect(whyUnfit(table, own)).toBeUndefined();
    expect(whyUnfit(table, { ...own, image: 36 })).toMatch(/^image tokens: \d+ there, 36 here$/);
    expect(whyUnfit(table, { ...own, batch: 8 })).toMatch(/^rows of a run: 1 there, 8 here$/);
    expect(whyUnfit({ ...table, threads: null }, { ...own, threads: 2 })).toMatch(
      /^threads: the default there, 2 here$/,
    );
    expect(whyUnfit(table, { ...own, semantics: 'pumer' })).toMatch(/plans for safe/);
    expect(whyUnfit(table, { ...own, sites: openSites.slice(1) })).toMatch(/layer 0, which is not open here/);
  });

  type Loose = Record<string, unknown> & { timed: Record<string, unknown>[] };
  test.each<[string, (t: Loose) => void, RegExp]>([
    ['another version', (t) => (t['schema_version'] = 2), /schema_version must be 1/],
    ['a field too many', (t) => (t['note'] = ''), /unknown field "note"/],
    ['a field too few', (t) => delete t['machine'], /lacks the field "machine"/],
    ['no plans', (t) => (t.timed = []), /at least one plan/],
    ['half a token', (t) => (t['image'] = 1.5), /image must be a whole number/],
    ['no threads', (t) => (t['threads'] = 0), /threads must be a whole number from 1 on/],
    ['no time', (t) => (t.timed[1]!['ratio'] = { median: 0, low: 0, high: 1 }), /timed\[1\].ratio.median must be/],
    ['a time that is text', (t) => (t.timed[0]!['compiled'] = { median: '1', low: 1, high: 1 }), /compiled.median/],
    ['crossed quartiles', (t) => (t.timed[0]!['ratio'] = { median: 1, low: 2, high: 3 }), /outside the quartiles/],
    ['a plan that is none', (t) => (t.timed[2]!['plan'] = { sites: [] }), /timed\[2\].plan cannot be used/],
    [
      'two kinds of plans',
      (t) => (t.timed[1]!['plan'] = { schema_version: 1, semantics: 'pumer', sites: [] }),
      /other semantics/,
    ],
  ])('%s is refused', (_, change, says) => {
    const loose = JSON.parse(text) as Loose;
    change(loose);
    expect(parseLatencyTable(JSON.stringify(loose))).toMatch(says);
  });

  test('what is no JSON is refused', () => {
    expect(parseLatencyTable(text.slice(0, -9))).toMatch(/not JSON/);
    expect(parseLatencyTable('[]')).toMatch(/not an object/);
  });
});

describe('the plans to time', () => {
  const efforts: readonly LatencyEffort[] = ['quick', 'default', 'thorough'];

  test('are more with more effort, and differ', () => {
    const counts = efforts.map((effort) => design(effort).length);
    expect(counts[0]).toBeGreaterThanOrEqual(8);
    expect(counts[0]).toBeLessThan(counts[1]!);
    expect(counts[1]).toBeLessThan(counts[2]!);
    for (const effort of efforts) expect(new Set(design(effort).map(printPlan)).size).toBe(design(effort).length);
    expect(latencyTurns('quick').seconds).toBeLessThan(latencyTurns('thorough').seconds);
  });

  test.each<Semantics>(['safe', 'pumer'])(
    'remove something, at early, middle and late sites, text too: %s',
    (semantics) => {
      const costs = design('default', semantics).map((plan) => costOf(plan, sizes));
      expect(costs.every((cost) => cost.sites.length > 0)).toBe(true);
      const alone = costs.flatMap(({ sites }) => (sites.length === 1 ? [sites[0]!.layer] : []));
      expect([0, 6, 11].every((layer) => alone.includes(layer))).toBe(true);
      expect(costs.some(({ sites }) => sites.some(({ text }) => text.after < text.before))).toBe(true);
      // The reducers by themselves: several of them, and hardly a token gone.
      const idle = costs.find(
        ({ sites }) => sites.length >= 3 && sites.every((s) => s.image.before - s.image.after <= 1),
      );
      expect(idle).toBeDefined();
      // Few and many tokens left.
      const least = Math.min(...costs.map(({ stages }) => stages.at(-1)!.image));
      expect(least).toBeLessThan(0.25 * sizes.image);
    },
  );

  test('use open sites only', () => {
    const sites = [
      { layer: 3, image: true, text: false },
      { layer: 4, image: false, text: true },
    ];
    const planned = design('thorough', 'safe', sites).flatMap((plan) => plan.sites);
    expect(new Set(planned.map((s) => s.layer))).toEqual(new Set([3, 4]));
    for (const site of planned) {
      if (site.layer === 3) expect(site.mergeText).toBe(0);
      else expect([site.prune, site.merge]).toEqual([0, 0]);
    }
    expect(design('default', 'safe', [])).toEqual([]);
    // Text alone is left alone by the published rules.
    expect(design('default', 'pumer', [sites[1]!])).toEqual([]);
  });

  test('have ratios of four places at most', () => {
    for (const effort of efforts)
      for (const semantics of ['safe', 'pumer'] as const)
        for (const { prune, merge, mergeText } of design(effort, semantics).flatMap((plan) => plan.sites))
          for (const ratio of [prune, merge, mergeText]) expect(ratio).toBe(Number(ratio.toFixed(4)));
  });
});

describe('timing plans', () => {
  const plans = design('quick').slice(0, 3);
  /** Sessions that take as many milliseconds as their model's name says. */
  const stage = () => {
    let time = 0;
    let [opened, most] = [0, 0];
    const discarded: ModelSource[] = [];
    const request: LatencyRequest = {
      plans,
      original: '10',
      compilePlan: (plan) => String(5 + plans.indexOf(plan)),
      discard: (model) => discarded.push(model),
      open: (model) => {
        opened++;
        most = Math.max(most, opened);
        return Promise.resolve({
          run: () => {
            time += Number(model);
            return Promise.resolve(new Map());
          },
          release: () => {
            opened--;
            return Promise.resolve();
          },
        });
      },
      feeds: new Map(),
      turns: { warmUps: 1, least: 4, most: 4, rest: 0, now: () => time },
    };
    return { request, discarded, state: () => ({ opened, most }) };
  };

  test('gives each plan its ratio to the original, with three models open at most', async () => {
    const { request, discarded, state } = stage();
    const seen: [number, number][] = [];
    const timed = await measureLatencies(request, { progress: (...at) => seen.push(at) });
    expect(timed.map((t) => t.plan)).toEqual(plans);
    expect(timed.map((t) => [t.original.median, t.compiled.median, t.ratio.median, t.turns])).toEqual([
      [10, 5, 0.5, 4],
      [10, 6, 0.6, 4],
      [10, 7, 0.7, 4],
    ]);
    expect(state()).toEqual({ opened: 0, most: 3 });
    expect(discarded).toEqual(['5', '6', '7']);
    expect(seen).toEqual([
      [2, 3],
      [3, 3],
    ]);
  });

  test('closes everything when it is stopped or a plan fails', async () => {
    const { request, discarded, state } = stage();
    const stop = new AbortController();
    await expect(
      measureLatencies(request, { signal: stop.signal, progress: () => stop.abort(new Error('enough')) }),
    ).rejects.toThrow('enough');
    expect([state().opened, discarded]).toEqual([0, ['5', '6']]);
    const failing = { ...request, compilePlan: () => Promise.reject(new Error('refused')) };
    await expect(measureLatencies(failing)).rejects.toThrow('refused');
    expect(state().opened).toBe(0);
  });
});
