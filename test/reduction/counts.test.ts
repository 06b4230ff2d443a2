/**
 * Counts against the arithmetic of the rational numbers, as numbers and as a graph.
 */
import { describe, expect, it } from 'vitest';
import { emitterInto } from '../../src/graph/emit.ts';
import { DataType, type Model, type Node } from '../../src/graph/model.ts';
import {
  emitImageCounts,
  emitTextCounts,
  imageCounts,
  keepToRatios,
  parseRatio,
  ratioUnits,
  readRatio,
  roundShare,
  siteIsIdle,
  textCounts,
  type CountRule,
  type GraphRatio,
} from '../../src/reduction/counts.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { openModel, randomFrom } from './harness.ts';

/** round(hundredths / 100 * n), half to even, from the quotient's remainder. */
const share = (hundredths: number, n: number): number => {
  const whole = Math.floor((hundredths * n) / 100);
  const rest = hundredths * n - 100 * whole;
  return rest > 50 || (rest === 50 && whole % 2 === 1) ? whole + 1 : whole;
};

describe('ratios', () => {
  it('reads decimals exactly', () => {
    expect(parseRatio('0.3')).toEqual({ num: 3n, den: 10n });
    expect(parseRatio(0.35)).toEqual({ num: 7n, den: 20n });
    expect(parseRatio('.075')).toEqual({ num: 3n, den: 40n });
    expect(parseRatio('1e-7')).toEqual({ num: 1n, den: 10_000_000n });
    expect(parseRatio(1e-7)).toEqual({ num: 1n, den: 10_000_000n });
    expect(parseRatio(' 1. ')).toEqual({ num: 1n, den: 1n });
    expect(parseRatio('0')).toEqual({ num: 0n, den: 1n });
    expect(parseRatio('25e-2')).toEqual({ num: 1n, den: 4n });
  });

  it.each(['', '.', '-0.1', '1/3', 'half', '0,3', '1e', 'NaN', 'Infinity', '0.30000000000000004', '1e-300'])(
    'does not read "%s"',
    (text) => {
      expect(readRatio(text)).toBeUndefined();
    },
  );

  it('turns --keep into ratios', () => {
    expect(keepToRatios(0.7, 'pumer')).toEqual({ prune: 0.075, merge: 0.225 });
    expect(keepToRatios(0.5, 'pumer')).toEqual({ prune: 0.125, merge: 0.375 });
    expect(keepToRatios('0.4', 'pumer')).toEqual({ prune: 0.2, merge: 0.4 });
    expect(keepToRatios(0.3, 'pumer')).toEqual({ prune: 0.4, merge: 0.3 });
    expect(keepToRatios(0.7, 'safe')).toEqual({ prune: 0, merge: 0.3 });
    expect(keepToRatios(0.55, 'safe')).toEqual({ prune: 0.05, merge: 0.4 });
    expect(keepToRatios(0.3, 'safe')).toEqual({ prune: 0.4, merge: 0.3 });
    for (const semantics of ['pumer', 'safe'] as const) {
      expect(keepToRatios(1, semantics)).toEqual({ prune: 0, merge: 0 });
      for (let k = 1; k < 1000; k++) {
        const { prune, merge } = keepToRatios(k / 1000, semantics);
        // As decimals of five places, so without binary noise, they add up to what is removed.
        expect(`${prune}${merge}`).toMatch(/^0(\.\d{1,5})?0(\.\d{1,5})?$/);
        expect(Math.round(prune * 1e5) + Math.round(merge * 1e5)).toBe(100_000 - 100 * k);
      }
    }
  });
});

describe('counts', () => {
  it('rounds half to even on the exact product', () => {
    expect(roundShare(90, parseRatio(0.35))).toBe(32);
    expect(roundShare(145, parseRatio(0.1))).toBe(14);
    expect(roundShare(145, parseRatio(0.3))).toBe(44);
    for (let h = 5; h <= 95; h++)
      for (let n = 1; n <= 400; n++) expect(roundShare(n, parseRatio(h / 100))).toBe(share(h, n));
  });

  it("gives the published schedules' lengths", () => {
    const pumer: CountRule = { semantics: 'pumer', protectedCount: 0 };
    const schedule = (n: number, prune: number, merge: number, sites: number): number[] =>
      Array.from({ length: sites }, () => (n = imageCounts(n, prune, merge, pumer).after));
    expect(schedule(145, 0.1, 0.3, 4)).toEqual([87, 52, 31, 19]);
    expect(schedule(577, 0.2, 0.2, 4)).toEqual([347, 209, 125, 75]);
    expect(schedule(577, 0.3, 0.5, 4)).toEqual([203, 72, 26, 10]);
    expect([32, 26, 21, 17].map((n) => textCounts(n, 0.2, pumer).after)).toEqual([26, 21, 17, 14]);
  });

  it('keeps what is protected, and never more than there is', () => {
    const safe = (protectedCount: number): CountRule => ({ semantics: 'safe', protectedCount });
    expect(imageCounts(10, 0.95, 0.5, safe(3))).toEqual({ keep: 4, merge: 0, after: 4 });
    expect(imageCounts(10, 0, 0.5, safe(1))).toEqual({ keep: 10, merge: 4, after: 6 });
    expect(imageCounts(1, 0.9, 0.5, safe(1))).toEqual({ keep: 1, merge: 0, after: 1 });
    expect(imageCounts(1, 0.9, 0.5, safe(3))).toEqual({ keep: 1, merge: 0, after: 1 });
    expect(imageCounts(1, 0.9, 0.5, safe(0))).toEqual({ keep: 1, merge: 0, after: 1 });
    expect(imageCounts(10, 0, 0.5, safe(0))).toEqual({ keep: 10, merge: 5, after: 5 });
    expect(textCounts(10, 0.9, safe(2))).toEqual({ keep: 10, merge: 4, after: 6 });
  });

  it('does nothing in pumer where pruning rounds to none', () => {
    const pumer: CountRule = { semantics: 'pumer', protectedCount: 0 };
    expect(siteIsIdle(5, 0.1, 'pumer')).toBe(true);
    expect(siteIsIdle(6, 0.1, 'pumer')).toBe(false);
    expect(siteIsIdle(5, 0.1, 'safe')).toBe(false);
    expect(imageCounts(5, 0.1, 0.3, pumer)).toEqual({ keep: 5, merge: 0, after: 5 });
    expect(textCounts(40, 0.2, pumer, true)).toEqual({ keep: 40, merge: 0, after: 40 });
  });

  const run = async (
    nodes: Node[],
    opset: number,
    outputs: readonly string[],
    n: readonly number[],
  ): Promise<number[][]> => {
    const type = { dataType: DataType.INT64, dims: ['lengths'] };
    const model: Model = {
      irVersion: 8,
      opsets: new Map([['', opset]]),
      graph: {
        name: 'counts',
        nodes: [
          ...nodes,
          // Outputs may be the input or a constant of one element.
          ...outputs.map((from, i): Node => ({
            name: `out${i}`,
            op: 'Expand',
            domain: '',
            inputs: [from, 'shape'],
            outputs: [`out${i}`],
            attrs: {},
            captures: [],
          })),
          { name: 'shape', op: 'Shape', domain: '', inputs: ['n'], outputs: ['shape'], attrs: {}, captures: [] },
        ].sort((a, b) => Number(b.name === 'shape') - Number(a.name === 'shape')),
        inputs: [{ name: 'n', type }],
        outputs: outputs.map((_, i) => ({ name: `out${i}`, type })),
        constants: new Map(),
        annotations: [],
      },
      functions: [],
      metadata: new Map(),
    };
    const feed: TensorData = { dataType: DataType.INT64, dims: [n.length], data: BigInt64Array.from(n, BigInt) };
    const session = await openModel(model);
    const results = await session.run(new Map([['n', feed]]));
    await session.release();
    return outputs.map((_, i) => numbersOf(results.get(`out${i}`)!));
  };

  it.each([11, 12, 13, 17, 23])('the graph counts as the numbers do, opset %i', async (opset) => {
    const lengths = Array.from({ length: 400 }, (_, i) => i + 1);
    const random = randomFrom(opset);
    for (let i = 0; i < 30; i++) {
      const decimal = (): number =>
        random.pick([
          0,
          random.int(1, 19) / 20,
          random.int(1, 99) / 100,
          random.int(1, 999) / 1000,
          random.int(1, 9999) / 10000,
        ]);
      const [prune, merge, text] = [decimal(), decimal(), decimal()];
      const rule: CountRule = { semantics: random.pick(['pumer', 'safe']), protectedCount: random.int(0, 3) };
      const nodes: Node[] = [];
      let count = 0;
      const e = emitterInto(nodes, opset, (hint) => `${hint}_${count++}`);
      // Every other time as a value, as a calibration model gives it.
      const ratio = (decimal: number): GraphRatio =>
        i % 2 === 0 ? decimal : { given: e.int64s([Number(ratioUnits(decimal))]) };
      const image = emitImageCounts(e, 'n', ratio(prune), ratio(merge), rule);
      // The same length for both lanes: the text idles where the image does.
      const words = emitTextCounts(e, 'n', ratio(text), rule, image.prune);
      const values = [image.keep, image.merge, words.keep, words.merge, image.prune];
      const [keep, merged, textKeep, textMerged, pruned] = await run(nodes, opset, values, lengths);
      lengths.forEach((n, at) => {
        const what = `n ${n}, ${JSON.stringify({ prune, merge, text, rule })}`;
        const expected = imageCounts(n, prune, merge, rule);
        const idle = siteIsIdle(n, prune, rule.semantics);
        expect([keep![at], merged![at]], what).toEqual([expected.keep, expected.merge]);
        expect([textKeep![at], textMerged![at]], what).toEqual([n, textCounts(n, text, rule, idle).merge]);
        expect(pruned![at], what).toBe(roundShare(n, parseRatio(prune)));
      });
    }
  });

  it('ratios that are given are whole numbers of 10^-4', () => {
    expect([0, 0.3, 0.0001, '0.12340', 0.9999].map(ratioUnits)).toEqual([0n, 3000n, 1n, 1234n, 9999n]);
    expect([0.00001, 0.12345, '1/3', -0.1].map(ratioUnits)).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('the graph is exact for ratios of many places', async () => {
    const nodes: Node[] = [];
    let count = 0;
    const e = emitterInto(nodes, 17, (hint) => `${hint}_${count++}`);
    const rule: CountRule = { semantics: 'safe', protectedCount: 1 };
    const { keep } = emitImageCounts(e, 'n', '0.333333333333333', 0, rule);
    const lengths = [1, 2, 3, 577, 3999, 4000];
    const [kept] = await run(nodes, 17, [keep], lengths);
    expect(kept).toEqual(lengths.map((n) => imageCounts(n, '0.333333333333333', 0, rule).keep));
  });
});
