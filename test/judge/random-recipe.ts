/**
 * Draws recipes: every seed is one. Keeps to models that exist and that the compiler claims to know, apart from those
 * it makes to be refused (`mustRefuse` says which and why). Where something is left out on purpose, a comment says so.
 */
import { randomFrom, type Random } from '../reduction/harness.ts';
import { imageCounts, share, textCounts } from './decisions.ts';
import { placeOf, sparedEnds } from './interpreter.ts';
import {
  attendsAt,
  runsOf,
  type Family,
  type Head,
  type ImageRecipe,
  type MaskRecipe,
  type Poison,
  type Recipe,
  type Site,
  type Spelling,
  type StreamName,
  type TextRecipe,
} from './recipe.ts';

const drawText = (random: Random, batch: number): TextRecipe => {
  const length = random.int(3, 9);
  const open = random.chance(0.4);
  const masked = random.chance(0.85);
  const padding = (): number => (random.chance(0.12) ? length : random.chance(0.5) ? random.int(1, length - 1) : 0);
  const scattered = random.chance(0.1);
  return {
    length,
    open,
    masked,
    shown: Array.from({ length: batch }, () => {
      const pad = padding();
      return Array.from({ length }, (_, i) =>
        scattered && pad < length ? Number(i === 0 || random.chance(0.7)) : Number(i < length - pad),
      );
    }),
    positions: random.pick(open ? ['sliced-ids', 'sliced-table'] : ['table', 'sliced-ids', 'sliced-table']),
    types: random.pick(['none', 'input', 'constant']),
    norm: random.chance(0.5),
  };
};

const drawImage = (random: Random, batch: number, masked: boolean): ImageRecipe => {
  const from = random.pick(['pixels', 'regions'] as const);
  const [rows, columns] = from === 'pixels' ? [random.int(2, 4), random.int(2, 4)] : [1, random.int(4, 12)];
  const cls = random.chance(from === 'pixels' ? 0.6 : 0.15);
  const open = from === 'regions' && random.chance(0.3);
  const count = rows * columns + (cls ? 1 : 0);
  // A mask of a length of its own is not proven to be one entry for each box and the learned token.
  const given = open && cls ? 'ones' : 'input';
  const mask = masked ? random.pick(['ones', 'ones', given, open ? 'ones' : 'constant', 'none'] as const) : 'none';
  return {
    from,
    rows,
    columns,
    cls,
    count,
    open,
    mask,
    shown: Array.from({ length: batch }, () => {
      const hidden = mask === 'input' && random.chance(0.5) ? random.int(1, count - 2) : 0;
      return Array.from({ length: count }, (_, i) => Number(i < count - hidden));
    }),
    norm: random.chance(0.5),
  };
};

const drawFamily = (random: Random): Family => {
  const kind = random.pick(['joint', 'joint', 'joint', 'pair', 'pair', 'keys'] as const);
  if (kind === 'joint')
    return {
      kind,
      order: random.pick([
        ['text', 'image'],
        ['text', 'image'],
        ['image', 'text'],
        ['other', 'image', 'text'],
        ['other', 'text', 'image'],
      ] as const),
    };
  if (kind === 'keys') return { kind, every: random.pick([1, 1, 2]), from: random.int(0, 1) };
  return {
    kind,
    imageReads: random.pick(['old', 'updated']),
    text: random.pick(['self-cross', 'cross-self']),
    image: random.pick(['self-cross', 'cross-self', 'cross']),
    shared: random.chance(0.4),
  };
};

const drawMask = (random: Random): MaskRecipe => {
  const form = random.pick(['additive', 'additive', 'expanded', 'where', 'where-swapped', 'guarded'] as const);
  const minima = [-3.4028234663852886e38, -10000, -1e9] as const;
  const minimum =
    form === 'guarded'
      ? ('-inf' as const)
      : form === 'additive'
        ? random.pick(minima)
        : random.pick([...minima, '-inf' as const]);
  return { form, minimum, rebuilt: random.chance(0.3), manyRows: random.chance(0.35) };
};

const drawSpelling = (random: Random): Spelling => ({
  shapes: random.pick(['static', 'minus-one', 'local', 'local', 'shared', 'shared', 'zeros']),
  constants: random.pick(['nodes', 'initializers']),
  linear: random.pick(['bias-first', 'bias-second', 'gemm', 'no-bias']),
  qkv: random.pick(['three', 'three', 'three', 'fused-gather', 'fused-split', 'fused-split-width']),
  scale: random.pick(['div', 'div', 'mul', 'query-before-split', 'query-after-split', 'both', 'none']),
  keys: random.pick(['one-step', 'one-step', 'two-steps', 'reshaped']),
  norm: random.pick(['operator', 'decomposed']),
  act: random.pick(['gelu-half-last', 'gelu-half-first', 'gelu-operator', 'quick-gelu', 'tanh', 'relu']),
  noise: random.chance(0.3),
});

const ratio = (random: Random, most: number): number => random.int(0, Math.round(most * 100)) / 100;

const drawSites = (random: Random, layers: number): Site[] =>
  Array.from({ length: layers }, (_, layer) => layer)
    .filter(() => random.chance(0.6))
    .map((layer) => ({
      layer,
      prune: random.chance(0.3) ? 0 : ratio(random, 0.5),
      merge: random.chance(0.25) ? 0 : ratio(random, 0.5),
      mergeText: random.chance(0.4) ? 0 : ratio(random, 0.5),
    }));

type Draft = Omit<Recipe, 'outputs' | 'plan' | 'poison'>;

const drawHead = (random: Random, draft: Draft, semantics: 'safe' | 'pumer'): Head => {
  const joint = draft.family.kind === 'joint';
  const stream: StreamName = joint ? 'joint' : draft.family.kind === 'pair' && random.chance(0.5) ? 'image' : 'text';
  const { text, image } = draft;
  const kind = random.pick(['pool', 'pool', 'pool', 'lane', 'stream', 'stream', 'word', 'mean'] as const);
  const recipe = draft as Recipe;
  const runs = runsOf(recipe, stream);
  if (kind === 'stream') return { kind, stream, project: random.chance(0.5) };
  if (kind === 'lane' && joint) return { kind, lane: random.pick(['text', 'image']), project: random.chance(0.6) };
  // Data that is not behind the words is taken to point at them; a row too short would point elsewhere.
  const back = random.int(1, 2);
  const shortest = Math.min(...text.shown.map((row) => row.reduce((a, b) => a + b, 0)));
  if (kind === 'word' && text.masked && runs[0] === 'text' && shortest >= back) return { kind, back };
  if (kind === 'mean' && random.chance(0.5)) {
    const op = random.pick(['ReduceMean', 'ReduceSum', 'ReduceMax']);
    return joint && random.chance(0.7)
      ? { kind, stream, lane: random.pick(['text', 'image']), op }
      : { kind, stream, op };
  }
  const total = runs.reduce((n, lane) => n + (lane === 'text' ? text.length : lane === 'image' ? image.count : 1), 0);
  const closed = !text.open && !image.open;
  const last = runs.at(-1);
  const behind = last === 'text' ? text.length : image.count;
  const openBehind = last === 'text' ? text.open : image.open;
  const places = [0, 0, 0, -1, ...(openBehind || runs.length === 1 ? [] : [-behind])];
  if (closed && semantics === 'safe') places.push(random.int(-total, total - 1), 1, 2, -2);
  return { kind: 'pool', stream, at: random.pick(places), slice: random.chance(0.3) };
};

/** Rows of an attention that could see no key at all: what they hold is rounding, or not a number. */
const hasBlindRows = ({ text, image, family, towers, mask }: Draft): boolean => {
  const noWord = text.masked && text.shown.some((row) => row.every((v) => v === 0));
  const alone = family.kind !== 'joint' || towers.text > 0;
  const harmless = mask.form === 'guarded' || mask.form === 'none' || (mask.minimum !== '-inf' && mask.minimum <= -1e9);
  return (noWord && alone && !harmless) || image.shown.some((row) => row.every((v) => v === 0));
};

const crossLayers = (draft: Draft): number =>
  draft.family.kind !== 'keys'
    ? draft.layers
    : Array.from({ length: draft.layers }, (_, k) => attendsAt(draft as Recipe, k)).filter(Boolean).length;

const poisons: readonly Poison[] = [
  'late-table',
  'causal',
  'flip',
  'over-count',
  'other-mask',
  'token-softmax',
  'roll',
  'shift',
];

export const randomRecipe = (seed: number): Recipe => {
  const random = randomFrom(seed * 2654435761 + 17);
  for (;;) {
    const batch = random.int(1, 3);
    const text = drawText(random, batch);
    const [heads, headWidth] = [random.pick([1, 2, 4]), random.pick([2, 3, 4, 6])];
    const place = random.pick(['pre', 'pre', 'post', 'post', 'none'] as const);
    const mask = text.masked
      ? drawMask(random)
      : ({ form: 'none', minimum: -10000, rebuilt: false, manyRows: false } as const);
    const family = drawFamily(random);
    const draft: Draft = {
      seed,
      opset: random.pick([11, 13, 14, 17, 18, 20]),
      batch,
      batchOpen: random.chance(0.5),
      width: random.chance(0.8) ? heads * headWidth : random.pick([6, 8, 10]),
      heads,
      headWidth,
      hidden: random.int(4, 12),
      layers: family.kind === 'keys' ? random.pick([2, 2, 3, 3, 4, 5]) : random.pick([1, 1, 2, 2, 2, 3, 3, 4]),
      text,
      image: drawImage(random, batch, text.masked),
      family,
      towers: { text: random.pick([0, 0, 1]), image: random.pick([0, 0, 1]) },
      norm: {
        place,
        // A decomposed RMSNorm behind the sum is not seen as one, so only in front.
        kind: place === 'pre' && random.chance(0.2) ? 'rms' : 'layer',
        final: place === 'pre' && random.chance(0.8),
      },
      mask,
      spelling: drawSpelling(random),
    };
    if (draft.width < 4 || hasBlindRows(draft)) continue;
    // Refused, and rightly so: where sizes do not tell batch from heads, neither does a Reshape that joins them.
    if (heads === batch && (draft.spelling.linear === 'gemm' || draft.spelling.keys === 'reshaped')) continue;
    const semantics = random.pick(['safe', 'pumer'] as const);
    const outputs = Array.from({ length: random.pick([1, 1, 2, 3]) }, () => drawHead(random, draft, semantics));
    // Where nothing reads the last image or the last text, the last layer is half a layer: no exporter writes the rest.
    const depth = crossLayers(draft);
    const reads = (stream: StreamName): boolean =>
      outputs.some((head) => ('stream' in head ? head.stream : 'text') === stream);
    const whole = family.kind === 'pair' && reads('image') && (family.imageReads === 'updated' || reads('text'));
    const usable = family.kind === 'joint' || whole ? depth : depth - 1;
    const sites = drawSites(random, usable);
    if (sites.length === 0 && random.chance(0.95)) continue;
    const recipe: Recipe = { ...draft, outputs, plan: { semantics, sites } };
    // A lane of one token is no lane: a Reshape may drop its axis.
    if (removals(recipe).some(({ left }) => left < 2)) continue;
    if (!random.chance(0.12)) return recipe;
    const spoiled = withPoison(random, recipe);
    if (spoiled !== undefined) return spoiled;
  }
};

/** Something no reduction may reach, put where shortened tokens do reach. */
const withPoison = (random: Random, recipe: Recipe): Recipe | undefined => {
  const { text, image } = shortened(recipe);
  const joint = recipe.family.kind === 'joint';
  const [first] = recipe.plan.sites.filter(
    (site) => removes(recipe, site).text || (joint && removes(recipe, site).image),
  );
  if (first === undefined || !(text || (joint && image)) || recipe.family.kind === 'keys') return undefined;
  const kind = random.pick(poisons);
  const inLayer = kind === 'causal' || kind === 'other-mask';
  if (inLayer && first.layer + 1 >= recipe.layers) return undefined;
  const layer = random.int(first.layer + 1, recipe.layers - (inLayer ? 1 : 0));
  if (kind === 'other-mask' && (!recipe.text.masked || recipe.mask.form === 'none')) return undefined;
  // Behind the last layer only what an output reads of the stream would meet it.
  const reads = recipe.outputs.some((head) => head.kind === 'stream' && head.stream !== 'image');
  if (layer === recipe.layers && !reads) return undefined;
  if ((recipe.text.open || recipe.image.open) && (kind === 'late-table' || kind === 'causal')) return undefined;
  return { ...recipe, poison: { kind, layer } };
};

interface Removes {
  readonly text: boolean;
  readonly image: boolean;
  /** Tokens left in the shorter lane. */
  readonly left: number;
}

/** What each site removes; lanes of open length count as shortened wherever a ratio asks for it. */
const removals = (recipe: Recipe): readonly Removes[] => {
  const { semantics, sites } = recipe.plan;
  const [spareText, spareImage] = (['text', 'image'] as const).map((lane) => {
    const { start, end } = sparedEnds(recipe, lane);
    return start + end;
  }) as [number, number];
  let [text, image] = [recipe.text.length, recipe.image.count];
  return sites.map((site) => {
    const i = imageCounts(semantics, image, site.prune, site.merge, spareImage);
    const t = textCounts(semantics, text, site.mergeText, spareText);
    const asked = semantics === 'pumer' ? site.prune > 0 : site.prune + site.merge > 0;
    const idle = semantics === 'pumer' && share(image, site.prune) === 0;
    const cutsImage = asked && (recipe.image.open || i.keep - i.merge < image);
    const cutsText = site.mergeText > 0 && (recipe.text.open || t.merge > 0) && (semantics === 'safe' || cutsImage);
    if (asked) image = i.keep - i.merge;
    if (!idle) text -= t.merge;
    return { text: cutsText, image: cutsImage, left: Math.min(text, image) };
  });
};
const removes = (recipe: Recipe, site: Site): Removes => removals(recipe)[recipe.plan.sites.indexOf(site)]!;

export const shortened = (recipe: Recipe): Pick<Removes, 'text' | 'image'> => {
  const all = removals(recipe);
  return { text: all.some((r) => r.text), image: all.some((r) => r.image) };
};

/** Why the compiler has to refuse a recipe; undefined where it has to compile it. */
export const mustRefuse = (recipe: Recipe): string | undefined => {
  if (recipe.poison !== undefined) return recipe.poison.kind;
  const cut = shortened(recipe);
  const { semantics, sites } = recipe.plan;
  for (const head of recipe.outputs) {
    if (head.kind === 'word' && sites.some((site) => site.mergeText > 0)) return 'text read where data says';
    if (head.kind === 'mean') {
      const lanes = head.lane === undefined ? runsOf(recipe, head.stream) : [head.lane];
      if (lanes.some((lane) => lane !== 'other' && cut[lane])) return `${head.op} over tokens`;
    }
    if (head.kind === 'pool' && semantics === 'pumer') {
      const { lane, offset } = placeOf(recipe, head);
      if (lane !== 'other' && offset !== 0 && cut[lane]) return 'position read in pumer';
    }
  }
  return undefined;
};
