/**
 * The models of models/ with what a test has to know of them, inputs to run them on, and compilation in one call.
 * Figures are written down here, not taken from the compiler.
 */
import { fileURLToPath } from 'node:url';
import { compileModel, type Compiled } from '../../src/compile.ts';
import { DataType, type Model } from '../../src/graph/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import { resolveOptions, type CompileOptions } from '../../src/options.ts';
import { isTokenReduce } from '../../src/reduction/token-reduce/contract.ts';
import { loadRuntime, type OpenOptions, type Runtime } from '../../src/runtime/session.ts';
import type { NodeRun } from '../../src/runtime/profile.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import { syntheticInputs } from '../../src/validate/synthetic-inputs.ts';

export interface Fixture {
  readonly name: string;
  /** Text tokens of the runs in these tests; the only choice where the file fixes them. */
  readonly text: number;
  readonly textIsOpen: boolean;
  readonly image: number;
  readonly mask: string;
  /** Text can be merged: no word is read at a place that depends on the data. */
  readonly mergesText: boolean;
  /** Tokens read by position: always the first of their lane. */
  readonly reads: { readonly text: number; readonly image: number };
  readonly layers: number;
}

const one = (name: string, text: number, image: number, more: Partial<Fixture> = {}): Fixture => ({
  name,
  text,
  image,
  textIsOpen: false,
  mask: 'attention_mask',
  mergesText: true,
  reads: { text: 1, image: 0 },
  layers: 6,
  ...more,
});

export const viltTiny = one('vilt-vqa-tiny', 13, 101, { textIsOpen: true });
export const viltPumer = one('vilt-pumer', 24, 65, { mask: 'text_masks', layers: 8 });
export const meterPumer = one('meter-pumer', 20, 65, { mask: 'text_masks', reads: { text: 1, image: 1 }, layers: 5 });
export const viltDynamo = one('vilt-vqa-dynamo', 24, 65);
export const visualBert = one('visualbert-vqa', 13, 36, {
  textIsOpen: true,
  mergesText: false,
  reads: { text: 0, image: 0 },
});
export const fixtures: readonly Fixture[] = [viltTiny, viltPumer, meterPumer, viltDynamo, visualBert];

export const modelFile = (name: string): string =>
  fileURLToPath(new URL(`../../models/${name}/model.onnx`, import.meta.url));

const loaded = new Map<string, Model>();

/** The same object every time: what is known of a model is known once. */
export const loadFixture = (fixture: Fixture): Model => {
  const model = loaded.get(fixture.name) ?? readModel(modelFile(fixture.name));
  loaded.set(fixture.name, model);
  return model;
};

export const compiledWith = (model: Model, options: CompileOptions): Compiled =>
  compileModel(model, resolveOptions(options));

/** Inputs of `batch` rows; `padding` words of PAD at the end of each row's text. */
export const feedsFor = (
  fixture: Fixture,
  model: Model,
  batch: number,
  padding: readonly number[] = [],
): Map<string, TensorData> => {
  const made = syntheticInputs(model, { batch, text: fixture.text, pixels: 0, regions: 0 });
  if ('cannot' in made) throw new Error(`no inputs for ${made.cannot}`);
  const feeds = new Map(made.feeds);
  const mask = feeds.get(fixture.mask) as TensorData;
  const data = BigInt64Array.from({ length: batch * fixture.text }, (_, i) =>
    i % fixture.text < fixture.text - (padding[Math.floor(i / fixture.text)] ?? 0) ? 1n : 0n,
  );
  feeds.set(fixture.mask, { ...mask, data });
  return feeds;
};

/** Row `b` of every input. */
export const rowOf = (feeds: ReadonlyMap<string, TensorData>, b: number): Map<string, TensorData> =>
  new Map(
    [...feeds].map(([name, { dataType, dims, data }]) => {
      const size = data.length / (dims[0] as number);
      return [name, { dataType, dims: [1, ...dims.slice(1)], data: data.slice(b * size, (b + 1) * size) }];
    }),
  );

export const runtime = async (): Promise<Runtime> => {
  const load = await loadRuntime();
  if (load.runtime === undefined) throw new Error(load.reason.message);
  return load.runtime;
};

const opened = async <T>(
  model: Model | Uint8Array,
  options: OpenOptions,
  use: (session: Awaited<ReturnType<Runtime['open']>>) => Promise<T>,
): Promise<T> => {
  const bytes = model instanceof Uint8Array ? model : encodeModel(model);
  const session = await (await runtime()).open(bytes, { threads: 1, ...options });
  try {
    return await use(session);
  } finally {
    await session.release();
  }
};

/** Outputs of one run. */
export const outputsOf = (
  model: Model | Uint8Array,
  feeds: ReadonlyMap<string, TensorData>,
  optimize: 'all' | 'disabled' = 'disabled',
): Promise<Map<string, TensorData>> => opened(model, { optimize }, (session) => session.run(feeds));

/** Outputs of several runs of one session. */
export const runsOf = (
  model: Model | Uint8Array,
  many: readonly ReadonlyMap<string, TensorData>[],
): Promise<Map<string, TensorData>[]> =>
  opened(model, { optimize: 'disabled' }, async (session) => {
    const results: Map<string, TensorData>[] = [];
    for (const feeds of many) results.push(await session.run(feeds));
    return results;
  });

/** Every node that ONNX Runtime executed, nothing optimised. */
export const profileOf = (model: Model, feeds: ReadonlyMap<string, TensorData>): Promise<readonly NodeRun[]> =>
  opened(model, { optimize: 'disabled', profile: true }, async (session) => {
    await session.run(feeds);
    return session.profile();
  });

/** The compiled model with the `target` outputs of its reducers as outputs. */
export const withTargets = (model: Model): Model => {
  const targets = model.graph.nodes.filter(isTokenReduce).map((n) => n.outputs[2] ?? '');
  const outputs = targets.map((name) => ({ name, type: { dataType: DataType.INT64 } }));
  return { ...model, graph: { ...model.graph, outputs: [...model.graph.outputs, ...outputs] } };
};
