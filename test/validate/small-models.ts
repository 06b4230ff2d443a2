/** Small models and sample files for validating: one product, a bias, and whatever a test adds. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll } from 'vitest';
import { DataType, type Model } from '../../src/graph/model.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import { writeNpz, type NpyArray } from '../../src/runtime/npz.ts';
import { modelOf } from '../support/model-text.ts';

const folders: string[] = [];
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

export const folderWith = (files: Readonly<Record<string, Uint8Array | string>>): string => {
  const folder = mkdtempSync(join(tmpdir(), 'pumer-validate-'));
  folders.push(folder);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
};

export interface SmallModel {
  /** Of the three answers; the weights are the unit matrix, so logits = x + bias. */
  readonly bias?: readonly number[];
  readonly values?: Readonly<Record<string, string>>;
  readonly nodes?: readonly string[];
  readonly outputs?: readonly string[];
  readonly input?: string;
}

export const smallModel = (small: SmallModel = {}): Model => {
  const { bias = [0, 0, 0], values = {}, nodes = [], outputs = ['logits'], input = 'f[batch,3]' } = small;
  const model = modelOf({
    values: { x: input, unit: 'f[3,3]:1,0,0,0,1,0,0,0,1', bias: `f[3]:${bias.join()}`, ...values },
    nodes: ['product = MatMul(x, unit)', 'logits = Add(product, bias)', ...nodes],
  });
  const typed = outputs.map((name) => ({ name, type: { dataType: DataType.FLOAT } }));
  return { ...model, graph: { ...model.graph, outputs: typed } };
};

export const smallOnnx = (small: SmallModel = {}): Uint8Array => encodeModel(smallModel(small));

const bytesOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

export const rowsOf = (rows: readonly (readonly number[])[]): NpyArray => ({
  dtype: DataType.FLOAT,
  dims: [rows.length, rows[0]?.length ?? 0],
  bytes: bytesOf(Float32Array.from(rows.flat())),
});

export const samplesFile = (rows: readonly (readonly number[])[], labels?: readonly number[]): Uint8Array =>
  writeNpz(
    new Map([
      ['x', rowsOf(rows)],
      ...(labels === undefined
        ? []
        : [
            [
              'labels',
              { dtype: DataType.INT64, dims: [labels.length], bytes: bytesOf(BigInt64Array.from(labels, BigInt)) },
            ] as const,
          ]),
    ]),
  );
