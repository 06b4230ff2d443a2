/**
 * `validate` from files to figures: reads the models and the samples, opens the sessions, compares, judges. Prints
 * nothing and writes nothing.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-validate.ts';
import type { Watch } from './watch.ts';
import type { CompileRequest } from '../flags/compile.ts';
import type { ValidateRequest } from '../flags/validate.ts';
import { UsageError } from '../flags/usage-error.ts';
import type { Model } from '../graph/model.ts';
import { chosenOutput } from '../metrics/chosen-output.ts';
import { readModel } from '../onnx/read.ts';
import { callsReducer } from '../reduction/token-reduce/calls.ts';
import type { Validation } from '../report/table.ts';
import type { ValidationReport } from '../report/validation.ts';
import { reducersHere } from '../runtime/kernels.ts';
import { loadRuntime, type Runtime, type Session } from '../runtime/session.ts';
import { readSamples } from '../samples/read-samples.ts';
import type { SampleSet } from '../samples/sample-set.ts';
import { closest } from '../support/suggest.ts';
import { compareModels } from '../validate/compare-models.ts';
import { gatesOf } from '../validate/gates.ts';
import { comparableModel } from '../validate/signatures.ts';

const defaultRows = 8;

/** The output with the answers; undefined where that is not clear and nothing asks for it. */
const answersOf = (model: Model, { outputName, gates }: ValidateRequest, labelled: boolean): string | undefined => {
  const isAsked = outputName !== undefined || labelled || gates.minAgreement !== undefined;
  try {
    return chosenOutput(model, outputName).name;
  } catch (error) {
    if (isAsked || !(error instanceof CompileError)) throw error;
    return undefined;
  }
};

const checkDemands = ({ other, data, gates }: ValidateRequest, model: Model, set: SampleSet): void => {
  const outputs = model.graph.outputs.map(({ name }) => name);
  for (const name of gates.tolerances.keys())
    if (!outputs.includes(name))
      throw new UsageError(say.outputNameUnknown('--tol', name, outputs, closest(name, outputs)));
  if (gates.maxDrop !== undefined && other === undefined) throw new CompileError(say.accuracyOfOne());
  if (gates.maxDrop !== undefined && !set.labelled) throw new CompileError(say.accuracyWithoutLabels(data));
  if (other === undefined && !set.recorded) throw new CompileError(say.recordedNone(data));
};

/** Throws a CompileError runtime-unavailable. */
const runtimeHere = async (): Promise<Runtime> => {
  const { runtime, reason } = await loadRuntime();
  if (runtime === undefined) throw new CompileError({ ...reason, severity: 'error' });
  return runtime;
};

/**
 * Throws a UsageError, a CompileError where models or samples cannot be compared. A demand that is not met is no error
 * here: the report says so.
 */
export const validateFiles = async (
  request: ValidateRequest,
  { progress, signal }: Watch,
): Promise<ValidationReport> => {
  const { input, other, gates } = request;
  progress(`reading ${input}`);
  const first = readModel(input);
  const second = other === undefined ? undefined : readModel(other);
  const model =
    other === undefined || second === undefined
      ? first
      : comparableModel({ file: input, model: first }, { file: other, model: second });
  const runtime = await runtimeHere();
  const { limit, threads } = request;
  const set = await readSamples(request.data, model, { ...(limit !== undefined && { limit }), signal, progress });
  checkDemands(request, model, set);
  const answers = answersOf(model, request, set.labelled);
  const candidate = other ?? input;
  const hasReducers = callsReducer(second ?? first);
  const kernels = hasReducers ? await loadRuntime('fused') : undefined;
  const opened: Session[] = [];
  const open = async (on: Runtime, path: string): Promise<Session> => {
    progress(`loading ${path}`);
    const session = await on.open(path, threads === undefined ? {} : { threads });
    opened.push(session);
    return session;
  };
  const start = performance.now();
  try {
    const rows = request.batch ?? (set.recorded ? Infinity : defaultRows);
    const compared = await compareModels(
      {
        ...(other !== undefined && { reference: await open(runtime, input) }),
        candidate: await open(runtime, candidate),
        ...(kernels?.runtime !== undefined && { fused: await open(kernels.runtime, candidate) }),
      },
      set,
      { rows, ...gates, ...(answers !== undefined && { answers }), signal, progress },
    );
    const { recorded, labelled } = set;
    return {
      reference: other === undefined ? null : input,
      candidate,
      data: { path: request.data, samples: set.count, labelled, recorded },
      batch: Number.isFinite(rows) ? rows : null,
      runtime: runtime.version,
      ...compared,
      reducers: hasReducers ? reducersHere() : null,
      gates: gatesOf(compared, gates, answers),
      milliseconds: performance.now() - start,
    };
  } finally {
    await Promise.all(opened.map((session) => session.release()));
  }
};

/** A compiled model beside its original on samples, as compiling tells it. Throws a CompileError where it is not finite. */
export const validatedOn = async (
  data: string,
  { input, display, calibration }: CompileRequest,
  compiled: string,
  watch: Watch,
): Promise<Validation> => {
  const limit = calibration?.limit;
  const report = await validateFiles(
    {
      command: 'validate',
      input,
      other: compiled,
      data,
      gates: { tolerances: new Map() },
      ...(limit !== undefined && { limit }),
      ...(calibration?.outputName !== undefined && { outputName: calibration.outputName }),
      display,
    },
    watch,
  );
  const failed = report.gates.filter(({ passed }) => !passed);
  if (failed.length > 0)
    throw new CompileError(
      say.validationGate(
        input,
        failed.map(({ message }) => message),
      ),
    );
  const answers = report.outputs.find((o) => o.agreement !== null)?.agreement ?? null;
  return {
    status: 'passed',
    inputs: 'data',
    data,
    samples: report.data.samples,
    agreement: answers,
    drop: report.accuracy?.drop ?? null,
    outputs: report.outputs.map(({ output }) => output),
    runtime: report.runtime,
  };
};
