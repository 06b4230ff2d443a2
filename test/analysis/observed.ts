/**
 * What ONNX Runtime makes of a model, held against what shape inference says: sizes of every node's outputs, element
 * types, and contents where they are claimed to be known.
 */
import { dimText, dimValue } from '../../src/analysis/dim.ts';
import type { ShapeFacts } from '../../src/analysis/shape-facts.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import type { GraphValue, Model, ValueName } from '../../src/graph/model.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import type { NodeRun } from '../../src/runtime/profile.ts';
import { loadRuntime, type Runtime } from '../../src/runtime/session.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';

export type Feeds = ReadonlyMap<string, TensorData>;

export interface Comparison {
  readonly compared: number;
  /** "value: ours, theirs" for each that differs. */
  readonly wrong: readonly string[];
  /** Values whose sizes are not known even with all inputs given. */
  readonly unresolved: readonly ValueName[];
}

export const runtime = async (): Promise<Runtime> => {
  const load = await loadRuntime();
  if (load.runtime === undefined) throw new Error(load.reason.message);
  return load.runtime;
};

/** Declared symbols with the sizes of these inputs, by the names the file has. */
export const symbolsOf = (model: Model, feeds: Feeds): Map<string, number> => {
  const symbols = new Map<string, number>();
  const shapes = shapesOf(model);
  for (const { name, type } of model.graph.inputs) {
    type?.dims?.forEach((declared, axis) => {
      const size = feeds.get(name)?.dims[axis];
      const dim = shapes.of(name)?.dims?.[axis];
      if (size === undefined || dim === undefined || dimValue(dim) !== undefined) return;
      symbols.set(typeof declared === 'string' ? declared : dimText(dim), size);
    });
  }
  return symbols;
};

const sizesIn = (shapes: ShapeFacts, value: ValueName, symbols: ReadonlyMap<string, number>): number[] | undefined => {
  const sizes = shapes.of(value)?.dims?.map((d) => shapes.resolve(d, symbols));
  return sizes?.every((s) => s !== undefined) ? sizes : undefined;
};

/** Node outputs in the profile of a run against the facts. */
export const compareProfile = (model: Model, feeds: Feeds, runs: readonly NodeRun[]): Comparison => {
  const shapes = shapesOf(model);
  const symbols = symbolsOf(model, feeds);
  const byName = new Map(model.graph.nodes.map((n) => [n.name, n]));
  const wrong: string[] = [];
  const unresolved: string[] = [];
  let compared = 0;
  for (const run of runs) {
    const node = byName.get(run.name);
    // Nodes that ONNX Runtime put in (casts around half floats) are none of ours.
    if (node?.op !== run.op) continue;
    node.outputs.forEach((output, i) => {
      const theirs = run.outputs[i];
      if (output === '' || theirs === undefined) return;
      const ours = sizesIn(shapes, output, symbols);
      if (ours === undefined) unresolved.push(output);
      else compared++;
      if (ours !== undefined && ours.join() !== theirs.join())
        wrong.push(`${node.op} ${output}: [${ours.join()}], ONNX Runtime [${theirs.join()}]`);
    });
  }
  return { compared, wrong, unresolved };
};

/** Node outputs with facts, as outputs of the graph: ONNX Runtime itself then checks our types. */
const exposed = (model: Model, values: readonly ValueName[]): Model => {
  const shapes = shapesOf(model);
  const present = new Set(model.graph.outputs.map((o) => o.name));
  const added = values.flatMap((name): GraphValue[] => {
    const facts = shapes.of(name);
    return facts === undefined || present.has(name) ? [] : [{ name, type: { dataType: facts.dataType } }];
  });
  return { ...model, graph: { ...model.graph, outputs: [...model.graph.outputs, ...added] } };
};

/** Runs a model with the given values as outputs and compares sizes, types and known contents. */
export const compareOutputs = async (model: Model, feeds: Feeds, values: readonly ValueName[]): Promise<Comparison> => {
  const shapes = shapesOf(model);
  const symbols = symbolsOf(model, feeds);
  const session = await (
    await runtime()
  ).open(encodeModel(exposed(model, values)), { optimize: 'disabled', threads: 1 });
  const wrong: string[] = [];
  const unresolved: string[] = [];
  let compared = 0;
  try {
    const results = await session.run(feeds);
    for (const value of values) {
      const theirs = results.get(value);
      const facts = shapes.of(value);
      const ours = sizesIn(shapes, value, symbols);
      if (theirs === undefined) continue;
      if (facts === undefined || ours === undefined) {
        unresolved.push(value);
        continue;
      }
      compared++;
      if (facts.dataType !== theirs.dataType)
        wrong.push(`${value}: type ${facts.dataType}, ONNX Runtime ${theirs.dataType}`);
      if (ours.join() !== theirs.dims.join())
        wrong.push(`${value}: [${ours.join()}], ONNX Runtime [${theirs.dims.join()}]`);
      const contents = facts.ints?.values.map((v) => shapes.resolve(v, symbols));
      if (contents !== undefined && contents.join() !== numbersOf(theirs).join())
        wrong.push(`${value}: contents ${contents.join()}, ONNX Runtime ${numbersOf(theirs).join()}`);
    }
  } finally {
    await session.release();
  }
  return { compared, wrong, unresolved };
};
