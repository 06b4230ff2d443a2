/**
 * What is said about ONNX Runtime and about sample arrays (.npz, .npy): one builder per code.
 * Knows no terminal and no file system; callers pass names and figures in.
 */
import type { Diagnostic } from './diagnostic.ts';

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
export const runtimeUnavailable = (reason: string): Diagnostic => ({
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
  message: `'${value}' has element type ${type}, which onnxruntime-node cannot carry`,
  at: { value },
});
