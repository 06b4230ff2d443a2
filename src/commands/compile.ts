/**
 * One file compiled into another: read, compile, write aside, run once, put in place. Until the last step an older
 * output stays as it was, and whatever goes wrong nothing else is left behind. Prints nothing.
 */
import { readFileSync } from 'node:fs';
import { basename, dirname, sep } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { CalibrateFileResult } from './calibrate.ts';
import { compileModel, type Compiled } from '../compile.ts';
import { CompileError, type Diagnostic } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-cli.ts';
import * as sayFiles from '../diagnostics/messages-onnx.ts';
import { reducersLine } from '../diagnostics/messages-runtime.ts';
import type { CompileRequest } from '../flags/compile.ts';
import { UsageError } from '../flags/usage-error.ts';
import type { Model } from '../graph/model.ts';
import type { ModelOrigin } from '../onnx/import.ts';
import { readModel } from '../onnx/read.ts';
import { writeModel, type Written } from '../onnx/write.ts';
import { OptionError, resolveOptions, type CompileOptions, type ResolvedOptions } from '../options.ts';
import { parsePlan, type ReductionPlan } from '../reduction/plan.ts';
import type { CalibrationReport } from '../report/calibration.ts';
import { summarise } from '../report/summary.ts';
import type { CompileReport, FileSize, Validation } from '../report/table.ts';
import { isFileError, isSameFile, statIfAny } from '../support/files.ts';
import { stageBeside, type Staging } from '../support/staging.ts';
import { checkInputNames } from './input-names.ts';
import type { Watch } from './watch.ts';

export interface CompileFileResult {
  readonly report: CompileReport;
  readonly plan: ReductionPlan;
  readonly diagnostics: readonly Diagnostic[];
  /** Where the plan was chosen on samples. */
  readonly calibration?: CalibrationReport;
}

const readPlan = (file: string): ReductionPlan => {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (!isFileError(error)) throw error;
    throw new UsageError(say.planUnreadable(file, error.code === 'ENOENT' ? 'it does not exist' : error.message));
  }
  const plan = parsePlan(text);
  if (typeof plan === 'string') throw new UsageError(say.planUnreadable(file, plan));
  return plan;
};

const resolved = (options: CompileOptions): ResolvedOptions => {
  try {
    return resolveOptions(options);
  } catch (error) {
    throw error instanceof OptionError ? new UsageError(say.usage(error.message)) : error;
  }
};

const filesOf = (model: Model): ModelOrigin['files'] => (model.origin as ModelOrigin | undefined)?.files ?? [];

/** Refuses a place where nothing can or may be written. */
const checkDestination = (path: string, model: Model): void => {
  const there = statIfAny(path);
  const input = filesOf(model).find((file) => isSameFile(path, file));
  if (input !== undefined) throw new CompileError(sayFiles.outputIsInput(path, input.path));
  if (there !== undefined && !there.isFile()) throw new CompileError(sayFiles.outputNotFile(path));
};

const fileSize = (file: string, model: Model): FileSize => {
  const sizes = filesOf(model).map(({ path }) => [path, statIfAny(path)?.size ?? 0] as const);
  const [, bytes = 0] = sizes.find(([path]) => path === file) ?? [];
  return { file, bytes, externalBytes: sizes.reduce((sum, [path, size]) => sum + (path === file ? 0 : size), 0) };
};

/** Errors of writing name the place the user knows. */
const written = (staging: Staging, output: string, write: () => Written): Written => {
  try {
    return write();
  } catch (error) {
    if (!(error instanceof CompileError)) throw error;
    const ours = (text: string): string =>
      text.replaceAll(`${staging.folder}${sep}`, output.slice(0, output.length - basename(output).length));
    const { diagnostic } = error;
    throw new CompileError(
      { ...diagnostic, message: ours(diagnostic.message), at: { ...diagnostic.at, file: output } },
      { cause: error },
    );
  }
};

const validated = async (
  request: CompileRequest,
  model: Model,
  path: string,
  watch: Watch,
): Promise<{ validation: Validation; diagnostics: readonly Diagnostic[] }> => {
  const skipped = (diagnostic: Diagnostic): { validation: Validation; diagnostics: readonly Diagnostic[] } => ({
    validation: { status: 'skipped', reason: diagnostic.message },
    diagnostics: [diagnostic],
  });
  if (!request.validate)
    return { validation: { status: 'skipped', reason: say.notValidatedByChoice() }, diagnostics: [] };
  // Loaded here and not above: compiling alone must not pay for the runtime, which is optional besides.
  if (request.data !== undefined) {
    const { validatedOn } = await import('./validate.ts');
    return { validation: await validatedOn(request.data, request, path, watch), diagnostics: [] };
  }
  const { loadRuntime } = await import('../runtime/session.ts');
  const { runOnce } = await import('../validate/run-once.ts');
  const { runtime, reason } = await loadRuntime();
  if (runtime === undefined) return skipped(say.notValidatedRuntime(reason.message, reason.fix));
  const run = await runOnce(runtime, model, request.input, path);
  if (!run.ran) return skipped(say.notValidatedOriginal(run.reason));
  const { sizes, outputs } = run;
  return {
    validation: { status: 'passed', inputs: 'synthetic', sizes, outputs, runtime: runtime.version },
    diagnostics: [],
  };
};

const stage = (output: string): Staging => {
  try {
    return stageBeside(output);
  } catch (error) {
    if (!isFileError(error)) throw error;
    throw new CompileError(sayFiles.outputNotWritten(output, error.message), { cause: error });
  }
};

/** The plan that keeps the budget; where none does, the nearest is written beside the output and nothing is compiled. */
const calibrated = async (
  request: CompileRequest,
  model: Model,
  watch: Watch,
): Promise<CalibrateFileResult | undefined> => {
  const { calibration, data, input, output, options } = request;
  if (calibration === undefined || data === undefined) return undefined;
  const { calibrateOn, keepsBudgetOrThrow } = await import('./calibrate.ts');
  const { layers, semantics = 'safe', ...rest } = options;
  const wanted = {
    ...calibration,
    input,
    data,
    semantics,
    ...(layers !== undefined && { layers }),
    options: rest,
    resume: false,
  };
  const found = await calibrateOn(model, wanted, watch);
  // Only a calibration by itself ends with the best plan so far.
  watch.signal.throwIfAborted();
  keepsBudgetOrThrow(found, `${output}.plan.json`);
  return found;
};

/** Throws a UsageError, a CompileError for what is refused, an InternalError for a bug of ours. */
export const compileFile = async (request: CompileRequest, watch: Watch): Promise<CompileFileResult> => {
  const { input, output } = request;
  const { progress, signal } = watch;
  const folder = dirname(output);
  if (statIfAny(folder)?.isDirectory() !== true) throw new UsageError(say.outputFolderMissing(output, folder));
  const given = resolved({
    ...request.options,
    ...(request.planFile !== undefined && { plan: readPlan(request.planFile) }),
  });
  const start = performance.now();
  progress(`reading ${input}`);
  const model = readModel(input);
  checkDestination(output, model);
  checkInputNames(model, request.options);
  const wasRead = performance.now();
  const chosen = await calibrated(request, model, watch);
  const options = chosen === undefined ? given : { ...given, plan: chosen.calibration.plan };
  const read = performance.now();
  progress(`compiling ${model.graph.nodes.length} nodes`);
  const compiled: Compiled = compileModel(model, options);
  const summary = summarise(compiled);
  const planned = performance.now();
  // An interrupt is heard only between steps: reading, compiling and writing do not yield.
  const heed = async (): Promise<void> => {
    // Signals come in between two turns of the event loop, and this one may have begun before them.
    await setImmediate();
    await setImmediate();
    signal.throwIfAborted();
  };
  await heed();
  if (request.display.verbose && options.ops === 'function' && summary.sites.length > 0) {
    const { reducersHere } = await import('../runtime/kernels.ts');
    progress(reducersLine(reducersHere()));
  }
  progress(`writing ${output}`);
  const staging = stage(output);
  const staged = performance.now();
  signal.addEventListener('abort', staging.discard);
  try {
    const sizes = written(staging, output, () =>
      writeModel(compiled.model, staging.path, { externalData: options.externalData }),
    );
    const wrote = performance.now();
    await heed();
    if (request.validate) progress('running the original and the result once');
    const { validation, diagnostics } = await validated(request, model, staging.path, watch);
    const ran = performance.now();
    await heed();
    const names = sizes.externalFile === undefined ? [] : [sizes.externalFile];
    for (const name of names) checkDestination(staging.destination(name), model);
    staging.place([...names, basename(output)]);
    return {
      plan: compiled.plan,
      diagnostics: [...(chosen?.diagnostics ?? []), ...compiled.report.diagnostics, ...diagnostics],
      ...(chosen !== undefined && { calibration: chosen.report }),
      report: {
        input: fileSize(input, model),
        output: { file: output, ...sizes },
        summary,
        validation,
        milliseconds: {
          read: wasRead - start,
          compile: planned - read,
          write: wrote - staged,
          validate: request.validate ? ran - wrote : 0,
        },
      },
    };
  } catch (error) {
    if (isFileError(error)) throw new CompileError(sayFiles.outputNotWritten(output, error.message), { cause: error });
    throw error;
  } finally {
    signal.removeEventListener('abort', staging.discard);
    staging.discard();
  }
};
