/**
 * What a compiled recipe must compute: the model in float64 loops over the recipe, not over any graph, with its lanes
 * shortened at the sites as semantics.md says. Knows nothing of the compiler and nothing of ONNX.
 */
import { arithmeticOf, attention, plus, range, type Attended } from './arithmetic.ts';
import { imageCounts, shorten, textCounts, type Matrix, type Row } from './decisions.ts';
import { answers, channels, features, inputsOf, longestText, patch, vocabulary, weightsOf } from './numbers.ts';
import {
  attendsAt,
  countOf,
  maskFormOf,
  runsOf,
  type Head,
  type LaneName,
  type Recipe,
  type Site,
  type StreamName,
} from './recipe.ts';

interface Lane {
  readonly name: LaneName;
  readonly tokens: Matrix;
  /** The model's own mask to begin with; behind a site what semantics.md makes of it. */
  readonly weight: Row;
  /** A site has shortened it. */
  readonly touched: boolean;
  /** Where each original token is now; -1: pruned. */
  readonly places: readonly number[];
}
type Stream = readonly Lane[];

export interface RowResult {
  /** For each output its numbers, row-major. */
  readonly outputs: readonly (readonly number[])[];
  /** The least difference by which any decision was made. */
  readonly margin: number;
  /** Tokens left in the end, text and image. */
  readonly left: readonly [number, number];
}

/** Tokens at the two ends of a lane that are read by position: p protects from its nearer end to p. */
export const sparedEnds = (recipe: Recipe, lane: 'text' | 'image'): { start: number; end: number } => {
  const ends = { start: 0, end: 0 };
  const size = countOf(recipe, lane);
  for (const head of recipe.outputs) {
    if (head.kind !== 'pool') continue;
    const found = placeOf(recipe, head);
    if (found.lane !== lane) continue;
    if (found.offset < size - found.offset) ends.start = Math.max(ends.start, found.offset + 1);
    else ends.end = Math.max(ends.end, size - found.offset);
  }
  return ends;
};

/** The lane and the offset from its start that a read of a stream means. */
export const placeOf = (
  recipe: Recipe,
  head: { readonly stream: StreamName; readonly at: number },
): { lane: LaneName; offset: number } => {
  const runs = runsOf(recipe, head.stream);
  const total = runs.reduce((n, lane) => n + countOf(recipe, lane), 0);
  let offset = head.at < 0 ? head.at + total : head.at;
  for (const lane of runs) {
    if (offset < countOf(recipe, lane)) return { lane, offset };
    offset -= countOf(recipe, lane);
  }
  throw new Error('a read beyond the stream');
};

const tokensOf = (stream: Stream): Matrix => stream.flatMap((lane) => lane.tokens);
const laneOf = (stream: Stream, name: LaneName): Lane => stream.find((lane) => lane.name === name)!;
const startOf = (stream: Stream, name: LaneName): number => {
  let start = 0;
  for (const lane of stream) {
    if (lane.name === name) return start;
    start += lane.tokens.length;
  }
  return start;
};
/** The same lanes with other tokens, one for one. */
const withTokens = (stream: Stream, tokens: Matrix): Stream => {
  let at = 0;
  return stream.map((lane) => ({ ...lane, tokens: tokens.slice(at, (at += lane.tokens.length)) }));
};

/** Row `b` of the batch; `sites` empty: the model as it is. */
export const interpret = (recipe: Recipe, sites: readonly Site[], b: number): RowResult => {
  const { semantics } = recipe.plan;
  const { width, hidden, image: picture, text: words } = recipe;
  const weights = weightsOf(recipe);
  const a = arithmeticOf(recipe, weights);
  const inputs = inputsOf(recipe);
  const row = (name: string, rows: number, i: number): Row => [
    ...weights(name, [rows, width]).subarray(i * width, (i + 1) * width),
  ];
  let margin = Infinity;

  // Embeddings.
  const embedText = (): Matrix =>
    inputs.ids[b]!.map((id, i) => {
      let x = plus(row('words.table', vocabulary, id), row('positions.table', longestText, i));
      if (words.types !== 'none')
        x = plus(x, row('types.table', 2, words.types === 'input' ? inputs.types[b]![i]! : 0));
      return words.norm ? a.norm(x, 'words.norm') : x;
    });
  const patchAt = (i: number): Row => {
    const w = weights('patches', [width, channels, patch, patch]);
    const bias = weights('patches.bias', [width]);
    const across = picture.columns * patch;
    const pixel = (c: number, y: number, x: number): number =>
      inputs.picture[b]![
        c * picture.rows * patch * across +
          (Math.floor(i / picture.columns) * patch + y) * across +
          (i % picture.columns) * patch +
          x
      ]!;
    return range(width).map((o) => {
      let sum = bias[o]!;
      for (let c = 0; c < channels; c++)
        for (let y = 0; y < patch; y++)
          for (let x = 0; x < patch; x++) sum += w[((o * channels + c) * patch + y) * patch + x]! * pixel(c, y, x);
      return sum;
    });
  };
  const embedImage = (): Matrix => {
    const seen =
      picture.from === 'pixels'
        ? range(picture.rows * picture.columns).map(patchAt)
        : range(picture.count - (picture.cls ? 1 : 0)).map((i) =>
            a.linear(inputs.picture[b]!.slice(i * features, (i + 1) * features), 'region-map', width),
          );
    const all = picture.cls ? [row('image-cls.token', 1, 0), ...seen] : seen;
    return all.map((x, i) => {
      const placed = picture.from === 'pixels' ? plus(x, row('patch-positions.table', picture.count, i)) : x;
      return picture.norm ? a.norm(placed, 'image.norm') : placed;
    });
  };
  const lane = (name: LaneName, tokens: Matrix, weight: Row): Lane => ({
    name,
    tokens,
    weight,
    touched: false,
    places: range(tokens.length),
  });
  const lanes: Record<LaneName, () => Lane> = {
    text: () => lane('text', embedText(), words.masked ? words.shown[b]! : range(words.length).map(() => 1)),
    image: () =>
      lane('image', embedImage(), picture.mask === 'input' ? picture.shown[b]! : range(picture.count).map(() => 1)),
    other: () => lane('other', [row('other.token', 1, 0)], [1]),
  };

  // Layers.
  const attend = (name: string, x: Stream, y: Stream): { out: Stream; seen: Attended } => {
    const pre = recipe.norm.place === 'pre';
    const normed = pre ? tokensOf(x).map((t) => a.norm(t, `${name}.norm`)) : tokensOf(x);
    const form = maskFormOf(
      recipe,
      y.map((l) => l.name),
    );
    const minimum = recipe.mask.minimum === '-inf' ? -Infinity : recipe.mask.minimum;
    const rebuilt = y.some((l) => l.touched);
    const bias = y.flatMap((l) =>
      l.weight.map((w) => {
        const own = rebuilt && semantics === 'pumer' && l.name === 'image' ? 1 : w;
        const sized = rebuilt && own > 0 ? Math.log(own) : 0;
        if (form === 'none') return semantics === 'safe' ? sized : 0;
        return own > 0 ? sized : minimum;
      }),
    );
    const seen = attention(recipe, a, name, normed, x === y ? normed : tokensOf(y), bias, form.startsWith('where'));
    const sums = seen.context.map((c, i) => plus(a.linear(c, `${name}.out`, width), tokensOf(x)[i]!));
    const out = recipe.norm.place === 'post' ? sums.map((t) => a.norm(t, `${name}.norm`)) : sums;
    return { out: withTokens(x, out), seen };
  };
  const feedForward = (name: string, x: Stream): Stream => {
    const tokens = tokensOf(x).map((t) => {
      const inner = recipe.norm.place === 'pre' ? a.norm(t, `${name}.norm`) : t;
      const sum = plus(a.linear(a.act(a.linear(inner, `${name}.up`, hidden)), `${name}.down`, width), t);
      return recipe.norm.place === 'post' ? a.norm(sum, `${name}.norm`) : sum;
    });
    return withTokens(x, tokens);
  };

  // Sites.
  const spared = (name: 'text' | 'image', n: number): number[] => {
    const { start, end } = sparedEnds(recipe, name);
    return range(n).filter((i) => i < start || i >= n - end);
  };
  const isIdle = (site: Site, n: number): boolean =>
    semantics === 'pumer' && imageCounts('pumer', n, site.prune, 0, 0).keep === n;
  /** `rows`: weights of the text rows; `probs` [heads][text rows][these image tokens]. */
  const shortenImage = (site: Site, from: Lane, metric: Matrix, rows: Row, probs: readonly Matrix[]): Lane => {
    const n = from.tokens.length;
    const keep = spared('image', n);
    const counts = imageCounts(semantics, n, site.prune, site.merge, keep.length);
    if (site.prune + site.merge === 0 || isIdle(site, n) || counts.keep - counts.merge === n) return from;
    const total = rows.reduce((s, w) => s + w, 0);
    const u = (r: number): number => (semantics === 'pumer' ? 1 : rows[r]!);
    const saliency = range(n).map((v) =>
      total === 0 ? 0 : probs.reduce((s, head) => s + head.reduce((t, p, r) => t + u(r) * p[v]!, 0), 0) / total,
    );
    const result = shorten({
      semantics,
      ...from,
      metric,
      saliency,
      equal: total === 0,
      spared: keep,
      counts,
    });
    margin = Math.min(margin, result.margin);
    const weight = semantics === 'pumer' ? result.tokens.map(() => 1) : result.weight;
    return moved(from, result.tokens, weight, result.target);
  };
  const shortenText = (site: Site, from: Lane, metric: Matrix, imageTokens: number): Lane => {
    const n = from.tokens.length;
    const keep = spared('text', n);
    const counts = textCounts(semantics, n, site.mergeText, keep.length);
    if (counts.merge === 0 || isIdle(site, imageTokens)) return from;
    const result = shorten({ semantics, ...from, metric, spared: keep, counts });
    margin = Math.min(margin, result.margin);
    return moved(from, result.tokens, result.weight, result.target);
  };
  const moved = (from: Lane, tokens: Matrix, weight: Row, target: readonly number[]): Lane => ({
    ...from,
    tokens,
    weight,
    touched: true,
    places: from.places.map((p) => (p < 0 ? -1 : target[p]!)),
  });
  const part = (stream: Stream, name: LaneName, rows: Matrix): Matrix => {
    const start = startOf(stream, name);
    return rows.slice(start, start + laneOf(stream, name).tokens.length);
  };

  const siteAt = (layer: number): Site | undefined => sites.find((s) => s.layer === layer);

  const streams = new Map<StreamName, Stream>();
  let text: Stream = [lanes.text()];
  let image: Stream = [lanes.image()];
  const tower = (name: string, depth: number, x: Stream): Stream =>
    range(depth).reduce((s, k) => {
      const { out } = attend(`${name}${k}.self`, s, s);
      return feedForward(`${name}${k}.ffn`, out);
    }, x);
  text = tower('text-tower', recipe.towers.text, text);
  image = tower('image-tower', recipe.towers.image, image);

  if (recipe.family.kind === 'joint') {
    let x: Stream = recipe.family.order.map((name) =>
      name === 'text' ? text[0]! : name === 'image' ? image[0]! : lanes.other(),
    );
    for (const k of range(recipe.layers)) {
      const { out, seen } = attend(`layer${k}.self`, x, x);
      const site = siteAt(k);
      const before = x;
      x = out;
      if (site !== undefined) {
        const cut = (name: LaneName, rows: Matrix): Matrix => part(before, name, rows);
        const from = startOf(before, 'image');
        const n = laneOf(before, 'image').tokens.length;
        const looks = seen.probs.map((head) => cut('text', head).map((p) => p.slice(from, from + n)));
        x = x.map((l) =>
          l.name === 'image'
            ? shortenImage(site, l, cut('image', seen.metric), laneOf(before, 'text').weight, looks)
            : l.name === 'text'
              ? shortenText(site, l, cut('text', seen.metric), n)
              : l,
        );
      }
      x = feedForward(`layer${k}.ffn`, x);
    }
    streams.set('joint', x);
  } else {
    let layer = 0;
    for (const k of range(recipe.layers)) {
      const { family } = recipe;
      const asks = family.kind === 'pair' || attendsAt(recipe, k);
      const crossName = (lane: string): string =>
        family.kind === 'pair' && family.shared ? `layer${k}.cross` : `layer${k}.${lane}.cross`;
      const site = asks ? siteAt(layer) : undefined;
      const [oldText, oldImage] = [text, image];
      const crossFirst = family.kind === 'pair' && family.text === 'cross-self';
      let scored: Attended | undefined;
      let self: Attended | undefined;
      let scoring: Lane | undefined;
      const steps = asks ? (crossFirst ? ['cross', 'self'] : ['self', 'cross']) : ['self'];
      for (const step of steps)
        if (step === 'self') {
          const { out, seen } = attend(`layer${k}.text.self`, text, text);
          text = out;
          self = seen;
        } else {
          scoring = text[0];
          const { out, seen } = attend(crossName('text'), text, oldImage);
          text = out;
          scored = seen;
        }
      const n = oldImage[0]!.tokens.length;
      if (site !== undefined) text = [shortenText(site, text[0]!, self!.metric, n)];
      text = feedForward(`layer${k}.text.ffn`, text);
      const shorter = (): Stream =>
        site === undefined
          ? oldImage
          : [shortenImage(site, oldImage[0]!, scored!.metric, scoring!.weight, scored!.probs)];
      if (family.kind === 'keys') image = shorter();
      else {
        image = shorter();
        const reads = family.imageReads === 'old' ? oldText : text;
        const order = { 'self-cross': ['self', 'cross'], 'cross-self': ['cross', 'self'], cross: ['cross'] };
        for (const step of order[family.image])
          image =
            step === 'self'
              ? attend(`layer${k}.image.self`, image, image).out
              : attend(crossName('image'), image, reads).out;
        image = feedForward(`layer${k}.image.ffn`, image);
      }
      if (asks) layer++;
    }
    streams.set('text', text).set('image', image);
  }
  if (recipe.norm.final)
    for (const [name, stream] of streams)
      streams.set(
        name,
        withTokens(
          stream,
          tokensOf(stream).map((t) => a.norm(t, `final-${name}`)),
        ),
      );

  // Heads.
  const restored = (l: Lane, of: (t: Row) => Row): number[] => {
    const zeros = of(range(width).map(() => 0)).map(() => 0);
    return l.places.flatMap((p) => (p < 0 ? zeros : of(l.tokens[p]!)));
  };
  const shaped = (i: number, project: boolean) => (t: Row) => (project ? a.linear(t, `head${i}`, answers) : t);
  const outputs = recipe.outputs.map((head: Head, i): number[] => {
    const to = (project: boolean): ((t: Row) => Row) => shaped(i, project);
    switch (head.kind) {
      case 'pool': {
        const { lane: name, offset } = placeOf(recipe, head);
        const l = laneOf(streams.get(head.stream)!, name);
        const at = semantics === 'pumer' && l.touched ? offset : l.places[offset]!;
        return [...to(true)(l.tokens[at]!)];
      }
      case 'word': {
        const l = laneOf(streams.get(recipe.family.kind === 'joint' ? 'joint' : 'text')!, 'text');
        const at = words.shown[b]!.reduce((s, w) => s + w, 0) - head.back;
        return [...to(true)(l.tokens[at < 0 ? at + tokensOf(streams.values().next().value!).length : at]!)];
      }
      case 'lane':
        return restored(laneOf(streams.get('joint')!, head.lane), to(head.project));
      case 'stream':
        return streams.get(head.stream)!.flatMap((l) => restored(l, to(head.project)));
      case 'mean': {
        const all = streams.get(head.stream)!.filter((l) => head.lane === undefined || l.name === head.lane);
        const tokens = tokensOf(all);
        const pooled = range(width).map((c) => {
          const column = tokens.map((t) => t[c]!);
          if (head.op === 'ReduceMax') return Math.max(...column);
          return column.reduce((s, v) => s + v, 0) / (head.op === 'ReduceMean' ? tokens.length : 1);
        });
        return [...to(true)(pooled)];
      }
    }
  });
  const last = [...streams.values()].flat();
  return {
    outputs,
    margin,
    left: [
      last.find((l) => l.name === 'text')?.tokens.length ?? 0,
      last.find((l) => l.name === 'image')?.tokens.length ?? 0,
    ],
  };
};
