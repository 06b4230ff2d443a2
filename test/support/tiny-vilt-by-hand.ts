/**
 * The tiny ViLT computed in plain float64 loops, reduced at its sites by the reference of the reducer: what a compiled
 * model must compute, written down without any of the compiler but the reference and the counts.
 */
import { imageCounts, siteIsIdle, textCounts } from '../../src/reduction/counts.ts';
import type { PlannedSite, Semantics } from '../../src/reduction/plan.ts';
import { followReduction, reduceTokens, type ReducedRow } from '../../src/reduction/reference.ts';
import { answers, heads, hidden, patches, width, type Tiny, type TinyFeeds } from './tiny-vilt.ts';

type Row = number[];
type Matrix = Row[];

export interface ByHand {
  readonly tiny: Tiny;
  readonly semantics: Semantics;
  readonly sites: readonly PlannedSite[];
  readonly norm: boolean;
  /** The mask is in the model; without, PAD is a word like others. */
  readonly masked: boolean;
  /** Image tokens read by position, negative from the end; words: the first. */
  readonly imageReads?: readonly number[];
  readonly joins?: readonly Join[];
  /** Added to the score of head h in row b of the batch: of the original tokens i (asking) and j (asked). */
  readonly bias?: (b: number, h: number, i: number, j: number) => number;
}

/** What enters layer `layer` is joined to the tokens that entered layer `from`, or to rows of a weight, one a place. */
export interface Join {
  readonly layer: number;
  readonly from: number | string;
  readonly by: 'Add' | 'Mul';
}

export interface HandResult {
  readonly logits: Row;
  /** Tokens after the last normalisation, those merged away and pruned put back. */
  readonly restored: Matrix;
  /** The smallest distance by which any decision was made. */
  readonly margin: number;
  /** Tokens left, text and image. */
  readonly left: readonly [number, number];
}

const dot = (a: Row, b: Row): number => a.reduce((s, v, i) => s + v * b[i]!, 0);
const plus = (a: Row, b: Row): Row => a.map((v, i) => v + b[i]!);
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

const softmax = (scores: Row): Row => {
  const max = Math.max(...scores);
  const e = scores.map((s) => Math.exp(s - max));
  const total = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / total);
};

/** Row `b` of the batch. */
export const byHand = (
  { tiny, semantics, sites, norm, masked, imageReads = [], bias: said = () => 0, joins = [] }: ByHand,
  feeds: TinyFeeds,
  b: number,
): HandResult => {
  const weight = (name: string): readonly number[] => tiny.weights.get(name)!;
  const rowOf = (name: string, i: number, size = width): Row => weight(name).slice(i * size, (i + 1) * size);
  const dense = (x: Matrix, name: string, to: number): Matrix =>
    x.map((row) =>
      range(to).map((j) => row.reduce((s, v, i) => s + v * weight(`${name}_w`)[i * to + j]!, weight(`${name}_c`)[j]!)),
    );
  const normed = (x: Matrix, name: string): Matrix =>
    !norm
      ? x
      : x.map((row) => {
          const mean = row.reduce((a, v) => a + v, 0) / width;
          const variance = row.reduce((a, v) => a + (v - mean) ** 2, 0) / width;
          return row.map(
            (v, i) => ((v - mean) / Math.sqrt(variance + 1e-5)) * weight(`${name}_g`)[i]! + weight(`${name}_b`)[i]!,
          );
        });

  const ids = feeds.ids[b]!;
  const pixels = feeds.pixels[b]!;
  const position = (i: number): Row => rowOf('text_position', weight('text_position').length === width ? 0 : i);
  const text = ids.map((id, i) => plus(rowOf('table', id), position(i)));
  const patch = (at: number): Row =>
    range(width).map((o) => {
      let sum = weight('conv_b')[o]!;
      for (let c = 0; c < 3; c++)
        for (let y = 0; y < 4; y++)
          for (let x = 0; x < 4; x++) {
            const pixel = pixels[c * 256 + (Math.floor(at / 4) * 4 + y) * 16 + (at % 4) * 4 + x]!;
            sum += pixel * weight('conv_w')[o * 48 + c * 16 + y * 4 + x]!;
          }
      return sum;
    });
  const image = [rowOf('cls_token', 0), ...range(patches).map(patch)].map((row, i) =>
    plus(row, rowOf('image_position', i)),
  );

  let lengths: [number, number] = [text.length, image.length];
  let weights: [Row, Row] = [masked ? [...feeds.mask[b]!] : text.map(() => 1), image.map(() => 1)];
  let places: [Row, Row] = [range(text.length), range(image.length)];
  /** Where each token stood at first; of a merged one, its destination. */
  let origins: [Row, Row] = [range(text.length), range(image.length).map((i) => text.length + i)];
  let x: Matrix = [...text, ...image];
  let margin = Infinity;
  let reducedYet = false;
  const entered: Matrix[] = [];
  /** Reductions so far: the layer, and how both lanes were shortened there by which weights. */
  const steps: { layer: number; lanes: [ReducedRow, ReducedRow]; weights: [Row, Row] }[] = [];
  const followed = (value: Matrix, since: number): Matrix =>
    steps
      .filter((step) => step.layer >= since)
      .reduce((rows, { lanes, weights: [t, i] }) => {
        const border = lanes[0].target.length;
        return [
          ...followReduction(semantics, lanes[0], t, rows.slice(0, border)),
          ...followReduction(semantics, lanes[1], i, rows.slice(border)),
        ];
      }, value);

  for (let k = 0; k < tiny.layers; k++) {
    for (const { from, by } of joins.filter((j) => j.layer === k)) {
      const value =
        typeof from === 'number' ? entered[from]! : range(ids.length + patches + 1).map((i) => rowOf(from, i));
      const other = followed(value, typeof from === 'number' ? from : 0);
      x = x.map((row, i) => row.map((v, c) => (by === 'Add' ? v + other[i]![c]! : v * other[i]![c]!)));
    }
    entered.push(x);
    const n = normed(x, `before${k}`);
    const [q, key, v] = ['q', 'k', 'v'].map((part) => dense(n, `${part}${k}`, width)) as [Matrix, Matrix, Matrix];
    const d = width / heads;
    const head = (row: Row, h: number): Row => row.slice(h * d, (h + 1) * d);
    const keyWeights = weights.flat();
    const bias = keyWeights.map((w) => (w > 0 ? (reducedYet ? Math.log(w) : 0) : masked || reducedYet ? -10000 : 0));
    const probs = range(heads).map((h) =>
      q.map((row, i) =>
        softmax(
          key.map((other, j) => {
            const [from, to] = [origins.flat()[i]!, origins.flat()[j]!];
            return 0.5 * dot(head(row, h), head(other, h)) + bias[j]! + said(b, h, from, to);
          }),
        ),
      ),
    );
    const context = x.map((_, i) =>
      range(heads).flatMap((h) =>
        range(d).map((c) => probs[h]![i]!.reduce((s, p, j) => s + p * head(v[j]!, h)[c]!, 0)),
      ),
    );
    x = dense(context, `out${k}`, width).map((row, i) => plus(row, x[i]!));

    const site = sites.find((s) => s.layer === k);
    if (site !== undefined) {
      const [t, i] = lengths;
      const metric = key.map((row) => range(d).map((c) => (row[c]! + row[c + d]!) / heads));
      const idle = siteIsIdle(i, site.prune, semantics);
      const imageRule = imageCounts(i, site.prune, site.merge, { semantics, protectedCount: imageReads.length });
      const textRule = textCounts(t, site.mergeText, { semantics, protectedCount: 1 }, idle);
      const reduce = (
        from: number,
        to: number,
        w: Row,
        counts: { keep: number; merge: number },
        isText: boolean,
      ): ReducedRow =>
        reduceTokens({
          semantics,
          tokens: [x.slice(from, to)],
          // Text is not pruned: all stay, in their order.
          attention: isText
            ? [[[range(t).map((v) => t - v)]]]
            : [probs.map((p) => p.slice(0, t).map((row) => row.slice(t)))],
          rowWeight: isText ? [[1]] : [weights[0]],
          metric: [metric.slice(from, to)],
          weight: [w],
          // The answer is read off the first word.
          protectedPositions: isText ? [0] : imageReads,
          ...counts,
        })[0]!;
      const words = reduce(0, t, weights[0], textRule, true);
      const seen = reduce(t, t + i, weights[1], imageRule, false);
      if (!idle && (textRule.merge > 0 || imageRule.after < i)) {
        const lanes: [ReducedRow, ReducedRow] = [
          textRule.merge > 0 ? words : kept(x.slice(0, t), weights[0]),
          imageRule.after < i ? seen : kept(x.slice(t), weights[1]),
        ];
        if (textRule.merge > 0) margin = Math.min(margin, words.margin);
        if (imageRule.after < i) margin = Math.min(margin, seen.margin);
        steps.push({ layer: k, lanes, weights: [[...weights[0]], [...weights[1]]] });
        x = lanes.flatMap((l) => l.tokens);
        lengths = [lanes[0].tokens.length, lanes[1].tokens.length];
        weights = [lanes[0].weight, semantics === 'pumer' ? lanes[1].tokens.map(() => 1) : lanes[1].weight];
        places = places.map((p, lane) => p.map((at) => (at < 0 ? -1 : lanes[lane]!.target[at]!))) as [Row, Row];
        origins = origins.map((o, lane) => lanes[lane]!.survivors.map((i) => o[i]!)) as [Row, Row];
        reducedYet = true;
      }
    }
    const up = dense(normed(x, `after${k}`), `up${k}`, hidden).map((row) => row.map(Math.tanh));
    x = dense(up, `down${k}`, width).map((row, i) => plus(row, x[i]!));
  }
  const final = normed(x, 'final');
  const logits = range(answers).map((j) =>
    final[0]!.reduce((s, value, i) => s + value * weight('head_w')[i * answers + j]!, weight('head_b')[j]!),
  );
  const back = (at: number, from: number): Row => (at < 0 ? range(width).map(() => 0) : final[from + at]!);
  const restored = [...places[0].map((at) => back(at, 0)), ...places[1].map((at) => back(at, lengths[0]))];
  return { logits, restored, margin, left: lengths };
};

const kept = (tokens: Matrix, weight: Row): ReducedRow => ({
  tokens,
  weight,
  target: range(tokens.length),
  survivors: range(tokens.length),
  sources: [],
  margin: Infinity,
});
