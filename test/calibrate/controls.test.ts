/**
 * Controls: as many tokens as the plan leaves, chosen as their names say. What the reducers did is read off their
 * positions and targets, and held against choices worked out here.
 */
import { describe, expect, it } from 'vitest';
import { DataType, type Model } from '../../src/graph/model.ts';
import { imageCounts } from '../../src/reduction/counts.ts';
import type { Control } from '../../src/reduction/control.ts';
import type { Semantics } from '../../src/reduction/plan.ts';
import { isTokenReduce } from '../../src/reduction/token-reduce/contract.ts';
import { numbersOf } from '../../src/runtime/tensor-data.ts';
import { feedsFor, loadFixture, meterPumer, runsOf, viltTiny, type Fixture } from '../compile/fixtures.ts';
import { calibrationOf, planOf, semanticsList } from './plans.ts';

const batch = 3;
const layers = [1, 4];

/** The model with what its image reducers say of positions and targets as outputs. */
const telling = (model: Model): Model => {
  const calls = model.graph.nodes.filter((n) => isTokenReduce(n) && n.name.includes('/image/'));
  const outputs = calls.flatMap((n) => [n.outputs[3]!, n.outputs[2]!]);
  return {
    ...model,
    graph: { ...model.graph, outputs: outputs.map((name) => ({ name, type: { dataType: DataType.INT64 } })) },
  };
};

/** Per site and row: positions of the tokens left, and where every token went. */
interface Told {
  readonly positions: readonly (readonly number[])[];
  readonly targets: readonly (readonly number[])[];
}

const rowsOf = (numbers: readonly number[], length: number): number[][] =>
  Array.from({ length: batch }, (_, b) => numbers.slice(b * length, (b + 1) * length));

const run = async (
  fixture: Fixture,
  semantics: Semantics,
  control: Control,
  ratios: { prune: number; merge: number },
  seeds: readonly number[] = [0],
): Promise<Told[][]> => {
  const original = loadFixture(fixture);
  const calibration = calibrationOf(original, { semantics, layers, control });
  const plan = planOf(
    semantics,
    layers.map((layer) => ({ layer, ...ratios, mergeText: 0 })),
  );
  const model = telling(calibration.model);
  const feeds = feedsFor(fixture, original, batch, [0, 3, 1]);
  const results = await runsOf(
    model,
    seeds.map((seed) => new Map([...feeds, ...calibration.feedsFor(plan, seed)])),
  );
  return results.map((outputs) => {
    const all = model.graph.outputs.map(({ name }) => outputs.get(name)!);
    return layers.map((_, i): Told => {
      const [positions, targets] = [all[2 * i]!, all[2 * i + 1]!];
      return {
        positions: rowsOf(numbersOf(positions), positions.dims[1]!),
        targets: rowsOf(numbersOf(targets), targets.dims[1]!),
      };
    });
  });
};

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const ascending = (row: readonly number[]): number[] => [...row].sort((a, b) => a - b);

/** METER reads its first image token: one is protected there. */
const cases = [viltTiny, meterPumer].flatMap((fixture) =>
  semanticsList.map((s) => [fixture.name, s, fixture] as const),
);

/** Tokens entering each site, what the plan leaves, and how many of them are out of reach of the choice. */
const lengthsOf = (fixture: Fixture, semantics: Semantics, { prune, merge }: { prune: number; merge: number }) => {
  const fixed = semantics === 'safe' ? fixture.reads.image : 0;
  let n = fixture.image;
  return layers.map(() => {
    const { after } = imageCounts(n, prune, merge, { semantics, protectedCount: fixed });
    const site = { n, after, fixed };
    n = after;
    return site;
  });
};

/** `count` of `places`, evenly: the floor(j places / count)-th for j = 0, 1, ... */
const evenly = (places: number, count: number): number[] => range(count).map((j) => Math.floor((j * places) / count));

const ratios = { prune: 0.12, merge: 0.27 };

describe.each(cases)('%s, --semantics %s', (_, semantics, fixture) => {
  it('strided: evenly spaced tokens stay', async () => {
    const [sites] = await run(fixture, semantics, 'strided', ratios);
    lengthsOf(fixture, semantics, ratios).forEach(({ n, after, fixed }, i) => {
      const expected = [...range(fixed), ...evenly(n - fixed, after - fixed).map((p) => p + fixed)];
      // `pumer` lists those at even places first, also where it merges none.
      const listed =
        semantics === 'safe'
          ? expected
          : expected.filter((_p, at) => at % 2 === 0).concat(expected.filter((_p, at) => at % 2 === 1));
      expect(sites![i]!.positions).toEqual(range(batch).map(() => listed));
    });
  });

  it('random: as many tokens, others for another seed and another row, the same for the same', async () => {
    const seeds = [...range(24), 0];
    const told = await run(fixture, semantics, 'random', ratios, seeds);
    const sets = told.map((sites) => sites.map((site) => site.positions.map((row) => ascending(row).join())));
    expect(sets.at(-1)).toEqual(sets[0]);
    expect(new Set(sets.slice(0, -1).flat(2)).size).toBe(24 * layers.length * batch);
    const [{ n, after, fixed }] = lengthsOf(fixture, semantics, ratios) as [
      { n: number; after: number; fixed: number },
    ];
    const kept = range(n).map(() => 0);
    for (const sites of told.slice(0, -1)) for (const row of sites[0]!.positions) for (const p of row) kept[p]!++;
    const runs = 24 * batch;
    expect(kept.reduce((a, b) => a + b, 0)).toBe(runs * after);
    // The first is protected, or in `pumer` kept in its place; all others are as likely as each other.
    const sure = semantics === 'pumer' ? 1 : fixed;
    kept.slice(0, sure).forEach((k) => expect(k).toBe(runs));
    const share = (after - sure) / (n - sure);
    const spread = Math.sqrt(runs * share * (1 - share));
    for (const k of kept.slice(sure)) expect(Math.abs(k - runs * share)).toBeLessThan(4.5 * spread);
    if (semantics === 'pumer')
      for (const { positions } of told[0]!) for (const row of positions) expect(row[0]).toBe(0);
  });

  it('pooling: evenly spread neighbours become one', async () => {
    const [sites] = await run(fixture, semantics, 'pooling', ratios);
    lengthsOf(fixture, semantics, ratios).forEach(({ n, after, fixed }, i) => {
      // In `pumer` the first never goes: pairs are counted from the second one on.
      const merge = n - after;
      const skipped = semantics === 'pumer' ? 1 : 0;
      const pairs = semantics === 'pumer' ? Math.floor((n - 1) / 2) : Math.floor((n - fixed) / 2);
      const expected = evenly(pairs, merge).map((p) => fixed + 2 * (p + skipped));
      for (const row of sites![i]!.targets) {
        const pooled = range(n).filter((p) => p % 2 === fixed % 2 && p < n - 1 && row[p] === row[p + 1]);
        const alone = semantics === 'pumer' && n % 2 === 1 && expected.includes(n - 1) ? [n - 1] : [];
        expect([...pooled.filter((p) => p >= fixed), ...alone]).toEqual(expected);
        expect(new Set(row).size).toBe(after);
        expect(Math.min(...row)).toBe(0);
      }
    });
  });

  it('pooling where more than half goes: strides first, then neighbours of what is left', async () => {
    const harsh = { prune: 0.5, merge: 0.2 };
    const [sites] = await run(fixture, semantics, 'pooling', harsh);
    lengthsOf(fixture, semantics, harsh).forEach(({ n, after, fixed }, i) => {
      const merge = Math.min(n - after, after - (semantics === 'pumer' ? 1 : fixed));
      const kept = [...range(fixed), ...evenly(n - fixed, after + merge - fixed).map((p) => p + fixed)];
      for (const row of sites![i]!.targets) {
        expect(range(n).filter((p) => row[p]! >= 0)).toEqual(kept);
        expect(new Set(row.filter((t) => t >= 0)).size).toBe(after);
        // Whoever shares a place shares it with the next one that is left.
        for (const t of new Set(row.filter((x) => x >= 0))) {
          const sharing = kept.flatMap((p, place) => (row[p] === t ? [place] : []));
          expect(sharing.at(-1)! - sharing[0]!).toBe(sharing.length - 1);
        }
      }
    });
  });

  it('unscored: the plan, with other tokens pruned', async () => {
    const [sites, other] = await run(fixture, semantics, 'unscored', ratios, [0, 1]);
    lengthsOf(fixture, semantics, ratios).forEach(({ n, after }, i) => {
      const { keep } = imageCounts(n, ratios.prune, ratios.merge, {
        semantics,
        protectedCount: semantics === 'safe' ? fixture.reads.image : 0,
      });
      for (const row of sites![i]!.targets) {
        expect(row.filter((t) => t < 0)).toHaveLength(n - keep);
        expect(new Set(row.filter((t) => t >= 0)).size).toBe(after);
      }
      expect(sites![i]!.targets).not.toEqual(other![i]!.targets);
    });
  });

  it('nothing removed: the lane as it came', async () => {
    const told = await Promise.all(
      (['strided', 'random', 'pooling'] as const).map((c) => run(fixture, semantics, c, { prune: 0, merge: 0 })),
    );
    for (const [sites] of told)
      for (const { positions } of sites!) expect(positions).toEqual(range(batch).map(() => range(fixture.image)));
  });
});
