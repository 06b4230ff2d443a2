/**
 * Where a calibration makes and runs models: compiled plans and calibration models are written to a folder of their own,
 * opened on the runtime that is here, and removed again.
 */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Scoring } from './calibrate/session-evaluator.ts';
import type { Losses } from './calibrate/evaluator.ts';
import type { ModelSource } from './calibrate/latency/measure.ts';
import { calibrationModel, type CalibrationChoices, type CalibrationModel } from './calibration-model.ts';
import { compileModel, prepareModel } from './compile.ts';
import { CompileError, newReport } from './diagnostics/diagnostic.ts';
import * as say from './diagnostics/messages-calibrate.ts';
import type { Model } from './graph/model.ts';
import { writeModel } from './onnx/write.ts';
import { resolveOptions, type CompileOptions } from './options.ts';
import { choosePlan, defaultLayers } from './reduction/choose-plan.ts';
import type { ReductionPlan, Semantics } from './reduction/plan.ts';
import type { Runtime, Session } from './runtime/session.ts';
import { temporaryFolder } from './support/temporary-folders.ts';
import { machineHere, machineText } from './timing/machine.ts';

export interface WorkshopOptions {
  readonly model: Model;
  /** The model's file, or its bytes. */
  readonly original: ModelSource;
  readonly runtime: Runtime;
  /** Version of Node. */
  readonly node: string;
  readonly threads?: number;
  /** How everything is compiled, ratios and layers apart. */
  readonly options: Pick<CompileOptions, 'textInput' | 'imageInput' | 'lanes' | 'saliency' | 'outputs'>;
}

export interface Workshop {
  readonly model: Model;
  readonly original: ModelSource;
  /** Processor, versions, what runs the reducers. */
  readonly machine: string;
  readonly threads: number | undefined;
  /** Layers that compiling without a plan reduces. */
  readonly usualLayers: (semantics: Semantics) => readonly number[];
  readonly calibrationModel: (
    choices: Pick<CalibrationChoices, 'semantics' | 'layers' | 'control'>,
  ) => CalibrationModel;
  /** The file of a compiled plan; the original where the plan removes nothing. */
  readonly compiled: (plan: ReductionPlan) => ModelSource;
  /** Removes a file that `compiled` made. */
  readonly discard: (model: ModelSource) => void;
  readonly open: (model: ModelSource) => Promise<Session>;
  readonly openCalibration: (candidate: CalibrationModel) => Promise<Session>;
  /** What a plan loses, compiled as it will run. */
  readonly lossesOf: (
    plan: ReductionPlan,
    scoring: Scoring,
    samples: readonly number[],
    signal?: AbortSignal,
  ) => Promise<Losses>;
  /** What compiling does without ratios, layers or plan. */
  readonly defaultPlan: (semantics: Semantics) => ReductionPlan;
  /** Removes everything that was made. */
  readonly close: () => void;
}

/** Throws a CompileError for a model that cannot be reduced. */
export const openWorkshop = (given: WorkshopOptions): Workshop => {
  const { model, original, runtime, threads } = given;
  const choices = (plan: ReductionPlan): ReturnType<typeof resolveOptions> =>
    resolveOptions({ ...given.options, plan });
  const { hints, saliency, outputs } = resolveOptions(given.options);
  const understanding = prepareModel(model, hints, newReport());
  const folder = temporaryFolder('pumer-calibrate-');
  let made = 0;
  const write = (written: Model): string => {
    const path = join(folder.path, `${made++}.onnx`);
    writeModel(written, path, { externalData: 'keep' });
    return path;
  };
  const open = (source: ModelSource): Promise<Session> =>
    runtime.open(source, { ...(threads !== undefined && { threads }) });
  const discard = (source: ModelSource): void => {
    if (typeof source !== 'string' || !source.startsWith(folder.path)) return;
    for (const path of [source, `${source}.data`]) if (existsSync(path)) rmSync(path);
  };
  const compiled = (plan: ReductionPlan): ModelSource =>
    plan.sites.length === 0 ? original : write(compileModel(model, choices(plan)).model);
  return {
    model,
    original,
    machine: `${machineText(machineHere(given.node, runtime.version))}, ${say.reducersOn(runtime.ops)}`,
    threads,
    usualLayers: (semantics) => defaultLayers(understanding, semantics),
    calibrationModel: (chosen) => calibrationModel(model, { hints, saliency, outputs, ...chosen }),
    compiled,
    discard,
    open,
    openCalibration: async (candidate) => {
      const path = write(candidate.model);
      try {
        return await open(path);
      } finally {
        discard(path);
      }
    },
    lossesOf: async (plan, scoring, samples, signal) => {
      const source = compiled(plan);
      try {
        const session = await open(source);
        try {
          return await scoring.losses((feeds) => session.run(feeds), samples, signal);
        } finally {
          await session.release();
        }
      } finally {
        discard(source);
      }
    },
    defaultPlan: (semantics) => choosePlan({ semantics }, understanding, newReport()).plan,
    close: folder.remove,
  };
};

/** A runtime with the kernels where they can be used, else without; throws CompileError runtime-unavailable. */
export const runtimeForCalibration = async (): Promise<Runtime> => {
  const { loadRuntime } = await import('./runtime/session.ts');
  const fused = await loadRuntime('fused');
  if (fused.runtime !== undefined) return fused.runtime;
  const { runtime, reason } = await loadRuntime();
  if (runtime === undefined) throw new CompileError({ ...reason, severity: 'error' });
  return runtime;
};
