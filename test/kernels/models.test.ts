/**
 * Whole models: one compiled file, run on the kernels and on the function's body. Every reducer becomes one node; what
 * it decided there is replayed in float64 from the very tensors it was given; and where no near tie fell the other way,
 * the answers agree to rounding.
 */
import { expect, it } from 'vitest';
import { DataType, type Model, type Node } from '../../src/graph/model.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import type { Semantics } from '../../src/reduction/plan.ts';
import type { ReduceInput } from '../../src/reduction/reference.ts';
import { isTokenReduce } from '../../src/reduction/token-reduce/contract.ts';
import { createSession } from '../../src/runtime/session.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { compiledWith, feedsFor, fixtures, loadFixture } from '../compile/fixtures.ts';
import { expectNearly } from '../reduction/against-reference.ts';
import type { RanRow } from '../reduction/harness.ts';
import { attentionOf } from '../reduction/query-cases.ts';
import { describeKernels } from '../support/kernels.ts';

const settings = (['safe', 'pumer'] as const).flatMap((semantics) =>
  (['probs', 'recompute'] as const).map((saliency) => ({ semantics, saliency })),
);

type Values = ReadonlyMap<string, TensorData>;
type Nested = number | readonly Nested[];

/** A tensor as nested lists. */
const nested = ({ dims, ...tensor }: TensorData): Nested => {
  let level: Nested[] = numbersOf({ dims, ...tensor });
  for (const size of dims.slice(1).reverse())
    level = Array.from({ length: level.length / size }, (_, i) => level.slice(i * size, (i + 1) * size));
  return level;
};

/** The model with everything its reducers are given and give as outputs. */
const observed = (model: Model, reducers: readonly Node[]): Model => {
  const names = [...new Set(reducers.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]))];
  const open = names.filter((name) => name !== '' && !model.graph.outputs.some((output) => output.name === name));
  const withThem = open.map((name) => ({ name, type: { dataType: typeOf(name, reducers) } }));
  return { ...model, graph: { ...model.graph, outputs: [...model.graph.outputs, ...withThem] } };
};

/** Everything is float32 but positions and counts. */
const typeOf = (name: string, reducers: readonly Node[]): DataType => {
  const isWhole = reducers.some(({ op, inputs, outputs }) => {
    const at = inputs.indexOf(name);
    const counts = op === 'TokenReduce' ? at >= 5 : at === 5 || at >= 9;
    return counts || outputs.indexOf(name) >= 2;
  });
  return isWhole ? DataType.INT64 : DataType.FLOAT;
};

/** A call and its result as the reference takes them. */
const replayed = ({ op, inputs, outputs }: Node, values: Values, semantics: Semantics): [ReduceInput, RanRow[]] => {
  const given = (at: number): never => nested(values.get(inputs[at]!)!) as never;
  const made = (at: number): never => nested(values.get(outputs[at]!)!) as never;
  const behind = op === 'TokenReduce' ? 2 : 6;
  const tokens: number[][][] = given(0);
  const [scale] = op === 'TokenReduce' ? [1] : (given(4) as number[]);
  const attention =
    op === 'TokenReduce'
      ? given(1)
      : attentionOf(
          { queries: given(1), keys: given(2), bias: given(3), scale: scale!, first: (given(5) as number[])[0]! },
          tokens[0]!.length,
        );
  const input: ReduceInput = {
    semantics,
    tokens,
    attention,
    rowWeight: given(behind),
    metric: given(behind + 1),
    weight: given(behind + 2),
    protectedPositions: given(behind + 3),
    keep: (given(behind + 4) as number[])[0]!,
    merge: (given(behind + 5) as number[])[0]!,
  };
  const [rows, weights, targets, positions]: [number[][][], number[][], number[][], number[][]] = [
    made(0),
    made(1),
    made(2),
    made(3),
  ];
  const ran = rows.map((row, b) => ({
    tokens: row,
    weight: weights[b]!,
    target: targets[b]!,
    position: positions[b]!,
  }));
  return [input, ran];
};

describeKernels('compiled models on the kernels', () => {
  for (const fixture of fixtures)
    it.each(settings)(`${fixture.name}, $semantics, $saliency`, async ({ semantics, saliency }) => {
      const model = loadFixture(fixture);
      const mergeText = fixture.mergesText ? 0.2 : 0;
      const options = { semantics, saliency, prune: 0.1, merge: 0.3, mergeText };
      const compiled = compiledWith(model, options).model;
      const calls = compiled.graph.nodes.filter(isTokenReduce);
      // Unused results are left out of a call: listed here, they can be looked at.
      const reducers = calls.map((node, i) => ({
        ...node,
        outputs: ['reduced', 'weight', 'target', 'position'].map((what, at) => node.outputs[at] ?? `${what}_${i}`),
      }));
      const nodes = compiled.graph.nodes.map((node) => reducers[calls.indexOf(node)] ?? node);
      const file = encodeModel(observed({ ...compiled, graph: { ...compiled.graph, nodes } }, reducers));
      const feeds = feedsFor(fixture, model, 2, [0, 3]);
      const run = async (ops: 'fused' | 'portable'): Promise<[Values, readonly string[]]> => {
        const session = await createSession(file, { ops, threads: 1, profile: true });
        expect(session.ops).toBe(ops);
        const results = await session.run(feeds);
        const executed = session.profile().map(({ op }) => op);
        await session.release();
        return [results, executed.filter((op) => op.startsWith('TokenReduce'))];
      };
      const [fused, kernelNodes] = await run('fused');
      const [portable, bodyNodes] = await run('portable');
      expect([...kernelNodes].sort()).toEqual(reducers.map(({ op }) => op).sort());
      expect(bodyNodes).toEqual([]);

      let compared = 0;
      for (const node of reducers) {
        const [input, ran] = replayed(node, fused, semantics);
        const bound = 2 * (3 * input.metric[0]![0]!.length + 8) * 2 ** -24;
        compared += expectNearly(ran, input, node.name, Math.max(bound, node.op === 'TokenReduce' ? 0 : 2e-5));
      }

      // Keys of METER are nearly parallel, so most of its rows hold a near tie.
      expect(compared, 'rows without a near tie').toBeGreaterThanOrEqual((2 * reducers.length) / 3);
      const agree = reducers.every(({ outputs }) =>
        [2, 3].every((at) => String(fused.get(outputs[at]!)!.data) === String(portable.get(outputs[at]!)!.data)),
      );
      if (fixture.name !== 'meter-pumer') expect(agree, 'no near tie fell the other way').toBe(true);
      if (!agree) return;
      for (const { name } of compiled.graph.outputs) {
        const [found, expected] = [fused, portable].map((values) => numbersOf(values.get(name)!)) as [
          number[],
          number[],
        ];
        const scale = Math.max(...expected.map(Math.abs));
        const apart = expected.reduce((most, x, i) => Math.max(most, Math.abs(found[i]! - x)), 0);
        expect(apart, name).toBeLessThanOrEqual(1e-4 * scale);
      }
    });
});
