/**
 * ONNX Runtime through onnxruntime-node. The only file that imports it, and it is optional: nothing else may assume that
 * it exists. It carries no bfloat16 and registers no kernels, so the reducers run on the function's body.
 */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { basename, dirname, join } from 'node:path';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { CompileError } from '../diagnostics/diagnostic.ts';
import { tensorTypeNotCarried } from '../diagnostics/messages-runtime.ts';
import { DataType } from '../graph/model.ts';
import type { Backend, BackendSession, BackendSettings, ValueInfo } from './backend.ts';
import type { Elements, TensorData } from './tensor-data.ts';

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

const openWith = async (
  ort: Ort,
  model: Uint8Array | string,
  { threads, optimize, profilePrefix, provider }: BackendSettings,
): Promise<BackendSession> => {
  const settings: InferenceSession.SessionOptions = {
    graphOptimizationLevel: optimize ? 'all' : 'disabled',
    executionProviders: [provider],
    // Errors reach us as exceptions; ONNX Runtime's own log would only repeat them on stderr.
    logSeverityLevel: 4,
    ...(threads === undefined ? {} : { intraOpNumThreads: threads, interOpNumThreads: 1 }),
    ...(profilePrefix === undefined ? {} : { enableProfiling: true, profileFilePrefix: profilePrefix }),
  };
  const session = await (typeof model === 'string'
    ? ort.InferenceSession.create(model, settings)
    : ort.InferenceSession.create(model, settings));
  return {
    inputs: session.inputMetadata.map(valueInfo),
    outputs: session.outputMetadata.map(valueInfo),
    run: async (feeds) => {
      const given = Object.fromEntries([...feeds].map(([name, tensor]) => [name, toOrt(ort, name, tensor)]));
      const results = await session.run(given);
      return new Map(Object.entries(results).map(([name, value]) => [name, fromOrt(name, value)]));
    },
    endProfiling: () => {
      session.endProfiling();
    },
    release: () => session.release(),
  };
};

/** Rejects where onnxruntime-node is absent or broken; `isMissing` tells which. */
export const loadBinding = async (): Promise<Backend> => {
  // A CommonJS package: its exports may arrive under `default` only.
  const module: Ort & { readonly default?: Ort } = await import('onnxruntime-node');
  const ort = module.default ?? module;
  return {
    version: ort.env.versions.node ?? ort.env.versions.common,
    ops: 'portable',
    open: (model, settings) => openWith(ort, model, settings),
  };
};

export const isMissing = (error: unknown): boolean => (error as { code?: unknown }).code === 'ERR_MODULE_NOT_FOUND';

/** The shared library of ONNX Runtime in a package folder of onnxruntime-node; undefined without one for this platform. */
export const libraryIn = (folder: string): string | undefined => {
  const bin = join(folder, 'bin');
  const places = existsSync(bin) ? readdirSync(bin).map((napi) => join(bin, napi, platform(), arch())) : [];
  const found = places
    .filter((place) => existsSync(place))
    .flatMap((place) => readdirSync(place).map((name) => join(place, name)))
    .filter((file) => /^libonnxruntime\.(so|([\d.]+\.)?dylib)/.test(basename(file)));
  // Where there are two, the shorter name (libonnxruntime.1.dylib) is the one the binding loads.
  return found.sort((a, b) => a.length - b.length)[0];
};

/** That of the installed onnxruntime-node, which its binding runs on. */
export const bindingLibrary = (): string | undefined => {
  try {
    return libraryIn(join(dirname(createRequire(import.meta.url).resolve('onnxruntime-node')), '..'));
  } catch {
    return undefined;
  }
};
