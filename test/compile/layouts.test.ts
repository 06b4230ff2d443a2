/**
 * One model in every layout attention code is written in: tokens before the batch, heads before the batch, heads folded
 * into the batch, masks folded with them, layers that spell one mask differently. All must compute what the model in
 * the usual layout computes; what merely has the right sizes must be refused.
 */
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/graph/model.ts';
import type { CompileOptions } from '../../src/options.ts';
import { isTokenReduce } from '../../src/reduction/token-reduce/contract.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import { distance } from '../conformance/compare.ts';
import { randomFrom } from '../reduction/harness.ts';
import { heads, modelOfTiny, tensorsOf, tinyFeeds, tinyVilt, width, type Tiny } from '../support/tiny-vilt.ts';
import { compiledWith, outputsOf } from './fixtures.ts';
import { bothLanes, joint, refusalOf } from './refusal-cases.ts';

type Change = (tiny: Tiny) => Tiny;

const d = width / heads;
const rewritten =
  (line: (text: string) => string | readonly string[], values: Record<string, string> = {}): Change =>
  (tiny) => ({ ...tiny, values: { ...tiny.values, ...values }, nodes: tiny.nodes.flatMap((text) => line(text)) });

/** Queries, keys and values [heads, batch, tokens, width]. */
const headsFirst = rewritten((line) =>
  line
    .replace(/^((?:query|value)\d = .*) perm=\[0,2,1,3\]/, '$1 perm=[2,0,1,3]')
    .replace(/^(key\d = .*) perm=\[0,2,3,1\]/, '$1 perm=[2,0,3,1]')
    .replace(/^(context\d_t = .*) perm=\[0,2,1,3\]/, '$1 perm=[1,2,0,3]')
    .replace(/^bias = .*/, 'bias_b = Mul(inverse, minimum)\nbias = Transpose(bias_b) perm=[1,0,2,3]')
    .replace(/^padded = .*/, 'padded_b = Cast(inverse) to=9\npadded = Transpose(padded_b) perm=[1,0,2,3]')
    .split('\n'),
);

const turnedTokens = (line: string): string =>
  line
    .replace(/^x0 = .*/, 'x0_b = Concat(text, image) axis=1\nx0 = Transpose(x0_b) perm=[1,0,2]')
    .replace(/^(pooled = .*) axis=1/, '$1 axis=0');

/** The stream and everything beside attention [tokens, batch, width]. */
const tokensFirst = rewritten((line) =>
  turnedTokens(line)
    .replace(/^((?:query|value)\d = .*) perm=\[0,2,1,3\]/, '$1 perm=[1,2,0,3]')
    .replace(/^(key\d = .*) perm=\[0,2,3,1\]/, '$1 perm=[1,2,3,0]')
    .replace(/^(context\d_t = .*) perm=\[0,2,1,3\]/, '$1 perm=[2,0,1,3]')
    .split('\n'),
);

const foldedMasks = (line: string): string =>
  line
    .replace(
      /^bias = .*/,
      'bias_b = Mul(inverse, minimum)\nbias_h = Expand(bias_b, by_heads)\nbias = Reshape(bias_h, to_folded_mask)',
    )
    .replace(
      /^padded = .*/,
      'padded_b = Cast(inverse) to=9\npadded_h = Expand(padded_b, by_heads)\npadded = Reshape(padded_h, to_folded_mask)',
    );

/** [tokens, batch, width], heads folded into the batch, masks too: nn.MultiheadAttention. */
const tokensFirstFolded = rewritten(
  (line) =>
    foldedMasks(turnedTokens(line))
      .replace(/^([qkv]\d_r = .*), to_heads\)/, '$1, to_folded)')
      .replace(/^((?:query|value)\d = .*) perm=\[0,2,1,3\]/, '$1 perm=[1,0,2]')
      .replace(/^(key\d = .*) perm=\[0,2,3,1\]/, '$1 perm=[1,2,0]')
      .replace(/^(context\d_t = .*) perm=\[0,2,1,3\]/, '$1 perm=[1,0,2]')
      .split('\n'),
  {
    to_folded: `i[3]:${joint},-1,${d}`,
    to_width: `i[3]:${joint},-1,${width}`,
    by_heads: `i[4]:1,${heads},1,1`,
    to_folded_mask: `i[3]:-1,1,${joint}`,
  },
);

/** Heads folded into the batch around the products only; the mask is added to [batch, heads, queries, keys]. */
const foldedProducts = rewritten(
  (line) =>
    line
      .replace(
        /^(query|key|value)(\d) = Transpose\((.*)\) perm=\[(.*)\]/,
        (_, part: string, k: string, from: string, perm: string) =>
          [
            `${part}${k}_4 = Transpose(${from}) perm=[${perm}]`,
            `${part}${k} = Reshape(${part}${k}_4, ${part === 'key' ? 'to_keys3' : 'to_rows3'})`,
          ].join('\n'),
      )
      .replace(
        /^scores(\d) = Mul\(product\d, scale\)/,
        'scores$1_3 = Mul(product$1, scale)\nscores$1 = Reshape(scores$1_3, to_scores)',
      )
      .replace(
        /^probs(\d) = Softmax\((\w+)\) axis=-1/,
        'folded$1 = Reshape($2, to_scores3)\nprobs$1 = Softmax(folded$1) axis=-1',
      )
      .replace(/^context(\d) = (.*)/, 'context$1_3 = $2\ncontext$1 = Reshape(context$1_3, to_context)')
      .split('\n'),
  {
    to_rows3: `i[3]:-1,${joint},${d}`,
    to_keys3: `i[3]:-1,${d},${joint}`,
    to_scores: `i[4]:-1,${heads},${joint},${joint}`,
    to_scores3: `i[3]:-1,${joint},${joint}`,
    to_context: `i[4]:-1,${heads},${joint},${d}`,
  },
);

const fixedBatch = (model: Model, rows: number): Model => ({
  ...model,
  graph: {
    ...model.graph,
    inputs: model.graph.inputs.map((input) => ({
      ...input,
      type: { ...input.type!, dims: input.type!.dims!.map((size) => (size === 'batch' ? rows : size)) },
    })),
  },
});

const feedsOf = (rows: number): Map<string, TensorData> =>
  tensorsOf(tinyFeeds(randomFrom(rows), [0, 3, 1].slice(0, rows)));
const sites = (model: Model, semantics: 'safe' | 'pumer'): number =>
  compiledWith(model, { ...bothLanes, semantics }).resolved.sites.length;

const layouts: readonly (readonly [string, Change])[] = [
  ['heads before the batch', headsFirst],
  ['tokens before the batch', tokensFirst],
  ['tokens before the batch, heads folded into it', tokensFirstFolded],
  ['heads folded into the batch around the products', foldedProducts],
];

type Run = readonly ['additive' | 'where' | 'none', 'safe' | 'pumer', number | 'open'];
/** Mask, semantics, and rows of the batch: as many as heads, one, or left open by the file. */
const runs = [
  ['additive', 'safe', heads],
  ['additive', 'pumer', heads],
  ['additive', 'safe', 1],
  ['additive', 'safe', 'open'],
  ['where', 'safe', heads],
  ['where', 'pumer', 'open'],
  ['none', 'safe', heads],
] as const satisfies readonly Run[];

const compiledIn = (change: Change, [mask, semantics, rows]: Run, more: CompileOptions = {}): Model => {
  const model = modelOfTiny(change(tinyVilt({ mask })));
  const options = { ...bothLanes, semantics, ...more };
  const compiled = compiledWith(rows === 'open' ? model : fixedBatch(model, rows), options);
  expect(compiled.resolved.sites).toHaveLength(2);
  return compiled.model;
};
const logitsOf = async (model: Model, rows: Run[2]): Promise<TensorData> =>
  (await outputsOf(model, feedsOf(rows === 'open' ? 3 : rows))).get('logits')!;

describe.each(runs)('mask %s, %s, %s rows', (...run) => {
  const usual = logitsOf(
    compiledIn((tiny) => tiny, run),
    run[2],
  );
  it.each(layouts)('%s computes the same', async (_, change) => {
    const found = await logitsOf(compiledIn(change, run), run[2]);
    expect(distance(found, await usual).max).toBeLessThan(1e-5);
  });
  it.each(layouts)('%s, --saliency recompute: the same', async (_, change) => {
    // Filled in with -10000: the rows are computed in the graph, where a reshape cannot be copied for fewer of them.
    if (run[0] === 'where' && change === foldedProducts) {
      expect(() => compiledIn(change, run, { saliency: 'recompute' })).toThrow('--saliency recompute does not work');
      return;
    }
    const model = compiledIn(change, run, { saliency: 'recompute' });
    const called = model.graph.nodes.filter((n) => isTokenReduce(n) && n.name.includes('/image/')).map((n) => n.op);
    expect([...new Set(called)]).toEqual([run[0] === 'where' ? 'TokenReduce' : 'TokenReduceQK']);
    const found = await logitsOf(model, run[2]);
    expect(distance(found, await usual).max).toBeLessThan(1e-5);
  });
});

describe('the lowest number filled in', () => {
  const fills = (tiny: Tiny): Tiny => ({ ...tiny, values: { ...tiny.values, minimum: 'f[]:-3.4028234663852886e38' } });
  it.each(layouts)('%s: the reducer takes queries and keys, and decides the same', async (_, change) => {
    for (const semantics of ['safe', 'pumer'] as const) {
      const run: Run = ['where', semantics, 'open'];
      const model = compiledIn((tiny) => fills(change(tiny)), run, { saliency: 'recompute' });
      expect(model.functions.map((f) => f.name)).toContain('TokenReduceQK');
      const usual = await logitsOf(compiledIn(fills, run), 'open');
      expect(distance(await logitsOf(model, 'open'), usual).max).toBeLessThan(1e-5);
    }
  });
});

describe('tokens before the batch', () => {
  it('are restored in outputs as they lay', async () => {
    const outputs = ['logits', 'final'];
    const run = async (tiny: Tiny): Promise<TensorData> =>
      (await outputsOf(compiledWith(modelOfTiny({ ...tiny, outputs }), bothLanes).model, feedsOf(2))).get('final')!;
    const [usual, other] = [await run(tinyVilt()), await run(tokensFirst(tinyVilt()))];
    expect(other.dims).toEqual([joint, 2, width]);
    const turned = usual.data.map((_, i) => {
      const [token, row, feature] = [Math.floor(i / (2 * width)), Math.floor(i / width) % 2, i % width];
      return usual.data[(row * joint + token) * width + feature] as never;
    });
    expect(distance({ ...other, data: turned }, other).max).toBeLessThan(1e-5);
  });
  it('where ids are turned before they are looked up', () => {
    const turnedIds = rewritten((line) =>
      line
        .replace(
          /^word = Gather\(table, input_ids\)/,
          'ids_t = Transpose(input_ids) perm=[1,0]\nword_t = Gather(table, ids_t)',
        )
        .replace(/^(word_t = .*)/m, '$1\nword = Transpose(word_t) perm=[1,0,2]')
        .split('\n'),
    );
    expect(sites(modelOfTiny(turnedIds(tinyVilt())), 'safe')).toBe(2);
  });
});

const table = Array.from({ length: heads * joint * joint }, (_, i) => Math.sin(3 * i));
/** A number for each head, query and key is added to the scores of every layer. */
const biased = (shape: string): Change =>
  rewritten(
    (line) =>
      line.replace(/^masked(\d) = .*/, 'said$1 = Add(scores$1, said)\nmasked$1 = Add(said$1, bias)').split('\n'),
    { said: `f[${shape}]:${table.join()}` },
  );

describe('position biases', () => {
  it.each(['safe', 'pumer'] as const)('of tokens before the batch follow the tokens left, %s', async (semantics) => {
    const [usual, other] = await Promise.all(
      [tinyVilt(), tokensFirst(tinyVilt())].map(async (tiny) => {
        const model = modelOfTiny(biased(`1,${heads},${joint},${joint}`)(tiny));
        const compiled = compiledWith(fixedBatch(model, heads), { ...bothLanes, semantics });
        return (await outputsOf(compiled.model, feedsOf(heads))).get('logits')!;
      }),
    );
    expect(distance(other!, usual!).max).toBeLessThan(1e-5);
  });
  it('where heads lie before the batch are refused', () => {
    const model = modelOfTiny(biased(`${heads},1,${joint},${joint}`)(headsFirst(tinyVilt())));
    for (const rows of [heads, 3])
      expect(refusalOf(fixedBatch(model, rows), bothLanes)?.code).toBe('mask-not-understood');
  });
});

describe('layers that write one mask differently', () => {
  it('as a number and as a condition, mask the same tokens', async () => {
    const mixed = rewritten((line) => line.replace(/^masked1 = .*/, 'masked1 = Where(padded, minimum, scores1)'));
    for (const semantics of ['safe', 'pumer'] as const) {
      const [usual, other] = await Promise.all(
        [tinyVilt(), mixed(tinyVilt())].map(async (tiny) => {
          const { model } = compiledWith(modelOfTiny(tiny), { ...bothLanes, semantics });
          return (await outputsOf(model, feedsOf(2))).get('logits')!;
        }),
      );
      expect(distance(other!, usual!).max).toBeLessThan(1e-5);
    }
  });
  it('as a small number that is multiplied with a large one behind, hide the same tokens', async () => {
    const late = rewritten(
      (line) => line.replace(/^masked(\d) = (.*)/, 'low$1 = $2\nmasked$1 = Mul(low$1, large)').split('\n'),
      {
        scale: 'f[]:0.00005',
        minimum: 'f[]:-1',
        large: 'f[]:10000',
      },
    );
    for (const semantics of ['safe', 'pumer'] as const) {
      const [usual, other] = await Promise.all(
        [tinyVilt(), late(tinyVilt())].map(async (tiny) => {
          const { model } = compiledWith(modelOfTiny(tiny), { ...bothLanes, semantics });
          return (await outputsOf(model, feedsOf(2))).get('logits')!;
        }),
      );
      expect(distance(other!, usual!).max).toBeLessThan(1e-4);
    }
  });
  it('one the opposite of the other, do not', () => {
    const opposite = rewritten((line) =>
      line.replace(/^masked1 = .*/, 'shown = Not(padded)\nmasked1 = Where(shown, minimum, scores1)').split('\n'),
    );
    expect(refusalOf(modelOfTiny(opposite(tinyVilt())), bothLanes)?.code).toBe('mask-not-understood');
  });
});

describe('lookalikes', () => {
  it('attention across the batch, as many rows as tokens', () => {
    // Code for [tokens, batch, width] that is given [batch, tokens, width].
    const across = rewritten((line) =>
      line
        .replace(/^((?:query|value)\d = .*) perm=\[0,2,1,3\]/, '$1 perm=[1,2,0,3]')
        .replace(/^(key\d = .*) perm=\[0,2,3,1\]/, '$1 perm=[1,2,3,0]')
        .replace(/^(context\d_t = .*) perm=\[0,2,1,3\]/, '$1 perm=[2,0,1,3]'),
    );
    const model = fixedBatch(modelOfTiny(across(tinyVilt({ mask: 'none' }))), joint);
    expect(refusalOf(model, bothLanes)?.code).toBe('no-cross-modal-layer');
  });
  it('rows and heads shuffled into each other by a reshape', () => {
    // Four rows of two heads taken for two rows of four.
    const shuffled = rewritten(
      (line) =>
        line
          .replace(/^(query|key|value)(\d) = (.*)/, '$1$2_4 = $3\n$1$2 = Reshape($1$2_4, shuffle)')
          .replace(/^context(\d) = (.*)/, 'context$1_4 = $2\ncontext$1 = Reshape(context$1_4, back)')
          .split('\n'),
      { shuffle: 'i[4]:2,4,0,0', back: 'i[4]:4,2,0,0' },
    );
    const model = fixedBatch(modelOfTiny(shuffled(tinyVilt({ mask: 'none' }))), 4);
    for (const semantics of ['safe', 'pumer'] as const)
      expect(refusalOf(model, { ...bothLanes, semantics })?.code).toBe('layer-not-reducible');
  });
  it('a folded mask that differs between heads', () => {
    const perHead = rewritten(
      (line) =>
        tokensFirstFolded({ ...tinyVilt(), nodes: [line] }).nodes.map((text) =>
          text.replace(/^bias_h = .*/, 'bias_h = Mul(bias_b, per_head)'),
        ),
      { ...tokensFirstFolded(tinyVilt()).values, per_head: `f[1,${heads},1,1]:1,0` },
    );
    expect(refusalOf(modelOfTiny(perHead(tinyVilt())), bothLanes)?.code).toBe('mask-not-understood');
  });
});
