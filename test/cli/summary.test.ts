/** The figures of the report, held against what ONNX Runtime's profile shows on inputs of the same sizes. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { countMacs } from '../../src/analysis/macs.ts';
import { usualSizes } from '../../src/analysis/open-sizes.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { compileModel, type Compiled } from '../../src/compile.ts';
import type { Model } from '../../src/graph/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { resolveOptions, type CompileOptions } from '../../src/options.ts';
import { summarise } from '../../src/report/summary.ts';
import { multiplyAdds } from '../../src/runtime/profile.ts';
import { loadRuntime, type Runtime } from '../../src/runtime/session.ts';
import { syntheticInputs } from '../../src/validate/synthetic-inputs.ts';
import { emptyFolder, models } from './run-cli.ts';

const compiled = (path: string, options: CompileOptions = {}): Compiled =>
  compileModel(readModel(path), resolveOptions(options));

/** Multiply-adds of matrix products in one run. */
const measured = async (runtime: Runtime, path: string, model: Model): Promise<number> => {
  const made = syntheticInputs(model, usualSizes);
  if ('cannot' in made) throw new Error(made.cannot);
  const session = await runtime.open(path, { profile: true, optimize: 'disabled' });
  try {
    await session.run(made.feeds);
    return session.profile().reduce((sum, run) => sum + multiplyAdds(run), 0);
  } finally {
    await session.release();
  }
};

/** What the profile does not count. */
const convolutions = (model: Model, symbols: ReadonlyMap<string, number>): number => {
  const { perNode } = countMacs(model, shapesOf(model), symbols);
  return model.graph.nodes.reduce(
    (sum, node) => sum + (node.op === 'Conv' ? (perNode.get(node.outputs[0] ?? '') ?? 0) : 0),
    0,
  );
};

describe('multiply-adds are those of a run', () => {
  test.each<[name: keyof typeof models, options: CompileOptions]>([
    ['vilt', { semantics: 'pumer' }],
    ['vilt', { ops: 'inline', layers: [2], keep: 0.4 }],
    ['meter', { semantics: 'pumer', layers: [0, 2] }],
    ['visualBert', {}],
  ])('%s %o', async (name, options) => {
    const { runtime } = await loadRuntime();
    if (runtime === undefined) throw new Error('no ONNX Runtime');
    const result = compiled(models[name], options);
    const path = join(emptyFolder(), 'out.onnx');
    writeModel(result.model, path, { externalData: 'keep' });
    const { multiplyAdds: told, assumed } = summarise(result);
    const symbols = new Map(assumed.map(({ symbol, size }) => [symbol, size]));
    const original = result.understanding.model;
    expect(told.uncounted).toBe(0);
    expect(await measured(runtime, models[name], original)).toBe(told.before - convolutions(original, symbols));
    expect(await measured(runtime, path, original)).toBe(told.after - convolutions(result.model, symbols));
  });
});

test('sites follow one another and add up to the whole', () => {
  const { sites, tokens, multiplyAdds: whole } = summarise(compiled(models.vilt, { semantics: 'pumer' }));
  for (const [i, site] of sites.entries()) {
    expect(site.image.before).toBe(sites[i - 1]?.image.after ?? tokens.image.before);
    expect(site.text.before).toBe(sites[i - 1]?.text.after ?? tokens.text.before);
    expect([site.image.runtime, site.text.runtime]).toEqual([false, true]);
    expect(site.modelLeft).toBeLessThan(sites[i - 1]?.modelLeft ?? 1);
  }
  expect(tokens.image.after).toBe(sites.at(-1)?.image.after);
  expect(sites.at(-1)?.modelLeft).toBeCloseTo(whole.left, 12);
  expect(whole.left).toBeCloseTo(whole.after / whole.before, 12);
});

test('the reducers written in place cost what the calls do', () => {
  const [called, inline] = (['function', 'inline'] as const).map((ops) => summarise(compiled(models.vilt, { ops })));
  expect(inline).toEqual(called);
});

test('text that stays is told with its length', () => {
  const { sites } = summarise(compiled(models.meter, { semantics: 'safe', layers: [1], keep: 0.5 }));
  expect(sites).toMatchObject([
    { layer: 1, image: { before: 65, runtime: false }, text: { before: 20, after: 20, runtime: false } },
  ]);
});
