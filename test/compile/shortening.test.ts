/**
 * Every product behind a site really runs on fewer tokens: sizes from ONNX Runtime's profile against the same node of
 * the unreduced model, with token counts worked out here from the ratios.
 */
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/graph/model.ts';
import { imageCounts, textCounts } from '../../src/reduction/counts.ts';
import type { PlannedSite, Semantics } from '../../src/reduction/plan.ts';
import type { NodeRun } from '../../src/runtime/profile.ts';
import { compiledWith, feedsFor, fixtures, loadFixture, meterPumer, profileOf, type Fixture } from './fixtures.ts';

const batch = 2;
const ratios = { prune: 0.2, merge: 0.15, mergeText: 0.25 };

interface Lengths {
  readonly text: number;
  readonly image: number;
}

/** Lengths before the first site and after each. */
const lengthsOf = (fixture: Fixture, sites: readonly PlannedSite[], semantics: Semantics): Lengths[] => {
  const rule = (lane: 'text' | 'image') => ({ semantics, protectedCount: fixture.reads[lane] });
  return sites.reduce<Lengths[]>(
    (list, { prune, merge, mergeText }) => {
      const { text, image } = list.at(-1)!;
      const after = {
        image: imageCounts(image, prune, merge, rule('image')).after,
        text: textCounts(text, mergeText, rule('text')).after,
      };
      return [...list, after];
    },
    [{ text: fixture.text, image: fixture.image }],
  );
};

const isProduct = (run: { op: string }): boolean => run.op === 'MatMul' || run.op === 'Gemm';

/** Products of the model's own nodes by name; those inside the reducer have names of ONNX Runtime's making. */
const productsOf = (runs: readonly NodeRun[]): Map<string, NodeRun> =>
  new Map(runs.filter((run) => isProduct(run) && !run.name.startsWith('_inlfunc')).map((run) => [run.name, run]));

const shapesIn = (run: NodeRun): string => [...run.inputs, ...run.outputs].map((dims) => dims.join('x')).join(' ');

/** How many of the streams a node's elements depend on: the stage of a single stream it runs at. */
const stagesOf = (model: Model, streams: readonly string[]): Map<string, number> => {
  const stages = new Map<string, number>();
  streams.forEach((stream) => {
    const reached = new Set([stream]);
    for (const node of model.graph.nodes) {
      if (node.op === 'Shape' || !node.inputs.some((v) => reached.has(v))) continue;
      for (const output of node.outputs) reached.add(output);
      stages.set(node.name, (stages.get(node.name) ?? 0) + 1);
    }
  });
  return stages;
};

/** The sizes of a node of the unreduced model, told another number of tokens. */
const shortened = (run: NodeRun, from: number, to: number): string => {
  const size = (n: number): number => (n === from ? to : n === batch * from ? batch * to : n);
  return shapesIn({ ...run, inputs: run.inputs.map((d) => d.map(size)), outputs: run.outputs.map((d) => d.map(size)) });
};

const singleStreams = fixtures.filter((f) => f !== meterPumer);
const semanticsList: readonly Semantics[] = ['safe', 'pumer'];

describe.each(semanticsList)('--semantics %s', (semantics) => {
  it.each(singleStreams.map((f) => [f.name, f] as const))(
    '%s: every product runs on the planned lengths',
    async (_, fixture) => {
      const model = loadFixture(fixture);
      const given = fixture.mergesText ? ratios : { ...ratios, mergeText: 0 };
      const layers = [1, 3, fixture.layers - 1];
      const compiled = compiledWith(model, { ...given, layers, semantics });
      const lengths = lengthsOf(fixture, compiled.plan.sites, semantics);
      expect(compiled.plan.sites.map((s) => s.layer)).toEqual(layers);
      // Every stage is shorter than the one before, or the test would say nothing.
      lengths.slice(1).forEach((l, i) => expect(l.text + l.image).toBeLessThan(lengths[i]!.text + lengths[i]!.image));

      const feeds = feedsFor(fixture, model, batch, [0, 3]);
      const before = productsOf(await profileOf(model, feeds));
      const now = productsOf(await profileOf(compiled.model, feeds));
      const streams = compiled.resolved.sites.map((s) => s.lanes[0]!.site.stream.value);
      const stages = stagesOf(compiled.understanding.model, streams);
      const joint = ({ text, image }: Lengths): number => text + image;
      expect([...now.keys()].sort()).toEqual([...before.keys()].sort());
      const seen = [0, 0, 0, 0];
      for (const [name, run] of now) {
        const stage = stages.get(name) ?? 0;
        seen[stage]!++;
        expect(`${name}: ${shapesIn(run)}`).toBe(
          `${name}: ${shortened(before.get(name)!, joint(lengths[0]!), joint(lengths[stage]!))}`,
        );
      }
      // Two MLP products behind the first site, at least six in each whole layer between sites.
      expect(seen[0]).toBeGreaterThanOrEqual(10);
      expect(seen[1]).toBeGreaterThanOrEqual(2 + 6 + 4);
      expect(seen[3]).toBeGreaterThanOrEqual(2);
      const attentions = compiled.understanding.attentions.filter((a) => (stages.get(a.product.name) ?? 0) > 0);
      expect(attentions).toHaveLength(fixture.layers - 2);
      for (const { product } of attentions) {
        const length = joint(lengths[stages.get(product.name)!]!);
        expect(now.get(product.name)!.outputs[0]!.slice(-2)).toEqual([length, length]);
      }
    },
  );

  it('meter-pumer: text and image products run on the lengths of their own lane', async () => {
    const model = loadFixture(meterPumer);
    const layers = [0, 2, 3];
    const compiled = compiledWith(model, { ...ratios, layers, semantics });
    const lengths = lengthsOf(meterPumer, compiled.plan.sites, semantics);
    const entering = (layer: number): Lengths => lengths[layers.filter((l) => l < layer).length]!;
    const leaving = (layer: number): Lengths => entering(layer + 1);

    const feeds = feedsFor(meterPumer, model, batch, [0, 5]);
    const before = productsOf(await profileOf(model, feeds));
    const now = productsOf(await profileOf(compiled.model, feeds));
    let cross = 0;
    for (const [name, run] of now) {
      const old = before.get(name)!;
      const [, stack, number, part = ''] = /cross_modal_(text|image)_layers\.(\d+)\/(.*)/.exec(name) ?? [];
      if (stack === undefined || number === undefined) {
        // The encoders before, and the poolers behind, which see one token.
        expect(`${name}: ${shapesIn(run)}`).toBe(`${name}: ${shapesIn(old)}`);
        continue;
      }
      cross++;
      const layer = Number(number);
      // Text keeps its length up to its FFN; the image layer behind it reads both short.
      const text =
        part.startsWith('intermediate') || part.startsWith('output') ? leaving(layer).text : entering(layer).text;
      const own = stack === 'text' ? text : leaving(layer).image;
      const other = stack === 'text' ? entering(layer).image : leaving(layer).text;
      const [wasOwn, wasOther] = stack === 'text' ? [20, 65] : [65, 20];
      const size = (n: number): number => (n === wasOwn ? own : n === wasOther ? other : n);
      const expected = {
        ...old,
        inputs: old.inputs.map((d) => d.map(size)),
        outputs: old.outputs.map((d) => d.map(size)),
      };
      expect(`${name}: ${shapesIn(run)}`).toBe(`${name}: ${shapesIn(expected)}`);
    }
    // Per layer: 8 projections, 4 products and 2 of the FFN; nothing reads the last image layer but its first token.
    expect(cross).toBe([...before.keys()].filter((n) => n.includes('cross_modal_') && /layers\.\d/.test(n)).length);
    expect(cross).toBeGreaterThanOrEqual(2 * 5 * 14 - 14);
  });
});
