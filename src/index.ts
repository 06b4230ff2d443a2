/**
 * The library: `compile(path or bytes, options)` gives a plan, a report and the compiled model; `createSession` runs it.
 */
import { compileModel } from './compile.ts';
import type { Diagnostic } from './diagnostics/diagnostic.ts';
import { readModel } from './onnx/read.ts';
import { encodeModel, writeModel } from './onnx/write.ts';
import type { ReductionPlan } from './reduction/plan.ts';
import { resolveOptions, type CompileOptions } from './options.ts';
import { summarise, type CompileSummary } from './report/summary.ts';

export { CompileError, type Diagnostic } from './diagnostics/diagnostic.ts';
export type { ReductionPlan, PlannedSite, Semantics, SiteRatios } from './reduction/plan.ts';
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
