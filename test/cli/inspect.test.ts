/** `pumer-compile inspect`: what it tells of models that compile, that do not, and that have been compiled. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { inspectModel } from '../../src/commands/inspect.ts';
import { readModel } from '../../src/onnx/read.ts';
import { inspectionText } from '../../src/report/inspection.ts';
import { reducersHere } from '../../src/runtime/kernels.ts';
import { modelOf } from '../support/model-text.ts';
import { cli, emptyFolder, models } from './run-cli.ts';

const inspected = (path: string): ReturnType<typeof inspectModel> => inspectModel(readModel(path), 'in.onnx', {});

describe('the facts', () => {
  test('of a single stream', () => {
    const seen = inspected(models.vilt);
    expect(seen).toMatchObject({ opset: 17, compiled: null, refusal: null });
    expect(seen.inputs.map(({ name, feeds }) => [name, feeds])).toEqual([
      ['input_ids', ['text']],
      ['attention_mask', ['mask']],
      ['token_type_ids', ['text']],
      ['pixel_values', ['image']],
    ]);
    expect(seen.attentions[0]).toMatchObject({
      kind: 'joint',
      layer: 0,
      queries: 'text[sequence]+image[101]',
      mask: 'additive -3.4e+38',
      spelling: 'softmax',
    });
    expect(seen.layers.filter((l) => l.isSite).map((l) => l.layer)).toEqual([1, 2, 4]);
    expect(seen.reads).toMatchObject([{ lane: 'text', node: '/m/vilt/pooler/Gather' }]);
  });

  test('of two streams', () => {
    const seen = inspected(models.meter);
    const kinds = new Set(seen.attentions.map((a) => a.kind));
    expect([...kinds].sort()).toEqual(['image', 'image-to-text', 'text', 'text-to-image']);
    expect(seen.layers).toHaveLength(5);
    expect(seen.layers.every((l) => l.faults.length === 0)).toBe(true);
  });

  test('of region features and their types', () => {
    const { inputs, reads } = inspected(models.visualBert);
    expect(inputs.find((i) => i.name === 'visual_token_type_ids')?.feeds).toEqual(['image']);
    expect(inputs.find((i) => i.name === 'visual_attention_mask')?.feeds).toEqual(['mask']);
    expect(reads[0]?.what).toMatch(/text keeps its length/);
  });

  test('of what is refused: why, and what was nearly recognised', () => {
    const seen = inspected(models.clip);
    expect(seen.refusal?.code).toBe('no-cross-modal-layer');
    expect(seen.refusal?.at?.file).toBe('in.onnx');
    expect(seen.attentions.length + seen.nearMisses.length).toBeGreaterThan(0);
    expect(inspectionText(seen)).toContain('error no-cross-modal-layer: in.onnx has');
  });

  test('of outputs that carry tokens, and of masks that are none', () => {
    const values = { ids: 'i[2,6]', regions: 'f[2,5,8]', table: 'f[20,8]:0.1', bias: 'f[2,1,11,11]' };
    const nodes = [
      'words = Gather(table, ids) axis=0',
      'x = Concat(words, regions) axis=1',
      'flat = Unsqueeze(x) axes=[1]',
      'key = Transpose(flat) perm=[0,1,3,2]',
      's = MatMul(flat, key)',
      'm = Add(s, bias)',
      'p = Softmax(m) axis=-1',
      'c = MatMul(p, flat)',
      'r = Squeeze(c) axes=[1]',
      'h = Add(x, r)',
      'y = Erf(h)',
    ];
    const plain = modelOf({ opset: 11, values, nodes });
    const seen = inspectModel({ ...plain, graph: { ...plain.graph, outputs: [{ name: 'y' }] } }, 'in.onnx', {});
    expect(seen.outputs).toEqual([{ name: 'y', shape: '[...]', carries: 'text[6]+image[5]', shortened: true }]);
    expect(seen.attentions.map((a) => a.mask)).toEqual(['not understood']);
    expect(seen.attentions[0]?.maskFault).toContain('"bias"');
    expect(inspectionText(seen)).toMatch(/not understood \(1\)[^]*\n {2}\(1\) .*"bias"/);
  });

  test('of tokens that are lost on the way: the operator, the axis and the reason', () => {
    const values = { ids: 'i[2,6]', regions: 'f[2,5,8]', table: 'f[20,8]:0.1' };
    const nodes = [
      'words = Gather(table, ids) axis=0',
      'x = Concat(words, regions) axis=1',
      'y = com.example.Magic(x)',
    ];
    const plain = modelOf({ opset: 13, values, nodes });
    const seen = inspectModel({ ...plain, graph: { ...plain.graph, outputs: [{ name: 'y' }] } }, 'in.onnx', {});
    expect(seen.losses).toMatchObject([{ op: 'Magic', lane: null, axis: 1 }]);
    expect(inspectionText(seen)).toContain('where tokens are followed to');
    expect(seen.refusal?.code).toBe('no-cross-modal-layer');
    expect(JSON.stringify(seen.refusal)).toContain('(Magic), axis 1');
  });

  test('of a model that is nothing of the kind', () => {
    const plain = modelOf({ opset: 9, values: { x: 'f[batch,?,4]' }, nodes: ['y = Softmax(x) axis=2'] });
    const seen = inspectModel({ ...plain, graph: { ...plain.graph, outputs: [{ name: 'y' }] } }, 'in.onnx', {});
    expect(seen.refusal?.code).toBe('opset-too-old');
    expect(seen.nearMisses).toMatchObject([{ op: 'Softmax', found: 'a graph input' }]);
    expect(seen.inputs).toEqual([{ name: 'x', type: 'float', shape: '[batch, ?, 4]', feeds: [] }]);
    expect(inspectionText(seen)).toContain('almost attention: 1');
  });
});

describe('the command', () => {
  test('shows the plan of a compiled model, which compiles the original to the same file', () => {
    const folder = emptyFolder();
    expect(cli(folder, [models.vilt, '-o', 'out.onnx', '-q', '--no-validate', '--layers', '1,3']).code).toBe(0);
    const { code, stdout, stderr } = cli(folder, ['inspect', 'out.onnx']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/compiled by pumer-compile \d.* with this plan \(semantics safe\)/);
    expect(stdout).toMatch(/layer +prune +merge +merge text\n +1 +0 +0.3 +0\n +3 +0 +0.3 +0\n/);
    expect(stdout).toContain('text[sequence]+image[71]*');
    expect(stdout).toContain('already compiled');
    const told = JSON.parse(cli(folder, ['inspect', '--json', 'out.onnx']).stdout) as Record<string, unknown>;
    expect(told).toMatchObject({
      schema_version: 1,
      command: 'inspect',
      ok: true,
      compiled: {
        plan: {
          sites: [
            { layer: 1, merge: 0.3 },
            { layer: 3, merge: 0.3 },
          ],
        },
      },
      refusal: { code: 'already-compiled' },
    });
  });

  test('says what the reducers of a compiled model run on here', () => {
    const folder = emptyFolder();
    const none = { PUMER_KERNELS: folder };
    const reducers = (words: readonly string[], env = {}): unknown => {
      const { stdout } = cli(folder, ['inspect', '--json', ...words], env);
      return (JSON.parse(stdout) as { compiled: { reducers: unknown } | null }).compiled?.reducers;
    };
    expect(cli(folder, [models.vilt, '-o', 'out.onnx', '-v', '--no-validate'], none).stderr).toMatch(
      /\] reducers: function body; kernels are not built \(npm run build:kernels\)\n/,
    );
    expect(cli(folder, ['inspect', 'out.onnx'], none).stdout).toContain(
      'reducers: function body; kernels are not built (npm run build:kernels)',
    );
    expect(reducers(['out.onnx'], none)).toMatchObject({ ops: 'portable', why: { code: 'kernels-not-built' } });
    expect(reducers(['out.onnx'])).toEqual(JSON.parse(JSON.stringify(reducersHere())));
    const inline = cli(folder, [models.vilt, '-o', 'inline.onnx', '--ops', 'inline', '-v', '--no-validate'], none);
    expect(inline.stderr).not.toContain('reducers');
    expect(reducers(['inline.onnx'], none)).toBe(null);
    expect(cli(folder, ['inspect', 'inline.onnx'], none).stdout).not.toContain('reducers');
  });

  test('ends with 0 on a refused model and 1 on what cannot be read', () => {
    const folder = emptyFolder();
    writeFileSync(join(folder, 'text.onnx'), 'hello');
    expect(cli(folder, ['inspect', models.clip]).code).toBe(0);
    const unreadable = cli(folder, ['inspect', 'text.onnx']);
    expect(unreadable).toMatchObject({ code: 1, stdout: '' });
    expect(unreadable.stderr).toMatch(/^error not-onnx: text.onnx/);
    expect(JSON.parse(cli(folder, ['inspect', 'none.onnx', '--json']).stdout)).toMatchObject({
      command: 'inspect',
      ok: false,
      exit_code: 1,
    });
    expect(cli(folder, ['inspect', models.vilt, '--image-input', 'pixel_value']).code).toBe(2);
  });
});
