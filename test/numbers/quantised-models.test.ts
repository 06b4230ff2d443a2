/**
 * Quantised models against the float models they were made from: shortened by the same plan both must stay about as
 * near to each other as they are unshortened, and unshortened they must not change by a bit. ONNX Runtime judges.
 */
import { describe, expect, it } from 'vitest';
import { DataType, type Model } from '../../src/graph/model.ts';
import { usesOf } from '../../src/graph/uses.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import {
  compiledWith,
  feedsFor,
  loadFixture,
  meterPumer,
  outputsOf,
  viltTiny,
  type Fixture,
} from '../compile/fixtures.ts';
import { randomFrom } from '../reduction/harness.ts';
import { dynamicallyQuantised, quantisedWith, type Steps } from '../support/number-types.ts';
import { modelOfTiny, tensorsOf, tinyFeeds, tinyVilt } from '../support/tiny-vilt.ts';

const apart = (a: TensorData | undefined, b: TensorData | undefined): number => {
  const [x, y] = [a, b].map((t) => [...numbersOf(t as TensorData)].map(Number)) as [number[], number[]];
  expect(x).toHaveLength(y.length);
  return Math.max(...x.map((v, i) => Math.abs(v - (y[i] as number)))) / Math.max(...y.map(Math.abs));
};

/** Another choice of tokens here and there adds to the rounding; a wrong scale adds hundreds of times it. */
const farther = 8;
const layers = [1, 2];
const plan = { layers, prune: 0, merge: 0.25, mergeText: 0 };
const identity = { keep: 1, mergeText: 0 };

const firstOutput = async (model: Model, feeds: ReadonlyMap<string, TensorData>): Promise<TensorData> =>
  [...(await outputsOf(model, feeds)).values()][0] as TensorData;

interface Made {
  readonly float: Model;
  readonly quantised: Model;
  readonly same: Model;
  readonly shortFloat: Model;
  readonly short: Model;
}

const made = (fixture: Fixture): Made => {
  const float = loadFixture(fixture);
  const quantised = dynamicallyQuantised(float);
  const [shortFloat, short] = [float, quantised].map((m) => compiledWith(m, plan).model) as [Model, Model];
  return { float, quantised, same: compiledWith(quantised, identity).model, shortFloat, short };
};

describe('dynamic int8', () => {
  const meter = made(meterPumer);
  it.each([
    ['single stream', viltTiny, made(viltTiny)],
    ['two streams', meterPumer, meter],
  ] as const)(
    '%s',
    async (_, fixture, models) => {
      const feeds = feedsFor(fixture, models.float, 2, [0, 3]);
      const integers = await firstOutput(models.quantised, feeds);
      expect(numbersOf(await firstOutput(models.same, feeds))).toEqual(numbersOf(integers));
      const before = apart(integers, await firstOutput(models.float, feeds));
      const after = apart(await firstOutput(models.short, feeds), await firstOutput(models.shortFloat, feeds));
      expect(before).toBeGreaterThan(0);
      expect(after).toBeLessThan(farther * before);
    },
    120_000,
  );

  it('every product keeps the scale and zero point of its own quantiser', () => {
    const { producer, consumers } = usesOf(meter.short.graph);
    const products = meter.short.graph.nodes.filter((n) => n.op === 'MatMulInteger');
    expect(products.length).toBeGreaterThan(20);
    for (const product of products) {
      const quantiser = producer(product.inputs[0] ?? '');
      expect(producer(product.inputs[2] ?? '')).toBe(quantiser);
      const cast = consumers(product.outputs[0] ?? '')[0]?.node;
      const mul = consumers(cast?.outputs[0] ?? '')[0]?.node;
      const scales = producer(mul?.inputs.find((v) => v !== cast?.outputs[0]) ?? '');
      expect(scales?.inputs.map(producer)).toContain(quantiser);
    }
  });

  it('quantisers are shared again where they read the same value', () => {
    const count = (model: Model): number => model.graph.nodes.filter((n) => n.op === 'DynamicQuantizeLinear').length;
    expect(count(meter.same)).toBe(count(meter.quantised));
    expect(count(meter.short)).toBeGreaterThan(count(meter.quantised));
  });
});

/** Fine steps up to 128: hidden scores end there. */
const fine: Steps = { scale: 1 / 256, zero: 0, type: DataType.INT16 };
const rounded = new Set('MatMul Add Mul Reshape Transpose Softmax LayerNormalization Tanh'.split(' '));
const tiny = modelOfTiny(tinyVilt({ layers: 4 }));
const tinyBatch = tensorsOf(tinyFeeds(randomFrom(3), [0, 3]));
/** `bias` is the mask as it is added. */
const everywhere = (masked: Steps, bias?: Steps): Model =>
  quantisedWith(tiny, (n) => {
    const [y = ''] = n.outputs;
    if (y === 'bias') return bias;
    if (y.startsWith('masked')) return masked;
    return rounded.has(n.op) && usesOf(tiny.graph).producer('bias') !== n && !maskChain.has(y) ? fine : undefined;
  });
/** What the mask is made of: numbers no fine step reaches. */
const maskChain = new Set<string>();
for (const queue = ['bias']; queue.length > 0;) {
  const made = usesOf(tiny.graph).producer(queue.pop() as string);
  for (const v of made?.inputs ?? []) {
    maskChain.add(v);
    queue.push(v);
  }
}

describe('QDQ', () => {
  it('around every operator, a mask in steps of its own', async () => {
    const quantised = everywhere(fine, { scale: 1, zero: 0, type: DataType.INT16 });
    const same = await firstOutput(compiledWith(quantised, identity).model, tinyBatch);
    expect(numbersOf(same)).toEqual(numbersOf(await firstOutput(quantised, tinyBatch)));
    const before = apart(await firstOutput(quantised, tinyBatch), await firstOutput(tiny, tinyBatch));
    const short = [quantised, tiny].map((m) => firstOutput(compiledWith(m, plan).model, tinyBatch));
    const [shortIntegers, shortFloats] = await Promise.all(short);
    expect(before).toBeGreaterThan(0);
    expect(apart(shortIntegers, shortFloats)).toBeLessThan(farther * before);
  });

  it('sizes are not lost in the steps of masked scores', async () => {
    // Calibrated on padding: only hidden or not is left of the scores, so a key counts for its size and nothing else.
    const quantised = everywhere({ scale: 100, zero: 127, type: DataType.INT8 });
    const { model } = compiledWith(quantised, plan);
    const weight = model.graph.nodes.filter((n) => n.op === 'TokenReduce').at(-1)?.outputs[1] ?? '';
    const seen = [weight, 'probs3'].map((name) => ({ name, type: { dataType: DataType.FLOAT } }));
    const out = await outputsOf({ ...model, graph: { ...model.graph, outputs: seen } }, tinyBatch);
    const [sizes, probs] = [weight, 'probs3'].map((name) => out.get(name) as TensorData) as [TensorData, TensorData];
    const images = sizes.dims[1] as number;
    const masks = [...numbersOf(tinyBatch.get('attention_mask') as TensorData)].map(Number);
    const words = masks.length / 2;
    const length = words + images;
    expect(probs.dims).toEqual([2, 2, length, length]);
    expect(Math.max(...[...numbersOf(sizes)].map(Number))).toBeGreaterThan(1);
    for (const b of [0, 1]) {
      const own = [...numbersOf(sizes)].map(Number).slice(b * images, (b + 1) * images);
      const all = [...masks.slice(b * words, (b + 1) * words), ...own];
      const total = all.reduce((x, y) => x + y, 0);
      const row = [...numbersOf(probs)].map(Number).slice(b * 2 * length * length, b * 2 * length * length + length);
      row.forEach((p, k) => expect(p).toBeCloseTo((all[k] as number) / total, 5));
    }
  });

  it('a mask whose steps hide nothing makes PAD a token like others', async () => {
    const none: Steps = { scale: 1, zero: 0, type: DataType.UINT8 };
    const blind = quantisedWith(tiny, (n) => (n.outputs[0] === 'bias' ? none : undefined));
    const unmasked = modelOfTiny(tinyVilt({ layers: 4, mask: 'none' }));
    const [a, b] = await Promise.all(
      [blind, unmasked].map((m) => firstOutput(compiledWith(m, { ...plan, prune: 0.2 }).model, tinyBatch)),
    );
    expect(apart(a, b)).toBeLessThan(1e-5);
  });
});
