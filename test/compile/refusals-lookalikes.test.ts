/**
 * What looks like something the compiler understands and is not: refused by name of the node (refusal-cases.ts).
 * Convolutions over tokens that look like patches, softmax over the wrong axis, masks that hold weights,
 * words of another input.
 */
import { describe, expect, it } from 'vitest';
import { edited, modelOfTiny, tensorsOf, tinyFeeds, tinyVilt, type Tiny } from '../support/tiny-vilt.ts';
import { randomFrom } from '../reduction/harness.ts';
import { distance } from '../conformance/compare.ts';
import { compiledWith, outputsOf } from './fixtures.ts';
import { beside, bothLanes, expectRefused, joint, refusalOf, type Case } from './refusal-cases.ts';

const rewritten = (tiny: Tiny, lines: (line: string) => readonly string[]): Tiny => ({
  ...tiny,
  nodes: tiny.nodes.flatMap(lines),
});

/** The published softmax, e * m / (sum(e * m) + eps), summing over `sum` and shifted by the maximum over `max`. */
const maskedExponential =
  (sum: number, max: number, weights = 'mask_keys') =>
  (tiny: Tiny): Tiny => {
    const decay = Array.from({ length: joint }, (_, i) => (i + 1) / joint).join();
    const values = {
      ...tiny.values,
      eps: 'f[]:0.000001',
      sum_axis: `i[1]:${sum}`,
      decay: `f[1,1,1,${joint}]:${decay}`,
    };
    return rewritten({ ...tiny, values }, (line) => {
      const k = /^probs(\d) = /.exec(line)?.[1];
      if (k === undefined) return [line];
      return [
        `top${k} = ReduceMax(scores${k}) axes=[${max}] keepdims=1`,
        `shifted${k} = Sub(scores${k}, top${k})`,
        `e${k} = Exp(shifted${k})`,
        `weighed${k} = Mul(e${k}, ${weights})`,
        `total${k} = ReduceSum(weighed${k}, sum_axis) keepdims=1`,
        `below${k} = Add(total${k}, eps)`,
        `probs${k} = Div(weighed${k}, below${k})`,
      ];
    });
  };

describe('lookalikes', () => {
  const convolution: Case = {
    what: '',
    change: beside(
      [
        'plane = Unsqueeze(x2, second)',
        'blurred = Conv(plane, taps) kernel_shape=[3,1] pads=[1,0,1,0]',
        'line = ReduceMean(blurred) axes=[2] keepdims=0',
        'q = Squeeze(line, second)',
      ],
      { taps: 'f[1,1,3,1]:0.3' },
    ),
    code: 'not-understood',
    node: 'node_blurred',
  };
  it('a picture-like convolution over tokens', () => expectRefused(convolution));

  it('the published softmax over its keys is attention', () => {
    const model = modelOfTiny(maskedExponential(-1, -1)(tinyVilt({ mask: 'none' })));
    for (const semantics of ['safe', 'pumer'] as const)
      expect(compiledWith(model, { ...bothLanes, semantics }).resolved.sites).toHaveLength(2);
  });
  it.each([
    ['summed over queries', -2, -1],
    ['summed over heads', 1, -1],
    ['shifted by the maximum over queries', -1, -2],
  ] as const)('%s it is not', (_, sum, max) => {
    const model = modelOfTiny(maskedExponential(sum, max)(tinyVilt({ mask: 'none' })));
    for (const semantics of ['safe', 'pumer'] as const)
      expect(refusalOf(model, { ...bothLanes, semantics })?.code).toBe('no-cross-modal-layer');
  });
  it('a multiplicative mask of weights that are not 0 and 1', () => {
    const model = modelOfTiny(maskedExponential(-1, -1, 'decay')(tinyVilt({ mask: 'none' })));
    for (const semantics of ['safe', 'pumer'] as const)
      expect(refusalOf(model, { ...bothLanes, semantics })?.code).toBe('mask-not-understood');
  });

  it('attention of one learned query, scores [batch, 1, tokens], keeps its shape or is refused', async () => {
    const pooled = edited(tinyVilt({ mask: 'none' }), {
      after: 'x2',
      nodes: [
        'turned = Transpose(x2) perm=[0,2,1]',
        'asked = MatMul(question, turned)',
        'weights = Softmax(asked) axis=-1',
        'seen = MatMul(weights, x2)',
      ],
      values: { question: 'f[1,1,8]:0.3' },
      outputs: ['logits', 'seen'],
    });
    const model = modelOfTiny(pooled);
    for (const semantics of ['safe', 'pumer'] as const) {
      if (refusalOf(model, { ...bothLanes, semantics }) !== undefined) continue;
      const { model: compiled } = compiledWith(model, { ...bothLanes, semantics });
      expect((await outputsOf(compiled, tensorsOf(tinyFeeds(randomFrom(1), [0, 0])))).get('seen')?.dims).toEqual([
        2, 1, 8,
      ]);
    }
  });

  it('words of another input have lengths of their own', async () => {
    const tiny = tinyVilt({ text: 'words' });
    const captioned: Tiny = {
      ...tiny,
      values: { ...tiny.values, caption: 'i[batch,captions]' },
      nodes: [
        'caption_words = Gather(table, caption) axis=0',
        'shown = Tanh(caption_words)',
        'about = ReduceMean(shown) axes=[1] keepdims=0',
        ...tiny.nodes,
      ],
    };
    const model = modelOfTiny(
      edited(captioned, { after: 'pooled', nodes: ['with_caption = Add(pooled, about)'], instead: 'with_caption' }),
    );
    const fixed = modelOfTiny(
      edited(
        { ...captioned, values: { ...captioned.values, input_ids: 'i[batch,8]', attention_mask: 'i[batch,8]' } },
        { after: 'pooled', nodes: ['with_caption = Add(pooled, about)'], instead: 'with_caption' },
      ),
    );
    const feeds = tensorsOf(tinyFeeds(randomFrom(2), [0, 3]));
    feeds.set('caption', { dataType: 7, dims: [2, 3], data: BigInt64Array.of(1n, 2n, 3n, 4n, 5n, 6n) });
    const run = async (m: typeof model) => (await outputsOf(compiledWith(m, bothLanes).model, feeds)).get('logits')!;
    expect(distance(await run(model), await run(fixed)).max).toBeLessThan(1e-5);
  });
});
