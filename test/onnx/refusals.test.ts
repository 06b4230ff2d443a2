/** Files that are no models are refused by name; damaged ones never crash or hang the reader. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { readModel } from '../../src/onnx/read.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import { field, message, number, random, refusal, smallModel, temporaryFolder, text, varint } from './models.ts';

const good = encodeModel(smallModel());

const open = (content: Uint8Array | string) => {
  const path = join(temporaryFolder(), 'model.onnx');
  writeFileSync(path, content);
  return refusal(() => readModel(path));
};

describe('at the door', () => {
  it.each<[string, Uint8Array | string, string, RegExp]>([
    ['an empty file', '', 'model-empty', /is empty/],
    [
      'a Git LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n',
      'git-lfs-pointer',
      /LFS/,
    ],
    ['an .ort file', message([24, 0, 0, 0], text('ORTM'), new Uint8Array(40)), 'ort-format', /\.ort/],
    ['a web page', '<!DOCTYPE html>\n<html></html>', 'not-onnx', /a web page/],
    ['a checkpoint', message(text('PK'), [3, 4], new Uint8Array(40)), 'not-onnx', /zip archive/],
    ['a pickle', message([0x80, 2], text('}q')), 'not-onnx', /pickle/],
    ['safetensors', message([80, 0, 0, 0, 0, 0, 0, 0], text('{"weight":{}}')), 'not-onnx', /safetensors/],
    ['JSON', '{"a": 1}', 'not-onnx', /JSON/],
    ['the text form', '<ir_version: 8, opset_import: ["":17]>', 'not-onnx', /text form/],
    ['GGUF', message(text('GGUF'), [3, 0, 0, 0]), 'not-onnx', /GGUF/],
    ['text', 'hello, world, this is a file of text', 'not-onnx', /is not an ONNX model/],
    ['a tensor', message(number(1, 2), number(2, 1), field(9, new Uint8Array(8))), 'not-onnx', /is not an ONNX model/],
    ['other protobuf', message(field(1, text('a')), field(2, text('b'))), 'not-onnx', /is not an ONNX model/],
    ['no graph', message(number(1, 8), field(8, number(2, 17))), 'model-without-graph', /no graph/],
    ['no IR version', message(field(7, field(2, text('g')))), 'model-without-ir-version', /IR version/],
    ['a cut model', good.subarray(0, good.length - 900), 'damaged-model', /past its end/],
    ['a wrong length inside', message(number(1, 8), field(7, message(field(1, [0x0a, 50, 1])))), 'damaged-model', /./],
  ])('%s', (_, content, code, words) => {
    const diagnostic = open(content);
    expect(diagnostic.code).toBe(code);
    expect(diagnostic.message).toMatch(words);
    expect(diagnostic.message).toContain('model.onnx');
    expect(diagnostic.fix).toBeTruthy();
  });

  it('a missing file, a path through a file, and a folder', () => {
    const folder = temporaryFolder();
    expect(refusal(() => readModel(join(folder, 'no.onnx'))).code).toBe('model-missing');
    writeFileSync(join(folder, 'file'), good);
    expect(refusal(() => readModel(join(folder, 'file', 'no.onnx'))).code).toBe('model-missing');
    mkdirSync(join(folder, 'model.onnx'));
    expect(refusal(() => readModel(join(folder, 'model.onnx'))).code).toBe('model-is-folder');
  });

  it('an operator of a domain that is not imported', () => {
    const stranger = { ...smallModel(), opsets: new Map([['', 17]]) };
    const nodes = stranger.graph.nodes.map((n) => (n.op === 'Add' ? { ...n, domain: 'com.example' } : n));
    const diagnostic = open(encodeModel({ ...stranger, graph: { ...stranger.graph, nodes } }));
    expect([diagnostic.code, diagnostic.at?.node]).toEqual(['domain-not-imported', '/Add/h3']);
  });

  it('a device', () => {
    expect(refusal(() => readModel('/dev/null')).code).toBe('model-not-file');
  });
});

describe('malformed protobuf', () => {
  const deep = (levels: number): Uint8Array => {
    let graph = field(2, text('g'));
    for (let i = 0; i < levels; i++) graph = field(1, field(5, field(6, graph)));
    return message(number(1, 8), field(7, graph));
  };

  it.each([
    [
      'a number of eleven bytes',
      message(
        number(1, 8),
        varint(7 * 8),
        Array.from({ length: 11 }, () => 0x80),
      ),
    ],
    ['field number zero', message(number(1, 8), [0x02, 0x00])],
    ['wire type 7', message(number(1, 8), [0x3f])],
    ['a group left open', message(number(1, 8), varint(100 * 8 + 3))],
    ['a group closed by another', message(number(1, 8), varint(100 * 8 + 3), varint(101 * 8 + 4))],
    ['a length of 2^60', message(number(1, 8), varint(58), varint(2 ** 60))],
    [
      '10 000 groups in one another',
      message(number(1, 8), ...Array.from({ length: 10_000 }, () => varint(100 * 8 + 3))),
    ],
    ['1000 graphs in one another', deep(1000)],
  ])('%s', (_, bytes) => {
    expect(refusal(() => readModel(bytes)).code).toBe('damaged-model');
  });

  it('300 seeded mutations and cuts are read or refused', () => {
    const next = random(20_240_607);
    const below = (n: number): number => Math.floor(next() * n);
    // Small, so that most mutations hit structure and not weights.
    const base = encodeModel(smallModel({ constants: new Map([...smallModel().graph.constants].map(([n, t]) => [n, { ...t, dims: [t.payload.length], dataType: 2 }])) })); // prettier-ignore
    const structure = [...Array(700).keys()].map((i) => (i < 350 ? i : base.length - 700 + i));
    let refused = 0;
    for (let round = 0; round < 300; round++) {
      let bytes = Uint8Array.from(base);
      for (let i = 0; i <= below(4); i++) {
        const at = structure[below(structure.length)] ?? 0;
        bytes[at] = next() < 0.5 ? below(256) : (bytes[at] ?? 0) ^ (1 << below(8));
      }
      if (next() < 0.3) bytes = bytes.slice(0, below(bytes.length));
      if (next() < 0.2) bytes = Uint8Array.from([...bytes.subarray(0, 400), ...bytes.subarray(380)]);
      try {
        const model = readModel(bytes, { baseDir: '/nowhere' });
        encodeModel(model);
        for (const tensor of model.graph.constants.values()) tensor.payload.read();
      } catch (error) {
        if (!(error instanceof CompileError)) throw error;
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(50);
    expect(refused).toBeLessThan(300);
  });
});
