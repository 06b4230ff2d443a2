/**
 * One model file and a folder of samples into a plan file: reads, calibrates, writes the plan whole or not at all. The
 * state of the search lies beside the plan while it runs. Prints nothing.
 */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { calibrateModel, type Calibration, type CalibrationRequest } from '../calibrate.ts';
import { parseLatencyTable } from '../calibrate/latency/table.ts';
import type { LatencyTable } from '../calibrate/latency/model.ts';
import { planFileOf, printPlanFile, type CalibrationRecord } from '../calibrate/plan-file.ts';
import { parseSearchState, textHash, type SearchState } from '../calibrate/search/state.ts';
import { scoringMetrics } from '../calibrate/scoring-metrics.ts';
import { openWorkshop, runtimeForCalibration } from '../calibration-workshop.ts';
import { CompileError, type Diagnostic } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-calibrate.ts';
import * as sayCli from '../diagnostics/messages-cli.ts';
import * as sayFiles from '../diagnostics/messages-onnx.ts';
import type { CalibrateFlags } from '../flags/calibrate.ts';
import { UsageError } from '../flags/usage-error.ts';
import type { Model } from '../graph/model.ts';
import { metricNamed, type MetricName } from '../metrics/built-in.ts';
import type { Metric } from '../metrics/metric.ts';
import { readModel } from '../onnx/read.ts';
import type { CompileOptions } from '../options.ts';
import type { Semantics } from '../reduction/plan.ts';
import { controlWins, missedText, type CalibrationReport } from '../report/calibration.ts';
import { readSamples } from '../samples/read-samples.ts';
import { isFileError, statIfAny } from '../support/files.ts';
import { stageBeside } from '../support/staging.ts';
import { recordOf, reportOf } from './calibration-report.ts';
import { checkInputNames } from './input-names.ts';
import type { Watch } from './watch.ts';

/** What a calibration is asked for, as flags give it. */
export interface CalibrateFileRequest extends Omit<CalibrateFlags, 'metric'> {
  /** A built-in one by name, or a user's own. Accuracy where there are labels, else top1. */
  readonly metric?: MetricName | Metric;
  readonly input: string;
  readonly data: string;
  readonly semantics: Semantics;
  readonly layers?: readonly number[];
  readonly options: Pick<CompileOptions, 'textInput' | 'imageInput' | 'lanes' | 'saliency' | 'outputs'>;
  /** A file with times measured before. */
  readonly latencyTable?: string;
  /** Where the state of the search is kept; none where absent. */
  readonly stateFile?: string;
  readonly resume: boolean;
}

export interface CalibrateFileResult {
  readonly calibration: Calibration;
  readonly report: CalibrationReport;
  readonly record: CalibrationRecord;
  readonly diagnostics: readonly Diagnostic[];
}

const textOf = (file: string, refuse: (reason: string) => Diagnostic): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (!isFileError(error)) throw error;
    throw new CompileError(refuse(error.code === 'ENOENT' ? 'it does not exist' : error.message));
  }
};

/** A table alone, or the plan it was written with. */
const readLatencyTable = (file: string): LatencyTable => {
  const refuse = (reason: string): Diagnostic => say.latencyTableUnreadable(file, reason);
  const text = textOf(file, refuse);
  let inPlan: unknown;
  try {
    inPlan = (JSON.parse(text) as { calibration?: { latency?: unknown } } | null)?.calibration?.latency;
  } catch {
    inPlan = undefined;
  }
  const table = parseLatencyTable(inPlan === undefined ? text : JSON.stringify(inPlan));
  if (typeof table === 'string') throw new CompileError(refuse(table));
  return table;
};

const readState = (file: string): SearchState => {
  const refuse = (reason: string): Diagnostic => say.stateUnreadable(file, reason);
  const state = parseSearchState(textOf(file, refuse));
  if (typeof state === 'string') throw new CompileError(refuse(state));
  const table = parseLatencyTable(JSON.stringify(state.latency));
  if (typeof table === 'string') throw new CompileError(refuse(`latency: ${table}`));
  return { ...state, latency: table };
};

/** Written aside and renamed: a state is whole or the one before. */
const replaceFile = (file: string, text: string): void => {
  const staging = stageBeside(file);
  try {
    writeFileSync(staging.path, text);
    staging.place([basename(file)]);
  } finally {
    staging.discard();
  }
};

/**
 * Names, sizes and times of files tell models and data apart well enough to refuse a state of others. Of a folder those
 * that may hold samples: the state itself may lie there.
 */
const fingerprint = (path: string): string => {
  const names = statSync(path).isDirectory()
    ? readdirSync(path, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(npz|pb)$/.test(name))
    : [''];
  const facts = names.sort().map((name) => {
    const { size, mtimeMs } = statSync(join(path, name));
    return `${name} ${size} ${mtimeMs}`;
  });
  return textHash(facts.join('\n'));
};

/**
 * Throws a UsageError, CompileErrors of model, data, state and table; a budget that is not kept is no error here but
 * `report.missed`.
 */
export const calibrateFile = async (request: CalibrateFileRequest, watch: Watch): Promise<CalibrateFileResult> => {
  watch.progress(`reading ${request.input}`);
  const model = readModel(request.input);
  checkInputNames(model, request.options);
  return calibrateOn(model, request, watch);
};

/** The same for a model that was read already. */
export const calibrateOn = async (
  model: Model,
  request: CalibrateFileRequest,
  { progress, signal, node = '' }: Watch,
): Promise<CalibrateFileResult> => {
  const table = request.latencyTable === undefined ? undefined : readLatencyTable(request.latencyTable);
  const { stateFile } = request;
  const state = request.resume && stateFile !== undefined && existsSync(stateFile) ? readState(stateFile) : undefined;
  progress(`reading ${request.data}`);
  const samples = await readSamples(request.data, model, {
    signal,
    progress,
    ...(request.limit !== undefined && { limit: request.limit }),
  });
  const asked = request.metric ?? (samples.labelled ? 'accuracy' : 'top1');
  const output = request.outputName === undefined ? {} : { output: request.outputName };
  const isOwn = typeof asked !== 'string';
  const metric = isOwn ? asked : metricNamed(asked, model, output);
  if (metric.needsLabels && !samples.labelled) throw new CompileError(say.labelsNeeded(request.data, metric.name));
  const runtime = await runtimeForCalibration();
  const shop = openWorkshop({
    model,
    original: request.input,
    runtime,
    node,
    options: request.options,
    ...(request.threads !== undefined && { threads: request.threads }),
  });
  try {
    const calibrationRequest: CalibrationRequest = {
      semantics: request.semantics,
      ...(request.layers !== undefined && { layers: request.layers }),
      budget: request.budget,
      metrics: scoringMetrics(model, metric, { ...output, isOwn }),
      effort: request.effort,
      seed: request.seed,
      batch: request.batch,
      ...(table !== undefined && { latencyTable: table }),
      ...(state !== undefined && { state }),
      facts: { model: fingerprint(request.input), data: fingerprint(request.data) },
    };
    const found = await calibrateModel(shop, samples, calibrationRequest, {
      progress,
      signal,
      searching: ({ done, total, best, secondsLeft }) =>
        progress(say.searching(done / total, say.bestSoFar(1 / best.ratio, best.drop.mean), secondsLeft)),
      ...(stateFile !== undefined && {
        keep: (kept: SearchState) => replaceFile(stateFile, `${JSON.stringify(kept)}\n`),
      }),
    });
    const report = reportOf(request, found, metric.name, samples.labelled);
    const wins = report.controls.filter(controlWins).map((c) => c.control);
    return {
      calibration: found,
      report,
      record: recordOf(report, found, request),
      diagnostics: wins.length === 0 ? [] : [say.controlsWin(wins)],
    };
  } finally {
    shop.close();
  }
};

/** Writes the plan whole or not at all. Throws CompileError output-not-written. */
export const writePlanFile = (output: string, { calibration, record }: CalibrateFileResult): void => {
  try {
    replaceFile(output, printPlanFile(planFileOf(calibration.plan, record)));
  } catch (error) {
    if (isFileError(error)) throw new CompileError(sayFiles.outputNotWritten(output, error.message), { cause: error });
    throw error;
  }
};

export const stateFileOf = (output: string): string => `${output}.state`;

/** Refuses a place where no plan can be written, before hours are spent. */
export const checkPlanPlace = (output: string, input: string): void => {
  const folder = dirname(output);
  if (statIfAny(folder)?.isDirectory() !== true) throw new UsageError(sayCli.outputFolderMissing(output, folder));
  const there = statIfAny(output);
  if (there !== undefined && !there.isFile()) throw new CompileError(sayFiles.outputNotFile(output));
  if (output === input) throw new CompileError(sayFiles.outputIsInput(output, input));
};

/** What is said of limits that are missed: by every plan tried, or by the chosen one where it was judged or timed. */
const missedBudget = (missed: CalibrationReport['missed'], planFile: string): Diagnostic =>
  missed.some(({ where }) => where === 'choosing')
    ? say.budgetNotKept(missedText(missed), planFile)
    : say.budgetNotConfirmed(missedText(missed), planFile);

/** Throws budget-not-kept or budget-not-confirmed, with the plan written to `planFile`, where a limit is missed. */
export const keepsBudgetOrThrow = (found: CalibrateFileResult, planFile: string): void => {
  const { missed } = found.report;
  if (missed.length === 0) return;
  writePlanFile(planFile, found);
  throw new CompileError(missedBudget(missed, planFile));
};

/** Calibrates and writes the plan. What is not kept of the budget, and an interrupt, are told beside it. */
export const calibrateToFile = async (
  request: CalibrateFileRequest & { readonly output: string },
  watch: Watch,
): Promise<CalibrateFileResult> => {
  checkPlanPlace(request.output, request.input);
  const stateFile = stateFileOf(request.output);
  const found = await calibrateFile({ ...request, stateFile }, watch);
  writePlanFile(request.output, found);
  const { missed, interrupted } = found.report;
  if (!interrupted) rmSync(stateFile, { force: true });
  const told = [
    ...(interrupted ? [say.calibrationInterrupted(request.output, stateFile)] : []),
    ...(missed.length > 0 ? [missedBudget(missed, request.output)] : []),
  ];
  return { ...found, diagnostics: [...found.diagnostics, ...told] };
};
