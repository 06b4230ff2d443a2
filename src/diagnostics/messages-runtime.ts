/**
 * What is said about ONNX Runtime and about sample arrays (.npz, .npy): one builder per code.
 * Knows no terminal and no file system; callers pass names and figures in.
 */
import { error, warning, type Diagnostic } from './diagnostic.ts';

/** The archive itself cannot be read. */
export const npzUnreadable = (file: string | undefined, reason: string): Diagnostic => ({
  code: 'npz-unreadable',
  severity: 'error',
  message: `not a readable .npz archive: ${reason}`,
  ...(file === undefined ? {} : { at: { file } }),
  fix: 'write the file with numpy.savez or numpy.savez_compressed',
});

/** One member of an archive, or a .npy file, breaks the NumPy format. */
export const npyUnreadable = (array: string, reason: string): Diagnostic => ({
  code: 'npy-unreadable',
  severity: 'error',
  message: `array '${array}' cannot be read: ${reason}`,
  at: { value: array },
});

/** Arrays of Python objects are pickles: reading one could run code. */
export const npyObjectArray = (array: string): Diagnostic => ({
  code: 'npy-object-array',
  severity: 'error',
  message: `array '${array}' holds Python objects, which are never unpickled`,
  at: { value: array },
  fix: 'save it with a numeric dtype, for example array.astype(numpy.float32)',
});

export const npyUnsupportedType = (array: string, descr: string): Diagnostic => ({
  code: 'npy-unsupported-type',
  severity: 'error',
  message: `array '${array}' has type ${descr}; readable are bool, int8 to int64, uint8 to uint64, float16, float32 and float64`,
  at: { value: array },
});

/** onnxruntime-node is absent or does not load on this machine. */
export const runtimeUnavailable = (reason = 'it is not installed'): Diagnostic => ({
  code: 'runtime-unavailable',
  severity: 'warning',
  message: `onnxruntime-node cannot be used: ${reason}`,
  fix: 'npm install onnxruntime-node (ONNXRUNTIME_NODE_INSTALL=skip leaves out its CUDA download)',
});

/** ONNX Runtime refused a model. */
export const modelNotLoaded = (file: string | undefined, reason: string): Diagnostic => ({
  code: 'model-not-loaded',
  severity: 'error',
  message: `ONNX Runtime cannot load the model: ${reason}`,
  ...(file === undefined ? {} : { at: { file } }),
});

/** ONNX Runtime loaded a model and failed while running it. */
export const modelNotRun = (file: string | undefined, reason: string): Diagnostic => ({
  code: 'model-not-run',
  severity: 'error',
  message: `ONNX Runtime failed while running the model: ${reason}`,
  ...(file === undefined ? {} : { at: { file } }),
});

/** A tensor of a type that cannot cross into or out of ONNX Runtime here. */
export const tensorTypeNotCarried = (value: string, type: string): Diagnostic => ({
  code: 'tensor-type-not-carried',
  severity: 'error',
  message: `'${value}' has element type ${type}, which cannot be carried into or out of ONNX Runtime here`,
  at: { value },
});

export const sessionReleased = (): Diagnostic => error('session-released', 'the session has been released');

export const profileWhileRunning = (): Diagnostic =>
  error('profile-while-running', 'the profile cannot be read while a run is under way', { fix: 'await the run first' });

// The fused kernels. Nothing needs them: warnings, until somebody asks for kernels and nothing else.

const buildKernels = 'npm run build:kernels builds them (docs/kernels.md); without them the function body is used';

/** `missing`: the one file that is not there while the rest is. */
export const kernelsNotBuilt = (missing?: string): Diagnostic =>
  warning(
    'kernels-not-built',
    `the fused kernels are not built${missing === undefined ? '' : `: ${missing} is missing`}`,
    {
      fix: buildKernels,
    },
  );

export const kernelsNotLoaded = (reason: string): Diagnostic =>
  warning('kernels-not-loaded', `the fused kernels do not load: ${reason}`, { fix: buildKernels });

/** Too old, or nothing of ONNX Runtime at all. */
export const kernelsRuntimeUnusable = (reason: string): Diagnostic =>
  warning('kernels-runtime-unusable', `the fused kernels cannot use the installed ONNX Runtime: ${reason}`, {
    fix: 'npm install onnxruntime-node (1.17 or later); with an older one the function body is used',
  });

export const kernelsWithoutRuntime = (): Diagnostic =>
  warning(
    'kernels-runtime-unusable',
    'the fused kernels need onnxruntime-node, which is not installed for this platform',
    {
      fix: 'npm install onnxruntime-node (ONNXRUNTIME_NODE_INSTALL=skip leaves out its CUDA download)',
    },
  );

export const kernelsWithoutCuda = (): Diagnostic =>
  warning('kernels-without-cuda', 'the fused kernels were built without CUDA', {
    fix: 'build them where nvcc is found; without them the function body is used, which runs on CUDA too',
  });

/** What the reducers of a compiled model run on here; with the function body, why no kernels. */
export const reducersLine = (found: {
  readonly level: string | null;
  readonly cuda: boolean | null;
  readonly why: Diagnostic | null;
}): string => {
  const { level, cuda, why } = found;
  if (why === null)
    return `reducers: fused kernels (${level ?? 'scalar'}, ${cuda === true ? 'CUDA' : 'CUDA not built'})`;
  const said = why.message.replace('the fused kernels', 'kernels');
  return `reducers: function body; ${said}${why.code === 'kernels-not-built' ? ' (npm run build:kernels)' : ''}`;
};
