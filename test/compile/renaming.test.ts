/**
 * Nothing depends on names or on the order of nodes: with all values and nodes called something else, or the nodes in
 * another order in which each still follows what it reads, the same plan, the same sites and the same answers come out.
 */
import { describe, expect, it } from 'vitest';
import type { GraphValue, Model, Node, ValueName } from '../../src/graph/model.ts';
import type { Compiled } from '../../src/compile.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import { sameBits } from '../conformance/compare.ts';
import { randomFrom } from '../reduction/harness.ts';
import { compiledWith, feedsFor, fixtures, loadFixture, meterPumer, outputsOf, type Fixture } from './fixtures.ts';

interface Renamed {
  readonly model: Model;
  readonly nameOf: (old: ValueName) => ValueName;
  readonly nodeNameOf: (old: string) => string;
}

/** Every value, node and graph under a name that says nothing. */
const renamed = (model: Model): Renamed => {
  const { graph } = model;
  const made = graph.nodes.flatMap((n) => n.outputs);
  const all = [...graph.inputs.map((i) => i.name), ...graph.constants.keys(), ...made].filter((v) => v !== '');
  // Counted backwards, so that the order of names is not the order of anything else.
  const names = new Map([...new Set(all)].reverse().map((name, i) => [name, `v${i}`]));
  const nodeNames = new Map([...graph.nodes].reverse().map((n, i) => [n.name, `n${i}`]));
  const nameOf = (old: ValueName): ValueName => (old === '' ? '' : (names.get(old) ?? old));
  const nodeNameOf = (old: string): string => nodeNames.get(old) ?? old;
  const value = (v: GraphValue): GraphValue => ({ ...v, name: nameOf(v.name) });
  const node = (n: Node): Node => ({
    ...n,
    name: nodeNameOf(n.name),
    inputs: n.inputs.map(nameOf),
    outputs: n.outputs.map(nameOf),
  });
  return {
    nameOf,
    nodeNameOf,
    model: {
      ...model,
      graph: {
        ...graph,
        nodes: graph.nodes.map(node),
        inputs: graph.inputs.map(value),
        outputs: graph.outputs.map(value),
        annotations: graph.annotations.map(value),
        constants: new Map([...graph.constants].map(([name, tensor]) => [nameOf(name), tensor])),
      },
    },
  };
};

/** A random one of the orders in which every node follows what it reads. */
const reordered = (model: Model, seed: number): Model => {
  const random = randomFrom(seed);
  const ready = new Set([...model.graph.inputs.map((i) => i.name), ...model.graph.constants.keys(), '']);
  const waiting = [...model.graph.nodes];
  const nodes: Node[] = [];
  while (waiting.length > 0) {
    const possible = waiting.flatMap((n, i) => (n.inputs.every((v) => ready.has(v)) ? [i] : []));
    const [next] = waiting.splice(random.pick(possible), 1) as [Node];
    nodes.push(next);
    for (const output of next.outputs) ready.add(output);
  }
  return { ...model, graph: { ...model.graph, nodes } };
};

/** What was decided, in terms that names do not enter, but for those that `nodeNameOf` translates. */
const decisions = (compiled: Compiled, nodeNameOf: (name: string) => string = (name) => name): unknown => ({
  plan: compiled.plan,
  notes: compiled.report.diagnostics.map((d) => d.code),
  layers: compiled.understanding.layers.map((l) =>
    [...l.joint, ...l.textToImage, ...l.imageToText].map((a) => nodeNameOf(a.product.name)).sort(),
  ),
  sites: compiled.resolved.sites.map((s) => ({
    layer: s.layer,
    scoring: nodeNameOf(s.scoring.product.name),
    lanes: s.lanes.map((l) => ({
      lane: l.lane,
      keys: nodeNameOf(l.site.keys.product.name),
      counts: l.counts,
      protected: [l.protectedStart, l.protectedEnd],
      readers: l.site.stream.uses.map((u) => nodeNameOf(u.node.name)).sort(),
    })),
  })),
});

const options = (fixture: Fixture, semantics: 'safe' | 'pumer') => ({
  prune: 0.2,
  merge: 0.15,
  layers: [1, 3],
  mergeText: fixture.mergesText ? 0.2 : 0,
  semantics,
});
const each = fixtures.map((f) => [f.name, f] as const);

describe('names and order', () => {
  it.each(each)('%s: the same plan and the same bits under other names', async (_, fixture) => {
    const original = loadFixture(fixture);
    const { model, nameOf, nodeNameOf } = renamed(original);
    expect(model.graph.inputs.map((i) => i.name)).not.toEqual(original.graph.inputs.map((i) => i.name));
    const feeds = feedsFor(fixture, original, 2, [0, 3]);
    const otherFeeds = new Map([...feeds].map(([name, tensor]): [string, TensorData] => [nameOf(name), tensor]));
    for (const semantics of fixture === meterPumer ? (['pumer'] as const) : (['safe', 'pumer'] as const)) {
      const ours = compiledWith(original, options(fixture, semantics));
      const theirs = compiledWith(model, options(fixture, semantics));
      expect(decisions(theirs)).toEqual(decisions(ours, nodeNameOf));
      const a = await outputsOf(ours.model, feeds);
      const b = await outputsOf(theirs.model, otherFeeds);
      expect([...b.keys()]).toEqual([...a.keys()].map(nameOf));
      for (const [name, tensor] of a) expect(sameBits(tensor, b.get(nameOf(name))!)).toBe(true);
    }
  });

  it.each(each)('%s: the same plan and the same bits in another order', async (_, fixture) => {
    const original = loadFixture(fixture);
    const feeds = feedsFor(fixture, original, 2, [0, 3]);
    const ours = compiledWith(original, options(fixture, 'safe'));
    const theirs = compiledWith(reordered(original, 7), options(fixture, 'safe'));
    expect(decisions(theirs)).toEqual(decisions(ours));
    const a = await outputsOf(ours.model, feeds);
    const b = await outputsOf(theirs.model, feeds);
    for (const [name, tensor] of a) expect(sameBits(tensor, b.get(name)!)).toBe(true);
  });
});
