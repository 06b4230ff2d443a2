/**
 * One recipe judged: the model against the interpreter, the compiler with nothing to remove against the model, the
 * compiled model against the interpreter with its lanes shortened. Reports; asserts nothing.
 */
import { compileModel } from '../../src/compile.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import type { Model } from '../../src/graph/model.ts';
import { resolveOptions, type CompileOptions } from '../../src/options.ts';
import type { Runtime } from '../../src/runtime/session.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { sameBits } from '../conformance/compare.ts';
import { feedsOfRecipe, modelOfRecipe } from './graph.ts';
import { interpret, type RowResult } from './interpreter.ts';
import { mustRefuse } from './random-recipe.ts';
import { nameOf, type Recipe } from './recipe.ts';

export type Verdict =
  | { readonly kind: 'right'; readonly effect: number; readonly off: number }
  | { readonly kind: 'refused'; readonly code: string; readonly why: string }
  /** A decision too close to call in float32: another seed serves as well. */
  | { readonly kind: 'near tie' }
  | { readonly kind: 'wrong'; readonly what: string };

/** Differences below this, as a share of an output's scale, are rounding. */
const rounding = 3e-4;
/** Decisions closer than this may go either way in float32. */
const clear = 2e-5;

type Outputs = ReadonlyMap<string, TensorData>;

const run = async (runtime: Runtime, model: Model, feeds: Outputs): Promise<Outputs> => {
  const session = await runtime.open(encodeModel(model), { threads: 1, optimize: 'disabled' });
  try {
    return await session.run(feeds);
  } finally {
    await session.release();
  }
};

interface Comparison {
  /** The largest difference as a share of the output's scale; Infinity for another size or no number. */
  readonly off: number;
  readonly where: string;
}

const compare = (recipe: Recipe, outputs: Outputs, rows: readonly RowResult[]): Comparison => {
  let worst: Comparison = { off: 0, where: '' };
  recipe.outputs.forEach((head, i) => {
    const name = nameOf(head, i);
    const found = numbersOf(outputs.get(name)!);
    const expected = rows.flatMap((row) => row.outputs[i]!);
    const scale = Math.max(1e-3, ...expected.map(Math.abs));
    if (found.length !== expected.length)
      worst = { off: Infinity, where: `${name} has ${found.length} numbers, expected ${expected.length}` };
    else
      expected.forEach((v, at) => {
        const difference = Math.abs(v - found[at]!) / scale;
        if (!(difference <= worst.off))
          worst = {
            off: Number.isNaN(difference) ? Infinity : difference,
            where: `${name}[${at}] of ${expected.length}: ${found[at]}, expected ${v}`,
          };
      });
  });
  return worst;
};

const compiled = (model: Model, options: CompileOptions): Model | CompileError => {
  try {
    return compileModel(model, resolveOptions(options)).model;
  } catch (error) {
    if (error instanceof CompileError) return error;
    throw error;
  }
};

export const judge = async (runtime: Runtime, recipe: Recipe): Promise<Verdict> => {
  const wrong = (what: string): Verdict => ({ kind: 'wrong', what });
  const model = modelOfRecipe(recipe);
  const feeds = feedsOfRecipe(recipe, model);
  const batch = Array.from({ length: recipe.batch }, (_, b) => b);
  const original = await run(runtime, model, feeds);
  const plain = batch.map((b) => interpret(recipe, [], b));
  if (recipe.poison === undefined) {
    const { off, where } = compare(recipe, original, plain);
    if (!(off < rounding)) return wrong(`the model itself is not what the recipe says: ${where}`);
  }

  const same = compiled(model, { keep: 1, mergeText: 0 });
  if (same instanceof CompileError) return wrong(`refused with nothing to remove: ${same.message}`);
  const unchanged = await run(runtime, same, feeds);
  for (const [name, tensor] of original)
    if (!sameBits(tensor, unchanged.get(name)!)) return wrong(`--keep 1 changes ${name}`);

  const reason = mustRefuse(recipe);
  const short = compiled(model, { plan: { schema_version: 1, ...recipe.plan }, outputs: 'restore' });
  if (short instanceof CompileError)
    return reason === undefined
      ? wrong(`refused: ${short.diagnostic.code}: ${short.message}`)
      : { kind: 'refused', code: short.diagnostic.code, why: reason };
  if (reason !== undefined) return wrong(`compiled, although it must be refused: ${reason}`);
  const rows = batch.map((b) => interpret(recipe, recipe.plan.sites, b));
  const outputs = await run(runtime, short, feeds);
  const { off, where } = compare(recipe, outputs, rows);
  if (off < rounding) return { kind: 'right', off, effect: compare(recipe, outputs, plain).off };
  if (rows.some((row) => row.margin < clear)) return { kind: 'near tie' };
  return wrong(
    `the compiled model is not the shortened one: ${where} (margin ${Math.min(...rows.map((r) => r.margin))})`,
  );
};
