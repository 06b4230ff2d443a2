/** A write either happens whole or leaves what was there, and never leaves anything else. */
import { mkdirSync, readFileSync, readdirSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Model, Tensor } from '../../src/graph/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { encodeModel, writeModel } from '../../src/onnx/write.ts';
import { writeTogether } from '../../src/support/files.ts';
import { sliceOf } from '../../src/support/byte-source.ts';
import { refusal, smallModel, temporaryFolder } from './models.ts';

const withTensor = (tensor: Tensor): Model => {
  const model = smallModel();
  return { ...model, graph: { ...model.graph, constants: new Map([...model.graph.constants, ['last', tensor]]) } };
};

/** A folder with an older output pair. */
const older = (): { folder: string; target: string; check: () => void } => {
  const folder = temporaryFolder();
  const target = join(folder, 'out.onnx');
  writeFileSync(target, 'older model');
  writeFileSync(`${target}.data`, 'older data');
  const check = (): void => {
    expect(readdirSync(folder).sort()).toEqual(['out.onnx', 'out.onnx.data']);
    expect(readFileSync(target, 'utf8')).toBe('older model');
    expect(readFileSync(`${target}.data`, 'utf8')).toBe('older data');
  };
  return { folder, target, check };
};

describe('an older output stays whole', () => {
  it('when a tensor cannot be read', () => {
    const { target, check } = older();
    const broken = { length: 5000, read: () => { throw new Error('gone'); } }; // prettier-ignore
    expect(() =>
      writeModel(withTensor({ dataType: 2, dims: [5000], payload: broken }), target, {
        externalData: { file: 'out.onnx.data' },
      }),
    ).toThrow('gone');
    check();
  });

  it('when the input is cut while it is copied', () => {
    const { target, check } = older();
    const input = join(temporaryFolder(), 'in.onnx');
    writeFileSync(input, encodeModel(smallModel()));
    const model = readModel(input);
    truncateSync(input, 2000);
    expect(refusal(() => writeModel(model, target, { externalData: 'inline' })).code).toBe('file-changed');
    check();
  });

  it('when the input is written again while it is in use', () => {
    const { target, check } = older();
    const input = join(temporaryFolder(), 'in.onnx');
    writeFileSync(input, encodeModel(smallModel()));
    const model = readModel(input);
    writeFileSync(input, encodeModel(smallModel({ name: 'renamed' })));
    expect(refusal(() => writeModel(model, target, { externalData: 'inline' })).code).toBe('file-changed');
    check();
  });

  it('when the second file cannot be put in place', () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'data'), 'older data');
    mkdirSync(join(folder, 'model', 'full'), { recursive: true });
    const slices = [sliceOf(Uint8Array.of(1, 2, 3))];
    expect(() =>
      writeTogether([
        { path: join(folder, 'data'), slices },
        { path: join(folder, 'model'), slices },
      ]),
    ).toThrow();
    expect(readdirSync(folder).sort()).toEqual(['data', 'model']);
    expect(readFileSync(join(folder, 'data'), 'utf8')).toBe('older data');
  });

  it('when the model is too large for one file', () => {
    const { target, check } = older();
    const huge = { length: 2 ** 31, read: () => { throw new Error('read'); } }; // prettier-ignore
    const diagnostic = refusal(() =>
      writeModel(withTensor({ dataType: 2, dims: [2 ** 31], payload: huge }), target, { externalData: 'inline' }),
    );
    expect(diagnostic).toMatchObject({ code: 'model-too-large' });
    expect(diagnostic.message).toContain('2.00 GiB');
    check();
  });
});

it('replaces an older output', () => {
  const { folder, target } = older();
  const written = writeModel(smallModel(), target, { externalData: { file: 'out.onnx.data' } });
  expect(readdirSync(folder).sort()).toEqual(['out.onnx', 'out.onnx.data']);
  expect(statSync(target).size).toBe(written.bytes);
  expect(readModel(target).graph.constants.get('w1')?.payload.read()).toEqual(
    new Uint8Array(smallModel().graph.constants.get('w1')?.payload.read() ?? []),
  );
});

describe('refused targets', () => {
  it('a folder', () => {
    expect(refusal(() => writeModel(smallModel(), temporaryFolder(), { externalData: 'keep' })).code).toBe(
      'output-not-file',
    );
  });

  it('a device', () => {
    expect(refusal(() => writeModel(smallModel(), '/dev/null', { externalData: 'keep' })).code).toBe('output-not-file');
  });

  it('a folder that does not exist', () => {
    const diagnostic = refusal(() =>
      writeModel(smallModel(), join(temporaryFolder(), 'no', 'm.onnx'), { externalData: 'keep' }),
    );
    expect(diagnostic.code).toBe('output-not-written');
    expect(diagnostic.message).toMatch(/does not exist/);
  });
});
