/**
 * ONNX Runtime through our own addon (kernels/addon): sessions on the library of the installed onnxruntime-node, with
 * the fused kernels registered where their library is given. Runs do not hold up the JavaScript thread.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import { tensorTypeNotCarried } from '../diagnostics/messages-runtime.ts';
import type { DataType, DeclaredDim } from '../graph/model.ts';
import type { Backend, BackendSession, BackendSettings, ValueInfo } from './backend.ts';
import { elementsOf, elementSize, type Elements, type TensorData } from './tensor-data.ts';

interface NativeTensor<Data> {
  readonly name: string;
  /** ONNX Runtime numbers the types as ONNX does; 0 for what is no tensor. */
  readonly type: DataType;
  readonly dims: readonly number[];
  readonly data: Data;
}

interface NativeInfo {
  readonly name: string;
  readonly type: DataType;
  readonly dims: readonly DeclaredDim[];
}

interface NativeSession {
  readonly inputs: readonly NativeInfo[];
  readonly outputs: readonly NativeInfo[];
  readonly run: (inputs: readonly NativeTensor<Elements>[]) => Promise<readonly NativeTensor<ArrayBuffer>[]>;
  readonly endProfiling: () => string;
  readonly release: () => void;
}

/** What kernels/addon/addon.cpp exports. Each throws an Error that says why. */
export interface Addon {
  /** The version of the ONNX Runtime library at a path. */
  readonly runtime: (path: string) => string;
  /** What the custom-op library at a path has: the processor's instruction set, and kernels for CUDA. */
  readonly ops: (path: string) => { readonly level: string; readonly cuda: boolean };
  readonly open: (options: {
    readonly runtime: string;
    readonly model: Uint8Array | string;
    readonly threads?: number | undefined;
    readonly optimize: boolean;
    readonly profile?: string | undefined;
    readonly ops?: string | undefined;
    readonly cuda: boolean;
  }) => Promise<NativeSession>;
}

const valueInfo = ({ name, type, dims }: NativeInfo): ValueInfo =>
  elementSize(type) === undefined ? { name } : { name, type: { dataType: type, dims: [...dims] } };

const fromNative = ({ name, type, dims, data }: NativeTensor<ArrayBuffer>): TensorData => {
  const elements = elementsOf(type, new Uint8Array(data));
  if (elements === undefined) throw new CompileError(tensorTypeNotCarried(name, String(type)));
  return { dataType: type, dims: [...dims], data: elements };
};

const sessionOf = (native: NativeSession): BackendSession => ({
  inputs: native.inputs.map(valueInfo),
  outputs: native.outputs.map(valueInfo),
  run: async (feeds) => {
    const given = [...feeds].map(([name, { dataType, dims, data }]) => {
      if (elementSize(dataType) === undefined) throw new CompileError(tensorTypeNotCarried(name, String(dataType)));
      return { name, type: dataType, dims, data };
    });
    const results = await native.run(given);
    return new Map(results.map((result) => [result.name, fromNative(result)]));
  },
  endProfiling: () => {
    native.endProfiling();
  },
  release: () => {
    native.release();
    return Promise.resolve();
  },
});

/** `runtime` is the library of ONNX Runtime; without `ops`, the library of kernels, the reducers run on their body. */
export const addonBackend = (addon: Addon, runtime: string, ops?: string): Backend => ({
  version: addon.runtime(runtime),
  ops: ops === undefined ? 'portable' : 'fused',
  open: async (model, { threads, optimize, profilePrefix, provider }: BackendSettings) =>
    sessionOf(
      await addon.open({
        runtime,
        model,
        threads,
        optimize,
        profile: profilePrefix,
        ops,
        cuda: provider === 'cuda',
      }),
    ),
});
