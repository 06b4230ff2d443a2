/**
 * Bodies: branches of If, and functions. A naive rewriter does not look inside: what a branch captures keeps its old
 * length or is missed altogether, and a call hides a mean over tokens. Branches that shapes decide are folded, calls
 * are written out; what is left and touches shortened tokens is refused. Bit for bit nothing changes by it.
 */
import { describe, expect, it } from 'vitest';
import type { FunctionBody, Model } from '../../src/graph/model.ts';
import { decodeModelProto, encodeModelProto, withFields, type NodeProto } from '../../src/onnx/proto.ts';
import { readModel } from '../../src/onnx/read.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import { randomFrom } from '../reduction/harness.ts';
import { numbersOf } from '../../src/runtime/tensor-data.ts';
import { compiledWith, outputsOf } from '../compile/fixtures.ts';
import { bothLanes, refusalOf } from '../compile/refusal-cases.ts';
import { modelOf, parseNode } from '../support/model-text.ts';
import {
  edited,
  modelOfTiny,
  tensorsOf,
  tinyFeeds,
  tinyVilt,
  type Tiny,
  type TinyOptions,
} from '../support/tiny-vilt.ts';

const protos = (lines: readonly string[]): readonly NodeProto[] =>
  decodeModelProto(encodeModel(modelOf({ values: {}, nodes: lines }))).graph?.node ?? [];

/** As read from a file in which every If has these branches, each yielding the output of its last node. */
const withBranches = (model: Model, then: readonly string[], otherwise: readonly string[]): Model => {
  const proto = decodeModelProto(encodeModel(model));
  const branch = (name: string, lines: readonly string[]) => {
    const node = protos(lines);
    return { name, type: 5, g: { name, node, output: [{ name: node.at(-1)?.output?.[0] ?? '' }] } };
  };
  const attribute = [branch('then_branch', then), branch('else_branch', otherwise)];
  const node = (proto.graph?.node ?? []).map((n) => (n.opType === 'If' ? withFields(n, { attribute }) : n));
  return readModel(encodeModelProto(withFields(proto, { graph: withFields(proto.graph ?? {}, { node }) })));
};

/** What TorchScript writes for x2.squeeze(axis). */
const squeezed = (axis: number, base: TinyOptions = {}): Model => {
  const tiny = edited(tinyVilt(base), {
    after: 'x2',
    nodes: [
      'shape_of = Shape(x2)',
      'at_axis = Gather(shape_of, the_axis)',
      'is_one = Equal(at_axis, one_at)',
      'y = If(is_one)',
    ],
    instead: 'y',
    values: { the_axis: `i[]:${axis}`, one_at: 'i[]:1', axes: `i[1]:${axis}` },
  });
  // The shape chain still reads the tokens.
  const nodes = tiny.nodes.map((n) => n.replace('Shape(y)', 'Shape(x2)'));
  return withBranches(modelOfTiny({ ...tiny, nodes }), ['gone = Squeeze(x2, axes)'], ['same = Identity(x2)']);
};

const feeds = tensorsOf(tinyFeeds(randomFrom(4), [0, 3]));
const logits = async (model: Model) => [...numbersOf((await outputsOf(model, feeds)).get('logits')!)];

describe('branches', () => {
  it.each<[string, number, TinyOptions]>([
    ['a token axis of 25', 1, {}],
    ['a token axis of words + 17', 1, { text: 'words' }],
    ['a feature axis', 2, {}],
  ])('a squeeze of %s is no squeeze', async (_, axis, base) => {
    const model = squeezed(axis, base);
    expect(model.graph.nodes.find((n) => n.op === 'If')?.captures).toEqual(expect.arrayContaining(['x2']));
    const plain = modelOfTiny(tinyVilt(base));
    const { model: compiled } = compiledWith(model, bothLanes);
    expect(compiled.graph.nodes.filter((n) => n.op === 'If')).toEqual([]);
    expect(await logits(compiled)).toEqual(await logits(compiledWith(plain, bothLanes).model));
    const whole = compiledWith(model, { keep: 1, mergeText: 0 });
    // Where the sizes are plain to see ONNX Runtime refuses the branch that squeezes.
    expect(await logits(whole.model)).toEqual(await logits(base.text === undefined ? plain : model));
  });

  it('a squeeze that the batch decides stays, and is refused behind a site', () => {
    const model = squeezed(0);
    const refusal = refusalOf(model, bothLanes);
    expect([refusal?.code, refusal?.at?.node, refusal?.at?.value]).toEqual(['not-understood', 'node_y', 'x2']);
  });

  it('a size that may be 0 decides nothing', () => {
    const tiny = edited(tinyVilt({ text: 'words' }), {
      after: 'x2',
      nodes: [
        'lengths = Shape(input_ids)',
        'length = Gather(lengths, second)',
        'none = Equal(length, first)',
        'y = If(none)',
      ],
      instead: 'y',
    });
    const model = withBranches(modelOfTiny(tiny), ['a = Neg(x2)'], ['b = Identity(x2)']);
    expect(refusalOf(model, bothLanes)?.code).toBe('not-understood');
  });

  it('branches that the data decides, over shortened tokens', () => {
    const tiny = edited(tinyVilt(), {
      after: 'x2',
      nodes: ['total = ReduceSum(attention_mask) keepdims=0', 'many = Greater(total, cls_at)', 'y = If(many)'],
      instead: 'y',
    });
    const model = withBranches(modelOfTiny(tiny), ['a = Neg(x2)'], ['b = Identity(x2)']);
    const refusal = refusalOf(model, bothLanes);
    expect([refusal?.code, refusal?.at?.node, refusal?.at?.value]).toEqual(['not-understood', 'node_y', 'x2']);
  });
});

const opsets = new Map([['', 17]]);
const body = (
  name: string,
  inputs: string[],
  outputs: string[],
  lines: string[],
  more: Partial<FunctionBody> = {},
): FunctionBody => ({
  domain: 'local',
  name,
  inputs,
  outputs,
  attributes: [],
  nodes: lines.map(parseNode),
  opsets,
  ...more,
});

/** As read from a file with these functions. */
const withFunctions = (tiny: Tiny, functions: readonly FunctionBody[]): Model => {
  const model = modelOfTiny(tiny);
  return readModel(encodeModel({ ...model, opsets: new Map([...model.opsets, ['local', 1]]), functions }));
};

const calling = (line: string, values: Record<string, string> = {}): Tiny =>
  edited(tinyVilt(), { after: 'x2', nodes: [line], instead: 'y', values });

describe('functions', () => {
  const reference = (attr: string, name: string) =>
    ({ kind: 'reference', value: name, origin: { proto: { name: attr, refAttrName: name, type: 2 } } }) as const;
  const normed = body('Normed', ['x', 'g', 'b'], ['n', 's'], ['n = LayerNormalization(x, g, b)', 's = Identity(x)'], {
    attributes: ['along'],
    opsets: new Map([['', 17]]),
  });
  const withAxis: FunctionBody = {
    ...normed,
    nodes: normed.nodes.map((n) =>
      n.op === 'Identity' ? n : { ...n, attrs: { ...n.attrs, axis: reference('axis', 'along') } },
    ),
  };
  const block = body(
    'Block',
    ['x', 'g'],
    ['out'],
    ['n, same = local.Normed(x, g, ) along=-1', 't = Tanh(n)', 'out = Add(t, same)'],
    {
      opsets: new Map([
        ['', 17],
        ['local', 1],
      ]),
    },
  );
  const nodes = ['n = LayerNormalization(x2, g) axis=-1', 't = Tanh(n)', 'y = Add(t, x2)'];
  const values = { g: 'f[8]:0.5' };

  it('token-wise ones, one inside the other, are written out', async () => {
    const model = withFunctions(calling('y = local.Block(x2, g)', values), [withAxis, block]);
    const plain = modelOfTiny(edited(tinyVilt(), { after: 'x2', nodes, instead: 'y', values }));
    const { model: compiled } = compiledWith(model, bothLanes);
    expect(compiled.functions.map((f) => f.name)).toEqual(['TokenReduce']);
    expect(await logits(compiled)).toEqual(await logits(compiledWith(plain, bothLanes).model));
    const whole = compiledWith(model, { keep: 1, mergeText: 0 }).model;
    expect(await logits(whole)).toEqual(await logits(model));
  });

  it('a mean over the tokens inside is found', () => {
    const centred = body('Centred', ['x'], ['y'], ['m = ReduceMean(x) axes=[1] keepdims=1', 'y = Sub(x, m)']);
    const refusal = refusalOf(withFunctions(calling('y = local.Centred(x2)'), [centred]), bothLanes);
    expect([refusal?.code, refusal?.at?.axis]).toEqual(['not-understood', 1]);
    expect(refusal?.message).toContain('ReduceMean');
  });

  it('one of another operator set is left alone, and refused behind a site', () => {
    const old = body('Old', ['x'], ['y'], ['y = Softmax(x) axis=1'], { opsets: new Map([['', 12]]) });
    const refusal = refusalOf(withFunctions(calling('y = local.Old(x2)'), [old]), bothLanes);
    expect([refusal?.code, refusal?.at?.node]).toEqual(['not-understood', 'node_y']);
  });

  it('one that draws numbers is no copy of itself', () => {
    // Two layers whose masks come from two calls: the same function, other numbers.
    const noisy = body('Noisy', ['x'], ['y'], ['r = RandomUniformLike(x)', 'c = Greater(r, x)', 'y = Cast(c) to=1']);
    const tiny = tinyVilt({ mask: 'none' });
    const masked: Tiny = {
      ...tiny,
      nodes: tiny.nodes.flatMap((line) => {
        const k = /^probs(\d) = /.exec(line)?.[1];
        if (k === undefined) return [line];
        return [
          `keys${k} = local.Noisy(mask_keys)`,
          `other${k} = Mul(keys${k}, minimum)`,
          `masked${k} = Add(scores${k}, other${k})`,
          `probs${k} = Softmax(masked${k}) axis=-1`,
        ];
      }),
    };
    const refusal = refusalOf(withFunctions(masked, [noisy]), bothLanes);
    expect(refusal?.code).toBe('mask-not-understood');
  });
});
