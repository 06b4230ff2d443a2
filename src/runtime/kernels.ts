/**
 * Finds the fused kernels: the library with the custom ops and the addon that opens sessions with it. They are in the
 * folder that PUMER_KERNELS names, else where `npm run build:kernels` leaves them. Says why where they cannot be used.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { platform } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { env } from 'node:process';
import { fileURLToPath } from 'node:url';
import type { Diagnostic } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-runtime.ts';
import { addonBackend, type Addon } from './addon.ts';
import type { Backend, ReducerOps } from './backend.ts';
import { bindingLibrary } from './onnxruntime-node.ts';

export interface Kernels {
  readonly addon: Addon;
  /** The custom-op library. */
  readonly library: string;
  /** The library of ONNX Runtime that sessions are opened on. */
  readonly runtime: string;
  /** The instruction set they use here: "scalar", "avx2" or "avx512". */
  readonly level: string;
  readonly cuda: boolean;
  readonly backend: Backend;
}

/** The kernels, or why there are none and whether they were built at all. */
export type KernelsSearch =
  | { readonly kernels: Kernels; readonly reason?: undefined }
  | { readonly kernels?: undefined; readonly reason: Diagnostic; readonly isBuilt: boolean };

/** The folder of this package: the nearest one above with a package.json. */
const packageRoot = (): string => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  return folder;
};

/** What `step` gives, or what `say` makes of the reason why it throws. */
const tried = <T>(step: () => T, say: (reason: string) => Diagnostic): { result: T } | { reason: Diagnostic } => {
  try {
    return { result: step() };
  } catch (error) {
    return { reason: say((error instanceof Error ? error.message : String(error)).trim()) };
  }
};

const search = (folder: string, runtime: string | undefined): KernelsSearch => {
  const library = join(folder, platform() === 'darwin' ? 'libpumer_ops.dylib' : 'libpumer_ops.so');
  const addonFile = join(folder, 'pumer_node.node');
  const missing = [library, addonFile].filter((file) => !existsSync(file));
  if (missing.length === 2) return { isBuilt: false, reason: say.kernelsNotBuilt() };
  const none = (reason: Diagnostic): KernelsSearch => ({ isBuilt: true, reason });
  if (missing.length === 1) return none(say.kernelsNotBuilt(missing[0]));
  if (runtime === undefined) return none(say.kernelsWithoutRuntime());
  const loaded = tried(() => {
    const addon = createRequire(import.meta.url)(addonFile) as Addon;
    return { addon, ...addon.ops(library) };
  }, say.kernelsNotLoaded);
  if ('reason' in loaded) return none(loaded.reason);
  const { addon } = loaded.result;
  const backend = tried(() => addonBackend(addon, runtime, library), say.kernelsRuntimeUnusable);
  if ('reason' in backend) return none(backend.reason);
  return { kernels: { ...loaded.result, library, runtime, backend: backend.result } };
};

/** The folder where kernels are looked for. */
export const kernelsFolder = (): string => {
  const chosen = env['PUMER_KERNELS'];
  return chosen === undefined || chosen === '' ? join(packageRoot(), 'kernels', 'build') : resolve(chosen);
};

/** Looks anew each time; loading what is loaded already costs nothing. Never throws. */
export const findKernels = (folder = kernelsFolder(), runtime = bindingLibrary()): KernelsSearch =>
  search(folder, runtime);

/** What the reducers of a compiled model run on here; without kernels, why. */
export interface Reducers {
  readonly ops: ReducerOps;
  readonly level: string | null;
  readonly cuda: boolean | null;
  readonly why: Diagnostic | null;
}

export const reducersHere = (): Reducers => {
  const { kernels, reason } = findKernels();
  return kernels === undefined
    ? { ops: 'portable', level: null, cuda: null, why: reason }
    : { ops: 'fused', level: kernels.level, cuda: kernels.cuda, why: null };
};
