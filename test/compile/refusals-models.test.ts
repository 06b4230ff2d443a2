/**
 * Whole models and whole requests that are refused or answered with a note: models without cross-modal layers, old
 * opsets, layers that are not there, text that must stay, outputs that carry tokens, bodies of If.
 */
import { describe, expect, it } from 'vitest';
import type { Model, Node } from '../../src/graph/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { edited, modelOfTiny, tinyVilt, type Tiny } from '../support/tiny-vilt.ts';
import { compiledWith, loadFixture, modelFile, visualBert } from './fixtures.ts';
import { beside, bothLanes, imageOnly, refusalOf } from './refusal-cases.ts';

const replaced = (tiny: Tiny, lines: Readonly<Record<string, string>>): Tiny => ({
  ...tiny,
  nodes: tiny.nodes.map((line) => lines[line.split(' = ')[0] ?? ''] ?? line),
});

describe('models without layers that see both', () => {
  it('two towers, made up', () => {
    const towers = edited(replaced(tinyVilt({ layers: 2, mask: 'none' }), { x0: 'x0 = Identity(text)' }), {
      after: 'x1',
      nodes: ['words_seen = Gather(x1, cls_at) axis=1'],
      instead: 'image',
    });
    const both = edited(towers, { after: 'pooled', nodes: ['pair = Add(pooled, words_seen)'], instead: 'pair' });
    const refusal = refusalOf(modelOfTiny(both), bothLanes);
    expect(refusal?.code).toBe('no-cross-modal-layer');
    expect(refusal?.notes).toEqual(['text tower: 1 layer on input_ids', 'image tower: 1 layer on pixel_values']);
  });
  it('two towers, CLIP', () => {
    expect(refusalOf(readModel(modelFile('clip-tiny')), {})?.code).toBe('no-cross-modal-layer');
  });
  it('text alone', () => {
    const tiny = replaced(tinyVilt(), { x0: 'x0 = Identity(text)', mask: 'mask = Identity(attention_mask)' });
    const refusal = refusalOf(modelOfTiny(tiny), bothLanes);
    expect([refusal?.code, refusal?.notes?.length]).toEqual(['no-cross-modal-layer', 1]);
    expect(refusal?.notes?.[0]).toBe('text tower: 3 layers on input_ids, attention_mask');
  });
  it('an image alone', () => {
    const tiny = replaced(tinyVilt({ mask: 'none' }), { x0: 'x0 = Identity(image)' });
    const refusal = refusalOf(modelOfTiny(tiny), bothLanes);
    expect(refusal?.code).toBe('no-cross-modal-layer');
    expect(refusal?.notes?.[0]).toBe('image tower: 3 layers on pixel_values');
  });
  it('almost attention: the notes say where it stopped', () => {
    const tiny = replaced(tinyVilt({ layers: 1 }), { context0: 'context0 = MatMul(value0, probs0)' });
    const refusal = refusalOf(modelOfTiny(tiny), {});
    expect(refusal?.code).toBe('no-cross-modal-layer');
    expect(refusal?.notes?.join()).toContain('node_probs0');
  });
});

describe('requests', () => {
  it('opset 10', () => {
    expect(refusalOf(modelOfTiny(tinyVilt({ opset: 10, norm: false })), bothLanes)?.code).toBe('opset-too-old');
    expect(refusalOf(modelOfTiny(tinyVilt({ opset: 11, norm: false })), bothLanes)).toBeUndefined();
  });
  it('a layer that is not there', () => {
    const model = modelOfTiny(tinyVilt());
    for (const layers of [[3], [0, 7]]) {
      const refusal = refusalOf(model, { keep: 0.7, layers });
      expect(refusal?.code).toBe('layer-out-of-range');
      expect(refusal?.message).toContain('0, 1, 2');
    }
    const plan = {
      schema_version: 1,
      semantics: 'safe',
      sites: [{ layer: 3, prune: 0.1, merge: 0, mergeText: 0 }],
    } as const;
    expect(refusalOf(model, { plan })?.code).toBe('layer-out-of-range');
  });
  it('a layer whose result does not join a residual stream', () => {
    const tiny = edited(tinyVilt(), {
      after: 'context1_r',
      nodes: ['gate = Sigmoid(x1)', 'y = Mul(context1_r, gate)'],
      instead: 'y',
    });
    const model = modelOfTiny(tiny);
    const refusal = refusalOf(model, { ...bothLanes, layers: [1] });
    expect([refusal?.code, refusal?.at?.node]).toEqual(['layer-not-reducible', 'node_y']);
    expect(refusalOf(model, { ...bothLanes, layers: [2] })).toBeUndefined();
  });
});

describe('text that is read where the question decides', () => {
  const lastWord = beside(
    [
      'length = ReduceSum(attention_mask, second) keepdims=1',
      'from_one = Sub(length, second)',
      'cell = Unsqueeze(from_one, two)',
      'index = Expand(cell, row)',
      'last = GatherElements(x2, index) axis=1',
      'q = Squeeze(last, second)',
    ],
    { two: 'i[1]:2', row: 'i[3]:1,1,8' },
  );
  it.each([
    ['a made-up last word', () => modelOfTiny(lastWord(tinyVilt())), 'node_last'],
    ['VisualBERT', () => loadFixture(visualBert), '/m/GatherElements'],
  ] as const)('%s: noted by default, refused where asked for', (_, load, node) => {
    const model = load();
    // pumer merges text by default.
    const compiled = compiledWith(model, { semantics: 'pumer', keep: 0.6, layers: [1] });
    expect(compiled.resolved.sites.flatMap((s) => s.lanes.map((l) => l.lane))).toEqual(['image']);
    const notes = compiled.report.diagnostics.filter((d) => d.code === 'text-lane-fixed');
    expect(notes.map((d) => [d.severity, d.message.includes(`"${node}"`)])).toEqual([['note', true]]);
    for (const semantics of ['safe', 'pumer'] as const) {
      const refusal = refusalOf(model, { semantics, keep: 0.6, mergeText: 0.2, layers: [1] });
      expect(refusal?.code).toBe('text-merge-refused');
      expect(refusal?.message).toContain(`"${node}"`);
      expect(refusalOf(model, { ...imageOnly, layers: [1], semantics })).toBeUndefined();
    }
  });
});

describe('outputs and bodies', () => {
  const withTokens = (): Model => modelOfTiny({ ...tinyVilt(), outputs: ['logits', 'final'] });
  it('an output that carries tokens, with --outputs refuse', () => {
    for (const semantics of ['safe', 'pumer'] as const) {
      const refusal = refusalOf(withTokens(), { ...bothLanes, semantics, outputs: 'refuse' });
      expect(refusal?.code).toBe('output-carries-tokens');
      expect(refusal?.message).toContain('"final"');
      expect(refusalOf(withTokens(), { ...bothLanes, semantics, outputs: 'restore' })).toBeUndefined();
    }
  });
  it('an output of hidden width: ratios by default only merge', () => {
    const { plan, report } = compiledWith(withTokens(), { layers: [1] });
    expect(plan.sites).toEqual([{ layer: 1, prune: 0, merge: 0.3, mergeText: 0 }]);
    expect(report.diagnostics.map((d) => d.code)).toEqual(['merge-only']);
  });
  it('outputs with a token axis elsewhere, or twice, cannot be restored', () => {
    const turned = edited(tinyVilt(), {
      after: 'final',
      nodes: ['across = Transpose(final) perm=[0,2,1]'],
      outputs: ['logits', 'across'],
    });
    const maps = { ...tinyVilt(), outputs: ['logits', 'probs2'] };
    for (const [tiny, output] of [
      [turned, 'across'],
      [maps, 'probs2'],
    ] as const) {
      const refusal = refusalOf(modelOfTiny(tiny), bothLanes);
      expect(refusal?.code).toBe('output-not-restorable');
      expect(refusal?.message).toContain(`"${output}"`);
    }
  });
  it('a body of If that captures shortened tokens', () => {
    const model = modelOfTiny(edited(tinyVilt(), { after: 'x2', nodes: ['flag = Gather(mask, first) axis=1'] }));
    const choice: Node = {
      name: 'choice',
      op: 'If',
      domain: '',
      inputs: ['flag'],
      outputs: ['chosen'],
      attrs: {},
      captures: ['x2'],
    };
    const at = model.graph.nodes.findIndex((n) => n.outputs.includes('flag'));
    const nodes = [...model.graph.nodes.slice(0, at + 1), choice, ...model.graph.nodes.slice(at + 1)];
    const outputs = [...model.graph.outputs, { name: 'chosen' }];
    const refusal = refusalOf({ ...model, graph: { ...model.graph, nodes, outputs } }, bothLanes);
    expect([refusal?.code, refusal?.at?.node, refusal?.at?.value]).toEqual(['not-understood', 'choice', 'x2']);
  });
});
