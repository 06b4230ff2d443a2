/**
 * ONNX Runtime behind a small face: load it if it is there, open a model, run it, profile it. The only file that
 * imports onnxruntime-node, which is optional: nothing else may assume that it exists.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { CompileError, type Diagnostic } from '../diagnostics/diagnostic.ts';
import {
  modelNotLoaded,
  modelNotRun,
  runtimeUnavailable,
  tensorTypeNotCarried,
} from '../diagnostics/messages-runtime.ts';
import { DataType, type TensorType } from '../graph/model.ts';
import { readProfile, type NodeRun } from './profile.ts';
import type { Elements, TensorData } from './tensor-data.ts';

export interface OpenOptions {
  /** Threads inside one operator; ONNX Runtime's own choice if absent. */
  readonly threads?: number;
  /** Graph optimisation: everything (ONNX Runtime's default) or nothing. */
  readonly optimize?: 'all' | 'disabled';
  /** Record every node of every run for `profile()`. */
  readonly profile?: boolean;
}

/** An input or output as ONNX Runtime declares it. Type undefined: not a tensor, or of a type not carried here. */
export interface ValueInfo {
  readonly name: string;
  readonly type?: TensorType;
}

export interface Session {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** Runs once. Throws CompileError model-not-run, tensor-type-not-carried. */
  run(feeds: ReadonlyMap<string, TensorData>): Promise<Map<string, TensorData>>;
  /** Every node executed since the session was opened; ends profiling. Only with `profile: true`. */
  profile(): readonly NodeRun[];
  release(): Promise<void>;
}

export interface Runtime {
  readonly version: string;
  /** Opens a model from a file or from bytes (external data needs a file). Throws CompileError model-not-loaded. */
  open(model: Uint8Array | string, options?: OpenOptions): Promise<Session>;
}

/** A usable ONNX Runtime, or why there is none (a warning). */
export type RuntimeLoad =
  | { readonly runtime: Runtime; readonly reason?: undefined }
  | { readonly runtime?: undefined; readonly reason: Diagnostic };

type Ort = typeof import('onnxruntime-node');

const typeNames: ReadonlyMap<DataType, Tensor.Type> = new Map([
  [DataType.FLOAT, 'float32'],
  [DataType.DOUBLE, 'float64'],
  [DataType.FLOAT16, 'float16'],
  [DataType.INT8, 'int8'],
  [DataType.INT16, 'int16'],
  [DataType.INT32, 'int32'],
  [DataType.INT64, 'int64'],
  [DataType.UINT8, 'uint8'],
  [DataType.UINT16, 'uint16'],
  [DataType.UINT32, 'uint32'],
  [DataType.UINT64, 'uint64'],
  [DataType.BOOL, 'bool'],
]);
const typeNumbers: ReadonlyMap<string, DataType> = new Map([...typeNames].map(([number, name]) => [name, number]));

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).trim();

const valueInfo = (value: InferenceSession.ValueMetadata): ValueInfo => {
  const dataType = value.isTensor ? typeNumbers.get(value.type) : undefined;
  if (!value.isTensor || dataType === undefined) return { name: value.name };
  // An unnamed symbolic size arrives as an empty string.
  const dims = value.shape.map((size) => (size === '' || (typeof size === 'number' && size < 0) ? null : size));
  return { name: value.name, type: { dataType, dims } };
};

const toOrt = (ort: Ort, name: string, tensor: TensorData): Tensor => {
  const type = typeNames.get(tensor.dataType);
  if (type === undefined) throw new CompileError(tensorTypeNotCarried(name, String(tensor.dataType)));
  return new ort.Tensor(type, tensor.data, tensor.dims);
};

const fromOrt = (name: string, tensor: Tensor): TensorData => {
  const dataType = typeNumbers.get(tensor.type);
  if (dataType === undefined) throw new CompileError(tensorTypeNotCarried(name, tensor.type));
  const data = tensor.data as Elements;
  // Newer Node versions hand float16 out as numbers (Float16Array): look at its bits instead.
  const isHalf = dataType === DataType.FLOAT16 && !(data instanceof Uint16Array);
  const bits = isHalf
    ? new Uint16Array((data as Elements).buffer, (data as Elements).byteOffset, (data as Elements).length)
    : data;
  return { dataType, dims: [...tensor.dims], data: bits };
};

const openWith = async (ort: Ort, model: Uint8Array | string, options: OpenOptions): Promise<Session> => {
  const file = typeof model === 'string' ? model : undefined;
  const folder = options.profile === true ? mkdtempSync(join(tmpdir(), 'pumer-profile-')) : undefined;
  const settings: InferenceSession.SessionOptions = {
    graphOptimizationLevel: options.optimize ?? 'all',
    // Errors reach us as exceptions; ONNX Runtime's own log would only repeat them on stderr.
    logSeverityLevel: 4,
    ...(options.threads === undefined ? {} : { intraOpNumThreads: options.threads, interOpNumThreads: 1 }),
    ...(folder === undefined ? {} : { enableProfiling: true, profileFilePrefix: join(folder, 'run') }),
  };
  let session: InferenceSession;
  try {
    session = await (typeof model === 'string'
      ? ort.InferenceSession.create(model, settings)
      : ort.InferenceSession.create(model, settings));
  } catch (error) {
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    throw new CompileError(modelNotLoaded(file, reasonOf(error)), { cause: error });
  }
  let nodes: readonly NodeRun[] | undefined;
  const endProfile = (): readonly NodeRun[] => {
    if (folder === undefined || nodes !== undefined) return nodes ?? [];
    session.endProfiling();
    nodes = readdirSync(folder).flatMap((name) => readProfile(readFileSync(join(folder, name), 'utf8')));
    rmSync(folder, { recursive: true, force: true });
    return nodes;
  };
  return {
    inputs: session.inputMetadata.map(valueInfo),
    outputs: session.outputMetadata.map(valueInfo),
    run: async (feeds) => {
      const given = Object.fromEntries([...feeds].map(([name, tensor]) => [name, toOrt(ort, name, tensor)]));
      let results: InferenceSession.ReturnType;
      try {
        results = await session.run(given);
      } catch (error) {
        throw new CompileError(modelNotRun(file, reasonOf(error)), { cause: error });
      }
      return new Map(Object.entries(results).map(([name, value]) => [name, fromOrt(name, value)]));
    },
    profile: endProfile,
    release: async () => {
      endProfile();
      await session.release();
    },
  };
};

const versionOf = (ort: Ort): string => ort.env.versions.node ?? ort.env.versions.common;

/** Loads onnxruntime-node. Never throws: where it is absent or broken, says why. */
export const loadRuntime = async (): Promise<RuntimeLoad> => {
  try {
    // A CommonJS package: its exports may arrive under `default` only.
    const module: Ort & { readonly default?: Ort } = await import('onnxruntime-node');
    const ort = module.default ?? module;
    return { runtime: { version: versionOf(ort), open: (model, options = {}) => openWith(ort, model, options) } };
  } catch (error) {
    const missing = (error as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND';
    return { reason: runtimeUnavailable(missing ? 'it is not installed' : reasonOf(error)) };
  }
};
