/**
 * The recorded cases of golden/, in ONNX's backend-test layout, through the library and ONNX Runtime. A folder with a
 * case.json is a case; golden/make.py writes them and says where they come from.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onnx } from 'onnx-proto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { compile, type CompileOptions } from '../../src/index.ts';
import { loadRuntime, type Runtime } from '../../src/runtime/session.ts';
import { elementsOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { distance, scaleOf } from '../conformance/compare.ts';

interface GoldenCase {
  readonly kind: 'identity' | 'parity' | 'refused';
  /** Relative to the case's folder; `model.onnx` beside it where absent. */
  readonly model?: string;
  readonly origin: string;
  readonly options: CompileOptions;
  /** identity: share of the outputs' scale; parity: share of the effect. */
  readonly tolerance?: { readonly share_of_scale?: number; readonly share_of_effect?: number };
  /** parity: how far the reduction itself moves the output. */
  readonly effect?: { readonly max: number };
  /** refused: the diagnostic's code. */
  readonly code?: string;
}

const golden = fileURLToPath(new URL('../../golden/', import.meta.url));
const cases = readdirSync(golden).filter((name) => existsSync(join(golden, name, 'case.json')));

const readTensor = (path: string): [string, TensorData] => {
  const proto = onnx.TensorProto.decode(readFileSync(path));
  const data = elementsOf(proto.dataType, proto.rawData);
  if (data === undefined) throw new Error(`${path}: no elements`);
  return [proto.name, { dataType: proto.dataType, dims: proto.dims.map(Number), data }];
};
const readTensors = (folder: string, prefix: string): Map<string, TensorData> => {
  const files = readdirSync(folder).filter((name) => name.startsWith(prefix));
  return new Map(files.map((name) => readTensor(join(folder, name))));
};

const out = mkdtempSync(join(tmpdir(), 'pumer-golden-'));
afterAll(() => rmSync(out, { recursive: true, force: true }));

let runtime: Runtime;
beforeAll(async () => {
  const load = await loadRuntime();
  if (load.runtime === undefined) throw new Error(load.reason.message);
  runtime = load.runtime;
});

describe('golden', () => {
  it('holds ViLT and METER parity, identity and a refused case', () => {
    const kinds = cases.map(
      (name) => `${name} ${(JSON.parse(readFileSync(join(golden, name, 'case.json'), 'utf8')) as GoldenCase).kind}`,
    );
    for (const wanted of [/^vilt-.* parity$/, /^meter-.* parity$/, / identity$/, / refused$/]) {
      expect(kinds.some((kind) => wanted.test(kind))).toBe(true);
    }
  });

  it.each(cases)('%s', async (name) => {
    const folder = join(golden, name);
    const test = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as GoldenCase;
    const model = join(folder, test.model ?? 'model.onnx');
    if (test.kind === 'refused') {
      const error = await compile(model, test.options).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(CompileError);
      expect((error as CompileError).diagnostic.code).toBe(test.code);
      return;
    }
    const path = join(out, `${name}.onnx`);
    (await compile(model, test.options)).write(path);
    const session = await runtime.open(path, { threads: 1 });
    try {
      for (const set of readdirSync(folder).filter((entry) => entry.startsWith('test_data_set_'))) {
        const results = await session.run(readTensors(join(folder, set), 'input_'));
        for (const [output, expected] of readTensors(join(folder, set), 'output_')) {
          const own = results.get(output);
          expect(own).toBeDefined();
          const error = distance(own as TensorData, expected).max;
          const { share_of_scale: ofScale = 0, share_of_effect: ofEffect = 0 } = test.tolerance ?? {};
          expect(error).toBeLessThanOrEqual(
            test.kind === 'parity' ? ofEffect * (test.effect?.max ?? 0) : ofScale * scaleOf(expected),
          );
        }
      }
    } finally {
      await session.release();
    }
  });
});
