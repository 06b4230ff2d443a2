/** Decoding and encoding lose nothing: bytes of canonical files, fields of all others, unknown fields of both. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onnx } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/graph/model.ts';
import { readModel } from '../../src/onnx/read.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import { field, fixed32, message, number, random, smallModel, text, varint } from './models.ts';

const again = (bytes: Uint8Array): Uint8Array => encodeModel(readModel(bytes), { externalData: 'refer' });

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.from(a).equals(Buffer.from(b));

describe('an untouched model', () => {
  const bytes = encodeModel(smallModel());

  it('comes back byte for byte', () => {
    expect(same(again(bytes), bytes)).toBe(true);
  });

  it('reads as it was built', () => {
    const { graph, ...model } = readModel(bytes);
    const built = smallModel();
    expect(model.irVersion).toBe(8);
    expect([...model.opsets]).toEqual([...built.opsets]);
    expect([...model.metadata]).toEqual([...built.metadata]);
    expect(graph.nodes.map((n) => [n.name, n.op, n.domain, n.inputs, n.outputs])).toEqual(
      built.graph.nodes.map((n) => [n.name, n.op, n.domain, n.inputs, n.outputs]),
    );
    expect(graph.inputs[0]).toMatchObject({ name: 'x', type: { dataType: 1, dims: ['batch', 20, null] } });
    expect(graph.annotations[0]?.type).toEqual({ dataType: 1 });
    for (const [name, tensor] of built.graph.constants) {
      const read = graph.constants.get(name);
      expect(read?.dims).toEqual(tensor.dims);
      expect(read?.payload.length).toBe(tensor.payload.length);
      expect(same(read?.payload.read() ?? new Uint8Array(), tensor.payload.read())).toBe(true);
    }
    const attrs = graph.nodes[4]?.attrs;
    expect(attrs?.['alpha']).toMatchObject({ kind: 'float', value: Math.fround(0.1) });
    expect(attrs?.['mode']).toMatchObject({ kind: 'string', value: 'größe' });
    expect(attrs?.['axes']).toMatchObject({ kind: 'ints', value: [1, -1, 2 ** 63] });
    expect(attrs?.['names']).toMatchObject({ kind: 'strings', value: ['a', ''] });
  });

  it('reads the same through onnx-proto', () => {
    const proto = onnx.ModelProto.decode(bytes);
    const attrs = proto.graph?.node?.[4]?.attribute ?? [];
    expect(attrs.map((a) => [a.name, a.type])).toEqual([
      ['allowzero', 2],
      ['alpha', 1],
      ['mode', 3],
      ['axes', 7],
      ['scales', 6],
      ['names', 8],
    ]);
    expect(attrs[3]?.ints?.map(String)).toEqual(['1', '-1', '9223372036854775807']);
    const raw = proto.graph?.initializer?.[0]?.rawData;
    expect(same(raw ?? new Uint8Array(), smallModel().graph.constants.get('w1')?.payload.read() as Uint8Array)).toBe(
      true,
    );
    expect(proto.graph?.input?.[0]?.type?.tensorType?.shape?.dim?.map((d) => d.dimParam || Number(d.dimValue))).toEqual(
      ['batch', 20, 0],
    );
  });

  it.each([3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13])('keeps IR version %i', (irVersion) => {
    const model = readModel(encodeModel(smallModel({}, { irVersion })));
    expect(model.irVersion).toBe(irVersion);
  });
});

const corpus = fileURLToPath(new URL('../../../shared/corpus', import.meta.url));
const found = process.env['PUMER_CORPUS'] ?? corpus;
const models = existsSync(found)
  ? readdirSync(found, { recursive: true })
      .map(String)
      .filter((name) => name.endsWith('.onnx'))
  : [];
if (models.length === 0) console.log('no corpus of exported models here: its round trips are skipped');

describe.skipIf(models.length === 0)('exported models', () => {
  it.each(models)('%s comes back byte for byte', (name) => {
    const path = join(found, name);
    expect(same(encodeModel(readModel(path), { externalData: 'refer' }), readFileSync(path))).toBe(true);
  });
});

describe('fields we do not know', () => {
  const strange = [field(4000, text('later')), number(3999, 5), fixed32(3998, [1, 2, 3, 4])];
  // Unknown fields go last in each message, where a writer of a newer schema puts its higher numbers.
  const tensor = message(number(1, 400), number(2, 1), field(8, text('w')), field(9, new Uint8Array(1600)), ...strange);
  const attribute = message(field(1, text('value')), field(5, tensor), number(20, 4), ...strange);
  const node = message(field(2, text('y')), field(4, text('Constant')), field(5, attribute), ...strange);
  const value = message(
    field(1, text('y')),
    field(2, message(field(1, message(number(1, 1), ...strange)), ...strange)),
  );
  const graph = message(field(1, node), field(2, text('g')), field(5, tensor), field(12, value), ...strange);
  const opset = message(number(2, 17), ...strange);
  const body = message(field(1, text('f')), field(7, node), field(10, text('d')), ...strange);
  const bytes = message(number(1, 8), field(7, graph), field(8, opset), field(25, body), ...strange);

  it('survive at every level', () => {
    expect(same(again(bytes), bytes)).toBe(true);
  });

  it('survive changes beside them', () => {
    const model = readModel(bytes);
    const changed: Model = {
      ...model,
      irVersion: 9,
      opsets: new Map([['', 18]]),
      graph: {
        ...model.graph,
        name: 'h',
        nodes: model.graph.nodes.map((n) => ({ ...n, name: 'named', attrs: { ...n.attrs } })),
        constants: new Map([...model.graph.constants].map(([, t]) => ['v', t])),
      },
    };
    const out = Buffer.from(encodeModel(changed)).toString('latin1');
    const count = (hay: string): number => hay.split('later').length - 1;
    expect(count(out)).toBe(count(Buffer.from(bytes).toString('latin1')));
    expect(readModel(Buffer.from(out, 'latin1')).graph.constants.get('v')?.payload.length).toBe(1600);
  });
});

describe('encodings no writer of today makes', () => {
  const canonical = encodeModel(smallModel());
  const json = (bytes: Uint8Array): unknown =>
    onnx.ModelProto.toObject(onnx.ModelProto.decode(bytes), { longs: String });
  const value = field(12, field(1, text('y')));
  const node = (...attributes: Uint8Array[]): Uint8Array =>
    field(1, message(field(2, text('y')), field(4, text('Constant')), ...attributes.map((a) => field(5, a))));
  const head = message(number(1, 8), field(8, number(2, 17)));

  /** Fields of a message in another order, lists excepted. */
  const shuffled = (bytes: Uint8Array, seed: number): Uint8Array => {
    const proto = onnx.ModelProto.decode(bytes);
    const parts = [
      number(1, 8, 3),
      field(7, onnx.GraphProto.encode({ ...proto.graph, node: [] }).finish()),
      field(7, onnx.GraphProto.encode({ node: proto.graph?.node ?? [] }).finish()),
      ...proto.opsetImport.map((o) =>
        field(8, message(number(2, Number(o.version), 2), field(1, text(o.domain ?? '')))),
      ),
      ...proto.metadataProps.map((p) => field(14, message(field(2, text(p.value ?? '')), field(1, text(p.key ?? ''))))),
    ];
    const next = random(seed);
    const opsetsFirst = next() < 0.5 ? [...parts.slice(3), ...parts.slice(0, 3)] : parts;
    return message(...opsetsFirst);
  };

  it.each([1, 2, 3, 4])('a graph in two pieces, padded numbers and another order (%i)', (seed) => {
    const bytes = shuffled(canonical, seed);
    expect(json(again(bytes))).toEqual(json(canonical));
  });

  it('an attribute with its tensor in two pieces', () => {
    const first = field(5, message(number(1, 300), number(2, 1), field(4, new Uint8Array(1200).fill(7))));
    const second = field(5, message(number(1, 2), field(4, new Uint8Array(1200).fill(9))));
    const bytes = message(
      head,
      field(7, message(node(message(field(1, text('value')), first, second, number(20, 4))), value)),
    );
    const attr = readModel(bytes).graph.nodes[0]?.attrs['value'];
    expect(attr?.kind === 'tensor' && [...attr.value.payload.read().subarray(1198, 1202)]).toEqual([7, 7, 9, 9]);
    // onnx-proto does not merge the pieces of the input, so it is asked about the output, where they are one.
    const proto = onnx.ModelProto.decode(again(bytes)).graph?.node?.[0]?.attribute?.[0]?.t;
    expect([proto?.dims?.map(Number), proto?.floatData?.length]).toEqual([[300, 2], 600]);
  });

  it('raw data given twice, where the last one stands', () => {
    const t = message(
      number(1, 512),
      number(2, 2),
      field(9, new Uint8Array(2048).fill(1)),
      field(9, new Uint8Array(512).fill(2)),
    );
    const bytes = message(
      head,
      field(7, message(node(message(field(1, text('value')), field(5, t), number(20, 4))), value)),
    );
    const attr = readModel(bytes).graph.nodes[0]?.attrs['value'];
    expect(attr?.kind === 'tensor' && [attr.value.payload.length, attr.value.payload.read()[0]]).toEqual([512, 2]);
  });

  it('two members of a oneof, where the last one stands', () => {
    const dim = field(1, message(field(2, text('n')), number(1, 7)));
    const type = field(2, field(1, message(number(1, 1), field(2, dim))));
    const bytes = message(head, field(7, message(node(), field(12, message(field(1, text('y')), type)))));
    expect(readModel(again(bytes)).graph.outputs[0]?.type?.dims).toEqual([7]);
  });

  it('packed lists where today they are not', () => {
    const ints = message(field(1, text('axes')), field(8, message(varint(1), varint(300))), number(20, 7));
    const bytes = message(head, field(7, message(node(ints), value)));
    expect(readModel(again(bytes)).graph.nodes[0]?.attrs['axes']).toMatchObject({ value: [1, 300] });
  });

  it('groups, and known numbers with another wire type, as unknown fields', () => {
    const group = message(varint(777 * 8 + 3), number(1, 5), varint(777 * 8 + 4));
    const bytes = message(
      number(1, 8),
      field(7, message(node(), value, fixed32(2, [1, 2, 3, 4]))),
      field(8, number(2, 17)),
      group,
    );
    const out = Buffer.from(again(bytes));
    expect(out.includes(Buffer.from(group))).toBe(true);
    expect(out.includes(Buffer.from(fixed32(2, [1, 2, 3, 4])))).toBe(true);
  });

  it('a string attribute whose empty string was left out', () => {
    const bytes = message(head, field(7, message(node(message(field(1, text('mode')), number(20, 3))), value)));
    expect(readModel(bytes).graph.nodes[0]?.attrs['mode']).toMatchObject({ kind: 'string', value: '' });
    expect(again(bytes).length).toBe(bytes.length);
  });

  it('text that is no UTF-8, and signalling NaNs', () => {
    const broken = Uint8Array.from([0x61, 0xff, 0xed, 0xa0, 0x80, 0xc3, 0xa9, 0xe2, 0x82]);
    const nan = message(field(1, text('nan')), fixed32(2, [1, 0, 0xa0, 0x7f]), number(20, 1));
    const bytes = message(
      number(1, 8),
      field(2, broken),
      field(
        7,
        message(
          field(1, message(field(2, broken), field(4, text('Constant')), field(5, nan))),
          field(12, field(1, broken)),
        ),
      ),
      field(8, number(2, 17)),
    );
    expect(same(again(bytes), bytes)).toBe(true);
  });
});
