/**
 * Runs a compiled model once before it is called done, beside the original on the same synthetic inputs: it must load
 * and run, give outputs of the same names and shapes, and finite values where the original does. Says nothing of
 * accuracy: the inputs mean nothing.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-cli.ts';
import { DataType, type Model } from '../graph/model.ts';
import type { AssumedSize, UsualSizes } from '../analysis/open-sizes.ts';
import type { Runtime } from '../runtime/session.ts';
import { numbersOf, type TensorData } from '../runtime/tensor-data.ts';
import { syntheticInputs, type SyntheticInputs } from './synthetic-inputs.ts';

export type RunOutcome =
  | { readonly ran: true; readonly sizes: readonly AssumedSize[]; readonly outputs: readonly string[] }
  /** The original fails on every guess at its inputs; nothing is known of the result. */
  | { readonly ran: false; readonly reason: string };

/** Two rows where rows are free, then what pickier models take. */
const guesses: readonly UsualSizes[] = [
  { batch: 2, text: 12, pixels: 384, regions: 36 },
  { batch: 1, text: 12, pixels: 384, regions: 36 },
  { batch: 1, text: 40, pixels: 224, regions: 36 },
  { batch: 1, text: 12, pixels: 224, regions: 49 },
];

type Outputs = ReadonlyMap<string, TensorData>;

const reasonOf = (error: unknown): string => {
  if (!(error instanceof CompileError)) throw error;
  return error.message;
};

/** Runs the original on the first guess it takes. */
const runOriginal = async (
  runtime: Runtime,
  model: Model,
  path: string,
): Promise<{ inputs: SyntheticInputs; outputs: Outputs } | { reason: string }> => {
  let session;
  try {
    session = await runtime.open(path);
  } catch (error) {
    return { reason: reasonOf(error) };
  }
  let reason = '';
  try {
    for (const guess of guesses) {
      const inputs = syntheticInputs(model, guess);
      if ('cannot' in inputs) return { reason: `input "${inputs.cannot}" has a type that cannot be made up` };
      try {
        return { inputs, outputs: await session.run(inputs.feeds) };
      } catch (error) {
        reason ||= reasonOf(error);
      }
      if (inputs.sizes.length === 0) break;
    }
    return { reason };
  } finally {
    await session.release();
  }
};

const floats: ReadonlySet<number> = new Set([DataType.FLOAT, DataType.DOUBLE, DataType.FLOAT16]);

const compare = (original: Outputs, compiled: Outputs): void => {
  const list = (outputs: Outputs): string => [...outputs.keys()].sort().join(', ');
  if (list(original) !== list(compiled)) throw new CompileError(say.compiledOutputs(list(compiled), list(original)));
  for (const [name, was] of original) {
    const is = compiled.get(name) as TensorData;
    const [found, expected] = [`[${is.dims.join(', ')}]`, `[${was.dims.join(', ')}]`];
    if (found !== expected) throw new CompileError(say.compiledShape(name, found, expected));
    if (!floats.has(was.dataType) || !floats.has(is.dataType)) continue;
    const values = numbersOf(is);
    if (numbersOf(was).some((v, i) => Number.isFinite(v) && !Number.isFinite(values[i])))
      throw new CompileError(say.compiledNotFinite(name));
  }
};

/** `model` is the original, both paths are files. Throws a CompileError where only the compiled one fails. */
export const runOnce = async (
  runtime: Runtime,
  model: Model,
  originalPath: string,
  compiledPath: string,
): Promise<RunOutcome> => {
  const original = await runOriginal(runtime, model, originalPath);
  if ('reason' in original) return { ran: false, reason: original.reason };
  let outputs: Outputs;
  try {
    const session = await runtime.open(compiledPath);
    try {
      outputs = await session.run(original.inputs.feeds);
    } finally {
      await session.release();
    }
  } catch (error) {
    throw new CompileError(say.compiledNotRun(reasonOf(error)), { cause: error });
  }
  compare(original.outputs, outputs);
  return { ran: true, sizes: original.inputs.sizes, outputs: [...outputs.keys()] };
};
