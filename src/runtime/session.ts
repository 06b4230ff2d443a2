/**
 * ONNX Runtime behind a small face: load it if it is there, open a model, run it, profile it. The face is the same
 * whether the reducers run on their fused kernels or on their body (`ops` tells), and so are its errors.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CompileError, type Diagnostic } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-runtime.ts';
import { temporaryFolder } from '../support/temporary-folders.ts';
import type { Backend, BackendSession, ReducerOps, ValueInfo } from './backend.ts';
import { findKernels } from './kernels.ts';
import { isMissing, loadBinding } from './onnxruntime-node.ts';
import { readProfile, type NodeRun } from './profile.ts';
import type { TensorData } from './tensor-data.ts';

export type { ReducerOps, ValueInfo } from './backend.ts';

export interface OpenOptions {
  /** Threads inside one operator; ONNX Runtime's own choice if absent. */
  readonly threads?: number;
  /** Graph optimisation: everything (ONNX Runtime's default) or nothing. */
  readonly optimize?: 'all' | 'disabled';
  /** Record every node of every run for `profile()`. */
  readonly profile?: boolean;
  /** Where the model runs: on the processor (the default), or on CUDA with the processor for what that lacks. */
  readonly providers?: 'cpu' | 'cuda';
}

export interface Session {
  /** What computes the reducers. */
  readonly ops: ReducerOps;
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** Runs once. Throws CompileError model-not-run, tensor-type-not-carried. */
  run(feeds: ReadonlyMap<string, TensorData>): Promise<Map<string, TensorData>>;
  /** Every node executed since the session was opened; ends profiling. Only with `profile: true`. */
  profile(): readonly NodeRun[];
  /** Frees the model once the runs under way are through. */
  release(): Promise<void>;
}

export interface Runtime {
  readonly version: string;
  /** What computes the reducers in its sessions. */
  readonly ops: ReducerOps;
  /** Opens a model from a file or from bytes (external data needs a file). Throws CompileError model-not-loaded. */
  open(model: Uint8Array | string, options?: OpenOptions): Promise<Session>;
}

/** A usable ONNX Runtime, or why there is none (a warning). */
export type RuntimeLoad =
  | { readonly runtime: Runtime; readonly reason?: undefined }
  | { readonly runtime?: undefined; readonly reason: Diagnostic };

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error)).trim();

/** An error of a backend as one of ours. */
const refused = (error: unknown, diagnostic: Diagnostic): CompileError =>
  error instanceof CompileError ? error : new CompileError(diagnostic, { cause: error });

/** Opens a model on a backend. Throws CompileError model-not-loaded. */
export const openWith = async (
  backend: Backend,
  model: Uint8Array | string,
  { threads, optimize, profile, providers = 'cpu' }: OpenOptions,
): Promise<Session> => {
  const file = typeof model === 'string' ? model : undefined;
  const folder = profile === true ? temporaryFolder('pumer-profile-') : undefined;
  let session: BackendSession;
  try {
    session = await backend.open(model, {
      optimize: optimize !== 'disabled',
      provider: providers,
      ...(threads !== undefined && { threads }),
      ...(folder !== undefined && { profilePrefix: join(folder.path, 'run') }),
    });
  } catch (error) {
    folder?.remove();
    throw refused(error, say.modelNotLoaded(file, reasonOf(error)));
  }
  let nodes: readonly NodeRun[] | undefined;
  let released: Promise<void> | undefined;
  const running = new Set<Promise<unknown>>();
  const endProfile = (): readonly NodeRun[] => {
    if (folder === undefined || nodes !== undefined) return nodes ?? [];
    if (running.size > 0) throw new CompileError(say.profileWhileRunning());
    session.endProfiling();
    nodes = readdirSync(folder.path).flatMap((name) => readProfile(readFileSync(join(folder.path, name), 'utf8')));
    folder.remove();
    return nodes;
  };
  return {
    ops: backend.ops,
    inputs: session.inputs,
    outputs: session.outputs,
    run: async (feeds) => {
      if (released !== undefined) throw new CompileError(say.sessionReleased());
      const run = session.run(feeds);
      running.add(run);
      try {
        return await run;
      } catch (error) {
        throw refused(error, say.modelNotRun(file, reasonOf(error)));
      } finally {
        running.delete(run);
      }
    },
    profile: endProfile,
    release: () =>
      (released ??= Promise.allSettled(running).then(async () => {
        running.clear();
        endProfile();
        await session.release();
      })),
  };
};

const runtimeOn = (backend: Backend): Runtime => ({
  version: backend.version,
  ops: backend.ops,
  open: (model, options = {}) => openWith(backend, model, options),
});

const loadPortable = async (): Promise<RuntimeLoad> => {
  try {
    return { runtime: runtimeOn(await loadBinding()) };
  } catch (error) {
    return { reason: say.runtimeUnavailable(isMissing(error) ? undefined : reasonOf(error)) };
  }
};

/**
 * Loads onnxruntime-node, with the fused kernels or as it is. Never throws: where it is absent or broken, or the
 * kernels are asked for and cannot be used, says why.
 */
export const loadRuntime = async (ops: ReducerOps = 'portable'): Promise<RuntimeLoad> => {
  if (ops === 'portable') return loadPortable();
  const { kernels, reason } = findKernels();
  return kernels === undefined ? { reason } : { runtime: runtimeOn(kernels.backend) };
};

export interface SessionOptions extends OpenOptions {
  /**
   * `fused`: the reducers run on this package's kernels, which `npm run build:kernels` builds. `portable`: on the
   * function's body of standard operators, in onnxruntime-node as it is. `auto` (the default): fused where the kernels
   * can be used, else portable.
   */
  readonly ops?: ReducerOps | 'auto';
}

/**
 * Opens a model, compiled or not, for running: from a file, or from bytes (external data needs a file). Needs
 * onnxruntime-node. `session.ops` tells what the reducers run on; results are the same either way. Throws CompileError
 * runtime-unavailable, model-not-loaded, and kernels-not-built, -not-loaded, -runtime-unusable or -without-cuda.
 */
export const createSession = async (model: string | Uint8Array, options: SessionOptions = {}): Promise<Session> => {
  const { ops = 'auto', ...open } = options;
  if (ops !== 'portable') {
    const { kernels, reason } = findKernels();
    // Kernels for the processor alone would pull every reducer's tokens off the device and back.
    const lacksCuda = open.providers === 'cuda' && kernels?.cuda === false;
    if (kernels !== undefined && !lacksCuda) return openWith(kernels.backend, model, open);
    if (ops === 'fused') throw new CompileError(asError(reason ?? say.kernelsWithoutCuda()));
  }
  const { runtime, reason } = await loadPortable();
  if (runtime === undefined) throw new CompileError(asError(reason));
  return runtime.open(model, open);
};

const asError = (diagnostic: Diagnostic): Diagnostic => ({ ...diagnostic, severity: 'error' });
