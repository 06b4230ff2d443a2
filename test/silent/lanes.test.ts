/**
 * Who reads a lane, and what passes for one. A naive rewriter misses a second reader (an output, a later layer, another
 * output of the same tokens), leaves lengths behind (value_info, one shape shared by all layers), or takes for image
 * tokens whatever stands beside them. Handled or refused; annotations that no longer hold are gone.
 */
import { describe, expect, it } from 'vitest';
import { dimValue } from '../../src/analysis/dim.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { DataType, type Model } from '../../src/graph/model.ts';
import { distance } from '../conformance/compare.ts';
import { randomFrom } from '../reduction/harness.ts';
import { compiledWith, outputsOf } from '../compile/fixtures.ts';
import { bothLanes, imageOnly, joint, refusalOf } from '../compile/refusal-cases.ts';
import {
  edited,
  heads,
  imageTokens,
  modelOfTiny,
  tensorsOf,
  tinyFeeds,
  tinyVilt,
  width,
  words,
  type Tiny,
} from '../support/tiny-vilt.ts';

const feeds = tensorsOf(tinyFeeds(randomFrom(31), [0, 3]));
const outputs = async (tiny: Tiny, options = bothLanes) =>
  outputsOf(compiledWith(modelOfTiny(tiny), options).model, feeds);

describe('readers', () => {
  it('an output that is read on: full length outside, short inside', async () => {
    const plain = await outputs(tinyVilt());
    const seen = await outputs({ ...tinyVilt(), outputs: ['logits', 'x2'] });
    expect(seen.get('x2')!.dims).toEqual([2, joint, width]);
    expect(distance(seen.get('logits')!, plain.get('logits')!).max).toBe(0);
  });
  it('two outputs of one lane agree token by token', async () => {
    const tiny = edited(tinyVilt(), {
      after: 'final',
      nodes: ['twice = Add(final, final)'],
      outputs: ['logits', 'final', 'twice'],
    });
    const found = await outputs(tiny);
    const [once, twice] = [found.get('final')!, found.get('twice')!];
    expect([once.dims, twice.dims]).toEqual([
      [2, joint, width],
      [2, joint, width],
    ]);
    expect([...(twice.data as Float32Array)]).toEqual([...(once.data as Float32Array)].map((v) => Math.fround(2 * v)));
  });
  it('the value a site shortens, handed out as it was before', async () => {
    const whole = await outputsOf(modelOfTiny({ ...tinyVilt(), outputs: ['logits', 'sum0'] }), feeds);
    const short = await outputs({ ...tinyVilt(), outputs: ['logits', 'sum0'] });
    expect(distance(short.get('sum0')!, whole.get('sum0')!).max).toBe(0);
  });
  it('tokens of before a site as a condition behind it: no mean of truths says anything', () => {
    const nodes = ['old = Greater(x0, one)', 'y = Where(old, x2, x2)'];
    const refusal = refusalOf(modelOfTiny(edited(tinyVilt(), { after: 'x2', nodes, instead: 'y' })), bothLanes);
    expect([refusal?.code, refusal?.at?.node, refusal?.at?.axis]).toEqual(['not-understood', 'node_y', 1]);
  });
  it('tokens of before a site added behind it are the tokens left', async () => {
    // x2 + x2 - x2 + x1 - x1 by way of a skip connection: nothing changes where both follow the same reductions.
    const skip = edited(tinyVilt(), {
      after: 'x2',
      nodes: ['there = Add(x2, x0)', 'y = Sub(there, x0)'],
      instead: 'y',
    });
    const [a, b] = await Promise.all([skip, tinyVilt()].map((t) => outputs(t)));
    expect(distance(a!.get('logits')!, b!.get('logits')!).max).toBeLessThan(1e-4);
  });
});

describe('lengths', () => {
  const shared = (tiny: Tiny): Tiny => ({
    ...tiny,
    values: {
      ...tiny.values,
      to_heads: `i[4]:-1,${joint},${heads},${width / heads}`,
      to_width: `i[3]:-1,${joint},${width}`,
    },
  });
  it('one constant shape for all layers', async () => {
    for (const options of [bothLanes, imageOnly]) {
      const [a, b] = await Promise.all([shared(tinyVilt()), tinyVilt()].map((t) => outputs(t, options)));
      expect(distance(a!.get('logits')!, b!.get('logits')!).max).toBe(0);
    }
  });
  it('annotations behind a site are gone, those before it stay, and the file loads', async () => {
    const model = modelOfTiny({ ...tinyVilt(), outputs: ['logits', 'final'] });
    const annotations = model.graph.nodes
      .flatMap((n) => n.outputs)
      .flatMap((name) => {
        const dims = shapesOf(model)
          .of(name)
          ?.dims?.map((d) => dimValue(d) ?? 'batch');
        return dims === undefined ? [] : [{ name, type: { dataType: shapesOf(model).of(name)!.dataType, dims } }];
      });
    const outs = [
      { name: 'logits', type: { dataType: DataType.FLOAT, dims: ['batch', 5] } },
      { name: 'final', type: { dataType: DataType.FLOAT, dims: ['batch', joint, width] } },
    ];
    const annotated: Model = { ...model, graph: { ...model.graph, annotations, outputs: outs } };
    const { model: compiled } = compiledWith(annotated, bothLanes);
    const left = new Set(compiled.graph.annotations.map((a) => a.name));
    expect(left.has('probs0')).toBe(true);
    for (const name of ['x1', 'probs1', 'x2', 'probs2', 'x3']) expect([name, left.has(name)]).toEqual([name, false]);
    expect(compiled.graph.outputs).toEqual(outs);
    expect((await outputsOf(compiled, feeds)).get('final')!.dims).toEqual([2, joint, width]);
  });
});

describe('what passes for a lane', () => {
  it('values of an unknown input beside the image are no image tokens', () => {
    const more = 5;
    const tiny = edited(tinyVilt(), {
      after: 'image',
      nodes: ['extra = Reshape(features, extra_shape)', 'image_and = Concat(image, extra) axis=1'],
      instead: 'image_and',
      values: { features: `f[batch,${more},4,2]`, extra_shape: `i[3]:0,${more},8` },
    });
    const model = modelOfTiny({ ...tiny, values: { ...tiny.values, image_length: `i[1]:${imageTokens + more}` } });
    const { resolved } = compiledWith(model, imageOnly);
    // Counted are the picture's own tokens.
    expect(resolved.sites[0]?.lanes.map((l) => [l.lane, l.counts])).toEqual([
      ['image', expect.objectContaining({ tokens: imageTokens })],
    ]);
  });
  it('text on both sides of the image scores it in no defined way', () => {
    const tiny = tinyVilt({ mask: 'none' });
    const sides: Tiny = {
      ...tiny,
      values: { ...tiny.values, answer_ids: 'i[batch,3]' },
      nodes: tiny.nodes.flatMap((line) =>
        line.startsWith('x0 = ')
          ? ['answer = Gather(table, answer_ids) axis=0', 'x0 = Concat(text, image, answer) axis=1']
          : [line],
      ),
    };
    expect(refusalOf(modelOfTiny(sides), imageOnly)?.code).toBe('layer-not-reducible');
  });
  it('tables tied to the answer head, and words used twice, stay words', async () => {
    // The word table again as weights of the head.
    const tied = edited(tinyVilt(), {
      after: 'pooled',
      nodes: ['turned_table = Transpose(table) perm=[1,0]', 'words_out = MatMul(pooled, turned_table)'],
      outputs: ['logits', 'words_out'],
    });
    const found = await outputs(tied);
    expect(found.get('words_out')!.dims).toEqual([2, 20]);
    expect(distance(found.get('logits')!, (await outputs(tinyVilt())).get('logits')!).max).toBe(0);
    expect(words).toBe(8);
  });
});
