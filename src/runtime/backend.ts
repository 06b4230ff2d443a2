/**
 * What a session stands on: one way to reach ONNX Runtime. There are two, onnxruntime-node as it is and the addon with
 * the fused kernels; `session.ts` makes the same face of either. Errors of a backend are plain, in ONNX Runtime's words.
 */
import type { TensorType } from '../graph/model.ts';
import type { TensorData } from './tensor-data.ts';

/** An input or output as ONNX Runtime declares it. Type undefined: not a tensor, or of a type not carried here. */
export interface ValueInfo {
  readonly name: string;
  readonly type?: TensorType;
}

/** What computes the reducers: their kernels, or the function's body of standard operators. */
export type ReducerOps = 'fused' | 'portable';

export interface BackendSettings {
  /** Threads inside one operator; ONNX Runtime's own choice if absent. */
  readonly threads?: number;
  readonly optimize: boolean;
  /** Where the profile goes; no profile if absent. */
  readonly profilePrefix?: string;
  readonly provider: 'cpu' | 'cuda';
}

export interface BackendSession {
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly run: (feeds: ReadonlyMap<string, TensorData>) => Promise<Map<string, TensorData>>;
  /** Writes the profile's file. */
  readonly endProfiling: () => void;
  readonly release: () => Promise<void>;
}

export interface Backend {
  /** Of ONNX Runtime. */
  readonly version: string;
  readonly ops: ReducerOps;
  readonly open: (model: Uint8Array | string, settings: BackendSettings) => Promise<BackendSession>;
}
