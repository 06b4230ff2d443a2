/**
 * Tokens read by where they stood. A naive rewriter cuts the lane and leaves indices alone: text behind a shortened
 * image is read at its old place, a cut at the border between the lanes takes image for text, a flip or a roll of the
 * whole no longer is one. Handled where the new place is provable, else refused by node and axis.
 */
import { describe, expect, it } from 'vitest';
import { distance } from '../conformance/compare.ts';
import { randomFrom } from '../reduction/harness.ts';
import { compiledWith, outputsOf } from '../compile/fixtures.ts';
import {
  beside,
  bothLanes,
  end,
  expectRefused,
  imageOnly,
  joint,
  refusalOf,
  through,
  type Case,
} from '../compile/refusal-cases.ts';
import {
  edited,
  imageTokens,
  modelOfTiny,
  tensorsOf,
  tinyFeeds,
  tinyVilt,
  words,
  type Tiny,
} from '../support/tiny-vilt.ts';
import type { CompileOptions } from '../../src/options.ts';

const feeds = tensorsOf(tinyFeeds(randomFrom(11), [0, 3]));

/** Outputs of two models after compilation, for both semantics. */
const agree = async (a: Tiny, b: Tiny, options: CompileOptions, output = 'logits'): Promise<void> => {
  for (const semantics of ['safe', 'pumer'] as const) {
    const [x, y] = await Promise.all(
      [a, b].map(async (tiny) =>
        (await outputsOf(compiledWith(modelOfTiny(tiny), { ...options, semantics }).model, feeds)).get(output)!,
      ),
    );
    expect(x!.dims).toEqual(y!.dims);
    expect(distance(x!, y!).max).toBeLessThan(1e-4);
  }
};

/** The same model with the image first: its answer is read where the text begins. */
const imageFirst = (tiny: Tiny): Tiny => ({
  ...tiny,
  values: { ...tiny.values, text_at: `i[]:${imageTokens}` },
  nodes: tiny.nodes.map((line) =>
    line
      .replace('Concat(text, image)', 'Concat(image, text)')
      .replace('Concat(attention_mask, image_mask)', 'Concat(image_mask, attention_mask)')
      .replace('pooled = Gather(final, cls_at)', 'pooled = Gather(final, text_at)'),
  ),
});

const twoWays = (parts: readonly string[], whole: readonly string[]): [Tiny, Tiny] => {
  const values = { end, border: `i[1]:${words}`, eight: 'i[2]:1,8' };
  const of = (nodes: readonly string[]): Tiny =>
    edited(edited(tinyVilt(), { after: 'final', nodes, values }), {
      after: 'pooled',
      nodes: ['pooled_too = Add(pooled, q)'],
      instead: 'pooled_too',
    });
  return [of(parts), of(whole)];
};

describe('places that are followed', () => {
  it('text behind a shortened image lane, read at its old index', async () => {
    await agree(imageFirst(tinyVilt()), tinyVilt(), imageOnly);
    await agree(imageFirst(tinyVilt()), tinyVilt(), bothLanes);
  });
  it('the same with a text length that only a run can tell', async () => {
    const last = imageFirst(tinyVilt({ text: 'words' }));
    await agree(last, tinyVilt({ text: 'words' }), imageOnly);
    // -8 of an open length is no provable place.
    const fromEnd = { ...last, values: { ...last.values, text_at: `i[]:-${words}` } };
    expect(refusalOf(modelOfTiny(fromEnd), imageOnly)?.code).toBe('read-by-position');
  });
  it('a lane cut off at the border, and a token of it', async () => {
    const [cut, direct] = twoWays(
      [
        'words_only = Slice(final, first, border, second)',
        'tokens_only = Slice(final, border, end, second)',
        'a = Gather(words_only, cls_at) axis=1',
        'b = Gather(tokens_only, cls_at) axis=1',
        'q = Add(a, b)',
      ],
      [
        'a = Gather(final, cls_at) axis=1',
        'b3 = Slice(final, border, nine, second)',
        'b = Squeeze(b3, second)',
        'q = Add(a, b)',
      ],
    );
    const withNine = { ...direct, values: { ...direct.values, nine: `i[1]:${words + 1}` } };
    const [x, y] = await Promise.all(
      [cut, withNine].map(async (tiny) =>
        (await outputsOf(compiledWith(modelOfTiny(tiny), bothLanes).model, feeds)).get('logits')!,
      ),
    );
    expect(distance(x!, y!).max).toBeLessThan(1e-5);
  });
  it('two axes cut by one Slice', async () => {
    const head = (nodes: readonly string[], values: Record<string, string>): Tiny =>
      edited(tinyVilt(), { after: 'probs2', nodes, values, outputs: ['logits', 'seen'] });
    const one = {
      first_word: `i[2]:0,${words}`,
      first_patch: `i[2]:${words},${joint}`,
      both: 'i[2]:2,3',
      two: 'i[1]:2',
      three: 'i[1]:3',
      border: `i[1]:${words}`,
      end,
    };
    const tail = [
      'row = Slice(map, first, second, two)',
      'cell = Slice(row, first, second, three)',
      'seen = Squeeze(cell, both)',
    ];
    const together = head(['map = Slice(probs2, first_word, first_patch, both)', ...tail], one);
    const apart = head(
      ['rows_only = Slice(probs2, first, border, two)', 'map = Slice(rows_only, border, end, three)', ...tail],
      one,
    );
    const [x, y] = await Promise.all(
      [together, apart].map(async (tiny) =>
        (await outputsOf(compiledWith(modelOfTiny(tiny), bothLanes).model, feeds)).get('seen')!,
      ),
    );
    expect(distance(x!, y!).max).toBe(0);
  });
  it('the two ends of a text of one, two and three words', async () => {
    const base = tinyVilt({ text: 'words' });
    const measured: Tiny = {
      ...base,
      values: { ...base.values, two: 'i[1]:2' },
      nodes: [
        ...base.nodes.slice(0, 2),
        'ids_shape = Shape(input_ids)',
        'length = Slice(ids_shape, second, two)',
        ...base.nodes.slice(2),
      ],
    };
    const ends = beside(
      [
        'all = Slice(x2, first, length, second)',
        'z = Gather(all, minus) axis=1',
        'a = Gather(all, cls_at) axis=1',
        'q = Add(a, z)',
      ],
      { minus: 'i[]:-1' },
    )(measured);
    const model = modelOfTiny(ends);
    const [both, image] = [bothLanes, imageOnly].map((o) => compiledWith(model, o).model);
    for (const length of [1, 2, 3]) {
      // Two protected words and at most one more: nothing is left to merge.
      const few = tensorsOf(tinyFeeds(randomFrom(length), [0, length - 1, length], length));
      const [x, y] = await Promise.all([both!, image!].map(async (m) => (await outputsOf(m, few)).get('logits')!));
      expect(distance(x!, y!).max).toBeLessThan(1e-5);
    }
  });
});

const refusedPlaces: readonly Case[] = [
  {
    what: 'all tokens, last first, by index',
    change: through(['y = Gather(x2, backwards) axis=1'], {
      backwards: `i[${joint}]:${Array.from({ length: joint }, (_, i) => joint - 1 - i).join()}`,
    }),
    code: 'read-by-position',
    node: 'node_y',
    everywhere: true,
  },
  {
    what: 'a roll written as two slices',
    change: through(
      [
        'tail = Slice(x2, three, end, second)',
        'head = Slice(x2, first, three, second)',
        'y = Concat(tail, head) axis=1',
      ],
      { end, three: 'i[1]:3' },
    ),
    code: 'read-by-position',
    node: 'node_tail',
    everywhere: true,
  },
  {
    what: 'tokens moved by a scatter',
    change: through(['y = ScatterND(x2, places, rows_in)'], { places: 'i[1,2]:0,9', rows_in: 'f[1,8]:0.5' }),
    code: 'not-understood',
    node: 'node_y',
    everywhere: true,
  },
  {
    what: 'neighbours blurred',
    change: through([
      'turned = Transpose(x2) perm=[0,2,1]',
      'soft = AveragePool(turned) kernel_shape=[3] pads=[1,1]',
      'y = Transpose(soft) perm=[0,2,1]',
    ]),
    code: 'not-understood',
    node: 'node_soft',
    everywhere: true,
  },
  {
    what: 'a triangle of tokens by features',
    change: through(['y = Trilu(x2) upper=0']),
    code: 'not-understood',
    node: 'node_y',
  },
  {
    what: 'queries and keys turned by their places',
    change: (tiny) => ({
      ...tiny,
      values: {
        ...tiny.values,
        cosines: `f[1,1,${joint},4]:${Array.from({ length: joint * 4 }, (_, i) => Math.cos(i)).join()}`,
      },
      nodes: tiny.nodes.flatMap((line) =>
        line.startsWith('product2 = ') ? ['turned2 = Mul(query2, cosines)', line.replace('query2', 'turned2')] : [line],
      ),
    }),
    code: 'not-understood',
    node: 'node_turned2',
  },
  {
    what: 'attention that turns by places inside one operator',
    change: (tiny) => ({
      ...tiny,
      values: {
        ...tiny.values,
        lengths: 'n[2]:24,24',
        total: 'n[]:25',
        table: tiny.values['table']!,
        turn: `f[${joint},2]:0.5`,
      },
      nodes: tiny.nodes.flatMap((line) =>
        line.startsWith('context2_r = ')
          ? [
              'context2_r, past_k, past_v = com.microsoft.GroupQueryAttention(q2, k2, v2, , , lengths, total, turn, turn) num_heads=2 kv_num_heads=2 do_rotary=1',
            ]
          : [line],
      ),
    }),
    code: 'not-understood',
    node: 'node_context2_r',
    everywhere: true,
  },
];

describe('places that are refused', () => {
  it.each(refusedPlaces.map((c) => [c.what, c] as const))('%s', (_, c) => expectRefused(c));
});
