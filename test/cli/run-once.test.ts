/** The run before success: what it notices in a result, and what it does where the original does not run either. */
import { readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { describe, expect, test } from 'vitest';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import type { Model } from '../../src/graph/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { crashReport } from '../../src/crash.ts';
import { PassError } from '../../src/rewrite/pass.ts';
import { loadRuntime, type Runtime } from '../../src/runtime/session.ts';
import { numbersOf } from '../../src/runtime/tensor-data.ts';
import { runOnce } from '../../src/validate/run-once.ts';
import { syntheticInputs } from '../../src/validate/synthetic-inputs.ts';
import { modelOf, type ModelText } from '../support/model-text.ts';
import { emptyFolder, models } from './run-cli.ts';

const runtime = async (): Promise<Runtime> => {
  const { runtime: found } = await loadRuntime();
  if (found === undefined) throw new Error('no ONNX Runtime');
  return found;
};

const withOutputs = (text: ModelText, outputs: readonly string[]): Model => {
  const model = modelOf(text);
  return { ...model, graph: { ...model.graph, outputs: outputs.map((name) => ({ name, type: { dataType: 1 } })) } };
};

const values = { x: 'f[batch,text]', one: 'f[1]:1', zero: 'f[1]:0' };
const original = withOutputs({ values, nodes: ['y = Add(x, one)'] }, ['y']);

const outcome = async (compiled: Model, source: Model = original): Promise<unknown> => {
  const folder = emptyFolder();
  const paths = [join(folder, 'a.onnx'), join(folder, 'b.onnx')] as const;
  writeModel(source, paths[0], { externalData: 'keep' });
  writeModel(compiled, paths[1], { externalData: 'keep' });
  return runOnce(await runtime(), source, ...paths).catch((error: unknown) => {
    if (error instanceof CompileError) return error.diagnostic;
    throw error;
  });
};

describe('a result', () => {
  test('that runs', async () => {
    const sizes = [
      { symbol: 'batch', size: 2 },
      { symbol: 'text', size: 12 },
    ];
    expect(await outcome(original)).toEqual({ ran: true, sizes, outputs: ['y'] });
  });

  test.each<[what: string, nodes: readonly string[], outputs: readonly string[], says: RegExp]>([
    ['of another shape', ['y = Transpose(x) perm=[1,0]'], ['y'], /output "y" the shape \[12, 2\] instead of \[2, 12\]/],
    ['that is not finite', ['y = Div(x, zero)'], ['y'], /values in output "y" that are not finite/],
    ['with another output', ['z = Add(x, one)'], ['z'], /has outputs z instead of y/],
    ['that does not load', ['y = NoSuchOperator(x)'], ['y'], /does not run in ONNX Runtime/],
  ])('%s is refused', async (_, nodes, outputs, says) => {
    const found = await outcome(withOutputs({ values, nodes }, outputs));
    expect(found).toMatchObject({ code: 'validation-failed', severity: 'error' });
    expect((found as { message: string }).message).toMatch(says);
  });

  test('of an original that does not run is not judged', async () => {
    const broken = withOutputs({ values, nodes: ['y = NoSuchOperator(x)'] }, ['y']);
    expect(await outcome(original, broken)).toMatchObject({
      ran: false,
      reason: expect.stringContaining('NoSuchOperator') as string,
    });
  });
});

test('synthetic inputs stay within their tables, and are the same every time', () => {
  const sizes = { batch: 2, text: 12, pixels: 384, regions: 36 };
  const made = syntheticInputs(readModel(models.vilt), sizes);
  if ('cannot' in made) throw new Error(made.cannot);
  const numbers = (name: string): number[] => numbersOf(made.feeds.get(name)!);
  expect(new Set(numbers('attention_mask'))).toEqual(new Set([1]));
  expect(Math.max(...numbers('token_type_ids'))).toBeLessThan(2);
  expect(new Set(numbers('input_ids')).size).toBeGreaterThan(3);
  expect(made.feeds.get('pixel_values')?.dims).toEqual([2, 3, 160, 160]);
  expect(syntheticInputs(readModel(models.vilt), sizes)).toEqual(made);
});

describe('a bug of ours', () => {
  test('names the pass and leaves the graph it was given', () => {
    const told = crashReport(new PassError('fold-shapes', original, 'defined-before-use: "y"'), 'in.onnx');
    expect(told.code).toBe('internal-error');
    expect(told.message).toMatch(/in pass fold-shapes: defined-before-use/);
    const file = /reproducer: (\S+)/.exec(told.notes?.join('\n') ?? '')?.[1] ?? '';
    expect(dirname(file)).toBe(tmpdir());
    expect(readModel(readFileSync(file)).graph.nodes).toHaveLength(1);
    rmSync(file);
  });

  test('outside a pass points at the input', () => {
    const told = crashReport(new TypeError('x is undefined'), 'in.onnx');
    expect(told.message).toMatch(/a bug in pumer-compile [\d.]+: x is undefined/);
    expect(told.notes?.join('\n')).toMatch(/reproducer: in.onnx itself/);
  });
});
