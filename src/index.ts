/**
 * The library: `compile(path or bytes, options)` gives a plan, a report and the compiled model; `calibrate` chooses a plan
 * on samples, by a metric of yours if you like; `createSession` runs models.
 */
import { calibrateFile, writePlanFile, type CalibrateFileRequest } from './commands/calibrate.ts';
import type { Budget } from './calibrate/search/budget.ts';
import type { Effort } from './calibrate/search/search.ts';
import { compileModel } from './compile.ts';
import type { Diagnostic } from './diagnostics/diagnostic.ts';
import type { MetricName } from './metrics/built-in.ts';
import type { Metric } from './metrics/metric.ts';
import { readModel } from './onnx/read.ts';
import { encodeModel, writeModel } from './onnx/write.ts';
import type { ReductionPlan } from './reduction/plan.ts';
import type { CalibrationReport } from './report/calibration.ts';
import { resolveOptions, type CompileOptions } from './options.ts';
import { summarise, type CompileSummary } from './report/summary.ts';

export { CompileError, type Diagnostic } from './diagnostics/diagnostic.ts';
export type { ReductionPlan, PlannedSite, Semantics, SiteRatios } from './reduction/plan.ts';
export type { Budget } from './calibrate/search/budget.ts';
export type { Metric, ScoredBatch } from './metrics/metric.ts';
export type { CalibrationReport } from './report/calibration.ts';
export type { CompileOptions } from './options.ts';
export type { CompileSummary, SiteSummary } from './report/summary.ts';
export { DataType } from './graph/model.ts';
export type { NodeRun } from './runtime/profile.ts';
export {
  createSession,
  type ReducerOps,
  type Session,
  type SessionOptions,
  type ValueInfo,
} from './runtime/session.ts';
export type { Elements, TensorData } from './runtime/tensor-data.ts';

export interface CompileResult {
  readonly plan: ReductionPlan;
  readonly report: CompileSummary;
  readonly diagnostics: readonly Diagnostic[];
  /** Writes the model; to a temporary file first, then renamed. */
  readonly write: (path: string) => { bytes: number; externalBytes: number; externalFile?: string };
  /** The whole model in memory; weights that were external are inlined. */
  readonly bytes: () => Uint8Array;
}

/** Compiles a model. Rejects with a CompileError where the model is refused. */
export const compile = async (source: string | Uint8Array, options: CompileOptions = {}): Promise<CompileResult> => {
  const choices = resolveOptions(options);
  const original = readModel(source);
  const compiled = compileModel(original, choices);
  return Promise.resolve({
    plan: compiled.plan,
    report: summarise(compiled),
    diagnostics: compiled.report.diagnostics,
    write: (path: string) => writeModel(compiled.model, path, { externalData: choices.externalData }),
    bytes: () => encodeModel(compiled.model),
  });
};

export interface CalibrateOptions extends Pick<
  CompileOptions,
  'layers' | 'semantics' | 'textInput' | 'imageInput' | 'lanes'
> {
  /** At least one limit. */
  readonly budget: Budget;
  /** By name, or your own. Default: accuracy where the samples have labels, else top1. */
  readonly metric?: MetricName | Metric;
  /** The output that is scored, where it is not clear. */
  readonly outputName?: string;
  /** Default: default. */
  readonly effort?: Effort;
  /** Of the halves, the search and random controls. Default 0. */
  readonly seed?: number;
  readonly threads?: number;
  /** Rows of the runs that are timed. Default 1. */
  readonly batch?: number;
  /** At most so many samples. */
  readonly limit?: number;
  /** A file with times measured before: a table, or a plan file that holds one. */
  readonly latencyTable?: string;
  /** Where the state of the search is kept, and whether to go on from it. */
  readonly stateFile?: string;
  readonly resume?: boolean;
  readonly onProgress?: (step: string) => void;
  /** Aborted: the search ends with the best plan so far. */
  readonly signal?: AbortSignal;
}

export interface CalibrateResult {
  readonly plan: ReductionPlan;
  /** `missed` lists the limits that are not kept: then the plan is the nearest. */
  readonly report: CalibrationReport;
  readonly diagnostics: readonly Diagnostic[];
  /** Writes the plan with its calibration, to a temporary file first, then renamed. */
  readonly write: (path: string) => void;
}

/**
 * Chooses a plan for the model file `model` on the samples at `data` (docs/data.md). Needs onnxruntime-node. Rejects
 * with a CompileError where the model or the data are refused.
 */
export const calibrate = async (model: string, data: string, options: CalibrateOptions): Promise<CalibrateResult> => {
  const { onProgress, signal, layers, semantics = 'safe', textInput, imageInput, lanes, ...rest } = options;
  const request: CalibrateFileRequest = {
    effort: 'default',
    seed: 0,
    batch: 1,
    resume: false,
    ...rest,
    input: model,
    data,
    semantics,
    ...(layers !== undefined && { layers }),
    options: {
      ...(textInput !== undefined && { textInput }),
      ...(imageInput !== undefined && { imageInput }),
      ...(lanes !== undefined && { lanes }),
    },
  };
  const found = await calibrateFile(request, {
    progress: onProgress ?? ((): void => undefined),
    signal: signal ?? new AbortController().signal,
  });
  return {
    plan: found.calibration.plan,
    report: found.report,
    diagnostics: found.diagnostics,
    write: (path) => writePlanFile(path, found),
  };
};
