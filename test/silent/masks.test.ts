/**
 * Masks that a shortened lane no longer fits. A naive rewriter slices the old mask to the new length, which shows and
 * hides other keys than the model meant, or leaves a count of valid keys that now points elsewhere. Rebuilt from the
 * tokens left, or refused.
 */
import { describe, expect, it } from 'vitest';
import { distance } from '../conformance/compare.ts';
import { randomFrom } from '../reduction/harness.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { compiledWith, outputsOf } from '../compile/fixtures.ts';
import { bothLanes, joint, refusalOf } from '../compile/refusal-cases.ts';
import { modelOfTiny, tensorsOf, tinyFeeds, tinyVilt, type Tiny, type TinyFeeds } from '../support/tiny-vilt.ts';
import type { Model } from '../../src/graph/model.ts';

const rewritten = (tiny: Tiny, values: Record<string, string>, lines: (line: string) => readonly string[]): Tiny => ({
  ...tiny,
  values: { ...tiny.values, ...values },
  nodes: tiny.nodes.flatMap(lines),
});

const made = tinyFeeds(randomFrom(21), [0, 3, 5]);
const logits = async (model: Model, feeds: TinyFeeds | Map<string, TensorData> = made) =>
  (await outputsOf(model, feeds instanceof Map ? feeds : tensorsOf(feeds))).get('logits')!;

describe('masks', () => {
  it('sliced by the length of the keys at hand: mask[:, :, :, :K.shape[-1]]', async () => {
    const sliced = rewritten(tinyVilt(), { three: 'i[1]:3', four: 'i[1]:4' }, (line) => {
      const k = /^masked(\d) = /.exec(line)?.[1];
      if (k === undefined) return [line];
      return [
        `key_shape${k} = Shape(key${k})`,
        `key_count${k} = Slice(key_shape${k}, three, four)`,
        `bias${k} = Slice(bias, first, key_count${k}, three)`,
        `masked${k} = Add(scores${k}, bias${k})`,
      ];
    });
    for (const semantics of ['safe', 'pumer'] as const) {
      const [a, b] = [sliced, tinyVilt()].map((t) => compiledWith(modelOfTiny(t), { ...bothLanes, semantics }).model);
      expect(distance(await logits(a!), await logits(b!)).max).toBeLessThan(1e-5);
    }
  });

  it('one input for all keys, its length by a name of its own', async () => {
    const whole = rewritten(tinyVilt(), { attention_mask: 'i[batch,all]', between: 'i[2]:1,2' }, (line) =>
      line.startsWith('mask = ')
        ? ['mask = Identity(attention_mask)']
        : line.startsWith('mask_keys = ')
          ? ['mask_keys = Unsqueeze(mask_float, between)']
          : [line],
    );
    const shown = made.mask.map((row) => [...row, ...Array.from({ length: joint - row.length }, () => 1)]);
    const feeds = new Map(tensorsOf(made)).set('attention_mask', {
      dataType: 7,
      dims: [3, joint],
      data: BigInt64Array.from(shown.flat(), BigInt),
    });
    for (const semantics of ['safe', 'pumer'] as const) {
      const [a, b] = [whole, tinyVilt()].map((t) => compiledWith(modelOfTiny(t), { ...bothLanes, semantics }).model);
      expect(distance(await logits(a!, feeds), await logits(b!)).max).toBeLessThan(1e-5);
    }
  });

  it('with fractions where 0 and 1 should be: what hid before hides now', async () => {
    const floats = rewritten(tinyVilt(), { attention_mask: 'f[batch,8]' }, (line) => [
      line.replace('ConstantOfShape(image_mask_shape) value=i[1]:1', 'ConstantOfShape(image_mask_shape) value=f[1]:1'),
    ]);
    const { model } = compiledWith(modelOfTiny(floats), bothLanes);
    const soft = (hidden: number): Map<string, TensorData> =>
      new Map(tensorsOf(made)).set('attention_mask', {
        dataType: 1,
        dims: [3, 8],
        data: Float32Array.from(made.mask.flat(), (v) => (v === 1 ? 1 : hidden)),
      });
    const [zeros, almost] = await Promise.all([soft(0), soft(0.9)].map((f) => logits(model, f)));
    expect(distance(zeros!, almost!).max).toBeLessThan(1e-5);
  });

  const multiplied = (line: string): readonly string[] => {
    const k = /^probs(\d) = /.exec(line)?.[1];
    if (k === undefined) return [line];
    return [
      `top${k} = ReduceMax(scores${k}) axes=[-1] keepdims=1`,
      `shifted${k} = Sub(scores${k}, top${k})`,
      `e${k} = Exp(shifted${k})`,
      `weighed${k} = Mul(e${k}, shown)`,
      `total${k} = ReduceSum(weighed${k}, last_axis) keepdims=1`,
      `below${k} = Add(total${k}, eps)`,
      `probs${k} = Div(weighed${k}, below${k})`,
    ];
  };
  const withShown = (shown: readonly string[], values: Record<string, string>): Tiny => {
    const tiny = rewritten(
      tinyVilt({ mask: 'none' }),
      { eps: 'f[]:0.000001', last_axis: 'i[1]:-1', ...values },
      multiplied,
    );
    const at = tiny.nodes.findIndex((n) => n.startsWith('mask_keys = ')) + 1;
    return { ...tiny, nodes: [...tiny.nodes.slice(0, at), ...shown, ...tiny.nodes.slice(at)] };
  };

  it('a float input that weighs the exponentials', () => {
    const weights = withShown(['shown = Reshape(confidence, to_keys)'], { confidence: `f[batch,${joint}]` });
    expect(refusalOf(modelOfTiny(weights), bothLanes)?.code).toBe('mask-not-understood');
  });

  const self = (eye: string): readonly string[] => [
    `square = ConstantOfShape(square_shape) value=f[1]:1`,
    eye,
    'others = Sub(one, mask_keys)',
    'selves = Mul(others, eye)',
    'shown = Add(mask_keys, selves)',
  ];
  const square = { square_shape: `i[2]:${joint},${joint}` };
  it('rows that see themselves, by an identity matrix', () => {
    expect(refusalOf(modelOfTiny(withShown(self('eye = EyeLike(square)'), square)), bothLanes)).toBeUndefined();
  });
  it.each([
    ['one off the diagonal', 'eye = EyeLike(square) k=1'],
    ['a row of positions against itself, which is all ones', 'eye = Equal(upto, upto_row)'],
  ])('%s is no identity', (_, line) => {
    const nodes = line.startsWith('eye = Equal')
      ? self('same = Equal(upto_row, upto)').flatMap((l) => (l.startsWith('same') ? [l, 'eye = Cast(same) to=1'] : [l]))
      : self(line);
    const values = { ...square, upto_limit: `i[]:${joint}`, step: 'i[]:1' };
    const ranged = line.startsWith('eye = Equal')
      ? ['upto = Range(cls_at, upto_limit, step)', 'upto_row = Unsqueeze(upto, first)', ...nodes]
      : nodes;
    expect(refusalOf(modelOfTiny(withShown(ranged, values)), bothLanes)?.code).toBe('mask-not-understood');
  });

  it('one number for all keys is no padding mask', () => {
    const tiny = rewritten(tinyVilt({ mask: 'none' }), { zero: 'i[1]:0' }, (line) => {
      const k = /^probs(\d) = /.exec(line)?.[1];
      return k === undefined
        ? [line]
        : [
            `flag${k} = Slice(bias, first, second, minus)`,
            `masked${k} = Add(scores${k}, flag${k})`,
            `probs${k} = Softmax(masked${k}) axis=-1`,
          ];
    });
    const model = modelOfTiny({ ...tiny, values: { ...tiny.values, minus: 'i[1]:-1' } });
    expect(refusalOf(model, bothLanes)?.code).toBe('mask-not-understood');
  });

  it('a number of valid keys (1-D mask_index): refused, or PAD stays without influence', async () => {
    const fused = rewritten(tinyVilt(), { qkv_w: 'f[8,24]:0.05', qkv_c: 'f[24]:0.01' }, (line) =>
      line.startsWith('context2_r = ')
        ? [
            'real = ReduceSum(mask, second) keepdims=0',
            'valid = Cast(real) to=6',
            'context2_r = com.microsoft.Attention(before2, qkv_w, qkv_c, valid) num_heads=2',
          ]
        : [line],
    );
    const model = modelOfTiny(fused);
    const refusal = refusalOf(model, bothLanes);
    if (refusal !== undefined) {
      expect(refusal.code).toMatch(/not-understood/);
      return;
    }
    const other = {
      ...made,
      ids: made.ids.map((row, b) => row.map((id, i) => (made.mask[b]![i] === 1 ? id : (id + 7) % 20))),
    };
    const { model: compiled } = compiledWith(model, bothLanes);
    expect(distance(await logits(compiled), await logits(compiled, other)).max).toBeLessThan(1e-4);
  });

  it('rows that are PAD from end to end give numbers, and leave the other rows alone', async () => {
    const blank = { ...made, mask: [made.mask[0]!, made.mask[0]!.map(() => 0), made.mask[2]!] };
    for (const mask of ['additive', 'where'] as const) {
      const { model } = compiledWith(modelOfTiny(tinyVilt({ mask })), bothLanes);
      const [with_, without] = [numbersOf(await logits(model, blank)), numbersOf(await logits(model))].map((n) =>
        n.map(Number),
      );
      expect(with_!.every(Number.isFinite)).toBe(true);
      expect(with_!.slice(0, 5)).toEqual(without!.slice(0, 5));
      expect(with_!.slice(10)).toEqual(without!.slice(10));
    }
  });
});
