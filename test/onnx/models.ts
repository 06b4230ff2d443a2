/** Small models and hand-made protobuf bytes for the codec's tests. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { CompileError, type Diagnostic } from '../../src/diagnostics/diagnostic.ts';
import { DataType, type Graph, type Model, type Node, type Tensor } from '../../src/graph/model.ts';
import { floatTensor, int64Tensor } from '../../src/graph/tensors.ts';

const folders: string[] = [];

/** An empty folder, removed after the test file. */
export const temporaryFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'pumer-onnx-'));
  folders.push(folder);
  return folder;
};
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

/** What a call refuses with; fails on success and on any other error. */
export const refusal = (call: () => unknown): Diagnostic => {
  try {
    call();
  } catch (error) {
    if (error instanceof CompileError) return error.diagnostic;
    throw error;
  }
  throw new Error('nothing was refused');
};

/** Reproducible numbers in [0, 1). */
export const random = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
};

export const node = (op: string, inputs: string[], outputs: string[], extra: Partial<Node> = {}): Node => ({
  name: `/${op}/${outputs[0]}`,
  op,
  domain: '',
  inputs,
  outputs,
  attrs: {},
  captures: [],
  ...extra,
});

export const weights = (rows: number, columns: number, seed: number): Tensor => {
  const next = random(seed);
  return floatTensor(
    [rows, columns],
    Array.from({ length: rows * columns }, () => next() - 0.5),
  );
};

/** y = MatMul(MatMul(x, w1), w2) + b, reshaped: two large tensors, small ones, a Constant node and every plain attribute. */
export const smallModel = (graph: Partial<Graph> = {}, model: Partial<Model> = {}): Model => ({
  irVersion: 8,
  opsets: new Map([
    ['', 17],
    ['ai.pumer', 1],
  ]),
  functions: [],
  metadata: new Map([['made by', 'a test']]),
  ...model,
  graph: {
    name: 'small',
    nodes: [
      node('MatMul', ['x', 'w1'], ['h1']),
      node('MatMul', ['h1', 'w2'], ['h2']),
      node('Add', ['h2', 'b'], ['h3']),
      node('Constant', [], ['shape'], {
        attrs: { value: { kind: 'tensor', value: int64Tensor([2], [-1, 8]) } },
      }),
      node('Reshape', ['h3', 'shape'], ['y'], {
        attrs: {
          allowzero: { kind: 'int', value: 0 },
          alpha: { kind: 'float', value: 0.1 },
          mode: { kind: 'string', value: 'größe' },
          axes: { kind: 'ints', value: [1, -1, 2 ** 63] },
          scales: { kind: 'floats', value: [0.5, Infinity] },
          names: { kind: 'strings', value: ['a', ''] },
        },
      }),
    ],
    inputs: [{ name: 'x', type: { dataType: DataType.FLOAT, dims: ['batch', 20, null] } }],
    outputs: [{ name: 'y', type: { dataType: DataType.FLOAT, dims: ['rows', 8] } }],
    constants: new Map([
      ['w1', weights(32, 48, 1)],
      ['w2', weights(48, 16, 2)],
      [
        'b',
        floatTensor(
          [16],
          Array.from({ length: 16 }, (_, i) => i),
        ),
      ],
    ]),
    annotations: [{ name: 'h1', type: { dataType: DataType.FLOAT } }],
    ...graph,
  },
});

// Protobuf by hand.

export const varint = (value: number, padding = 0): number[] => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  bytes.push(rest);
  for (let i = 0; i < padding; i++) {
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 0x80;
    bytes.push(0);
  }
  return bytes;
};

export const message = (...parts: (Uint8Array | number[])[]): Uint8Array =>
  Buffer.concat(parts.map((p) => Uint8Array.from(p)));

export const text = (value: string): Uint8Array => Buffer.from(value, 'utf8');

/** A length-delimited field. */
export const field = (number: number, content: Uint8Array | number[]): Uint8Array =>
  message(varint(number * 8 + 2), varint(content.length), content);

/** A varint field. */
export const number = (id: number, value: number, padding = 0): Uint8Array =>
  message(varint(id * 8, padding), varint(value, padding));

export const fixed32 = (id: number, bytes: number[]): Uint8Array => message(varint(id * 8 + 5), bytes);
