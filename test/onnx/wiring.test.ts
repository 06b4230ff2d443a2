/** Order of nodes, and graphs that do not hang together. */
import { describe, expect, it } from 'vitest';
import type { Graph, Model } from '../../src/graph/model.ts';
import { brokenRule } from '../../src/graph/verify.ts';
import { readModel } from '../../src/onnx/read.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import { node, refusal, smallModel } from './models.ts';

const reread = (graph: Partial<Graph>): Model => readModel(encodeModel(smallModel(graph)));
const { nodes } = smallModel().graph;

it('leaves an ordered graph in its order', () => {
  const moved = [3, 0, 1, 2, 4].flatMap((i) => nodes[i] ?? []);
  expect(reread({ nodes: moved }).graph.nodes.map((n) => n.name)).toEqual(moved.map((n) => n.name));
});

it('sorts what is not, keeping the order of the rest, and writes it sorted', () => {
  const model = reread({ nodes: [4, 2, 1, 0, 3].flatMap((i) => nodes[i] ?? []) });
  expect(model.graph.nodes.map((n) => n.outputs[0])).toEqual(['h1', 'h2', 'h3', 'shape', 'y']);
  expect(brokenRule(model)).toBeUndefined();
  expect(readModel(encodeModel(model)).graph.nodes.map((n) => n.outputs[0])).toEqual(['h1', 'h2', 'h3', 'shape', 'y']);
});

it('sorts a long chain given backwards', () => {
  const chain = Array.from({ length: 20_000 }, (_, i) => node('Relu', [`v${i}`], [`v${i + 1}`])).reverse();
  const value = (name: string) => [{ name }];
  const model = reread({
    nodes: chain,
    inputs: value('v0'),
    outputs: value('v20000'),
    constants: new Map(),
    annotations: [],
  });
  expect(model.graph.nodes[0]?.inputs).toEqual(['v0']);
  expect(model.graph.nodes.at(-1)?.outputs).toEqual(['v20000']);
});

describe('refused', () => {
  it('a value nothing makes', () => {
    const diagnostic = refusal(() => reread({ nodes: nodes.filter((n) => n.op !== 'Constant') }));
    expect(diagnostic).toMatchObject({ code: 'undefined-value', at: { value: 'shape', node: '/Reshape/y' } });
    expect(diagnostic.message).toContain("node '/Reshape/y' (Reshape) reads 'shape'");
  });

  it('an output nothing makes', () => {
    expect(refusal(() => reread({ outputs: [{ name: 'z' }] }))).toMatchObject({
      code: 'undefined-value',
      at: { value: 'z' },
    });
  });

  it('a value made twice', () => {
    expect(refusal(() => reread({ nodes: [...nodes, node('Relu', ['x'], ['h2'])] }))).toMatchObject({
      code: 'duplicate-value',
      at: { value: 'h2', node: '/Relu/h2' },
    });
  });

  it('a cycle, named by a node on it', () => {
    const cycle = [node('Add', ['x', 'c'], ['a']), node('Relu', ['a'], ['b2']), node('Relu', ['b2'], ['c'])];
    const tail = [node('Relu', ['c'], ['t1']), node('Relu', ['t1'], ['t2'])];
    const diagnostic = refusal(() => reread({ nodes: [...tail.reverse(), ...nodes, ...cycle] }));
    expect(diagnostic.code).toBe('graph-cycle');
    expect(['a', 'b2', 'c']).toContain(diagnostic.at?.value);
  });

  it('a node that reads its own output', () => {
    expect(refusal(() => reread({ nodes: [...nodes, node('Relu', ['r'], ['r'])] })).code).toBe('graph-cycle');
  });
});
