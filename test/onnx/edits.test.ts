/** Changed parts are written, untouched parts keep what the compiler does not model. */
import { onnx } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import type { Model, Node } from '../../src/graph/model.ts';
import { floatTensor, int64Tensor, intsAttr } from '../../src/graph/tensors.ts';
import { readModel } from '../../src/onnx/read.ts';
import { encodeModel } from '../../src/onnx/write.ts';
import { node, smallModel } from './models.ts';

/** A model with everything beside the graph: docs, metadata, annotations, training, a function, an If. */
const rich = (): onnx.ModelProto => {
  const proto = onnx.ModelProto.decode(encodeModel(smallModel()));
  const tensorType = (elemType: number) => ({ tensorType: { elemType, shape: { dim: [{ dimValue: 1 }] } } });
  const branch = (constant: number, read: string) => ({
    name: `branch${constant}`,
    initializer: [{ name: 'c', dims: [1], dataType: 1, floatData: [constant] }],
    node: [
      { opType: 'Add', input: [read, 'c'], output: ['inner'] },
      {
        opType: 'If',
        input: ['cond'],
        output: ['deep'],
        attribute: [
          {
            name: 'then_branch',
            type: 5,
            g: { node: [{ opType: 'Identity', input: ['inner'], output: ['d'] }], output: [{ name: 'd' }] },
          },
          {
            name: 'else_branch',
            type: 5,
            g: { node: [{ opType: 'Identity', input: ['b'], output: ['d'] }], output: [{ name: 'd' }] },
          },
        ],
      },
    ],
    output: [{ name: 'deep', type: tensorType(1) }],
  });
  Object.assign(proto, { producerName: 'someone', producerVersion: '1.2', modelVersion: 3, docString: 'doc' });
  proto.trainingInfo = [onnx.TrainingInfoProto.create({ algorithm: { name: 'sgd' } })];
  proto.opsetImport.push(onnx.OperatorSetIdProto.create({ domain: 'my.functions', version: 1 }));
  proto.functions = [
    onnx.FunctionProto.create({
      name: 'Scale',
      domain: 'my.functions',
      input: ['a'],
      output: ['z'],
      attribute: ['alpha'],
      opsetImport: [{ domain: '', version: 17 }],
      docString: 'scales',
      node: [
        { opType: 'Constant', output: ['k'], attribute: [{ name: 'value_float', type: 1, refAttrName: 'alpha' }] },
        { opType: 'Mul', input: ['a', 'k'], output: ['z'] },
      ],
    }),
  ];
  const graph = proto.graph as onnx.GraphProto;
  graph.docString = 'the graph';
  graph.quantizationAnnotation = [onnx.TensorAnnotation.create({ tensorName: 'h1' })];
  graph.initializer.push(onnx.TensorProto.create({ name: 'cond', dims: [], dataType: 9, int32Data: [1] }));
  graph.node.push(
    onnx.NodeProto.create({
      name: 'if',
      opType: 'If',
      domain: 'ai.onnx',
      docString: 'a choice',
      input: ['cond'],
      output: ['chosen'],
      attribute: [
        { name: 'then_branch', type: 5, g: branch(1, 'h3') },
        { name: 'else_branch', type: 5, g: branch(2, 'h2') },
      ],
    }),
  );
  return proto;
};

const open = (proto: onnx.ModelProto): Model => readModel(onnx.ModelProto.encode(proto).finish());
const written = (model: Model): onnx.ModelProto => onnx.ModelProto.decode(encodeModel(model));
const json = (proto: onnx.ModelProto) => onnx.ModelProto.toObject(proto, { longs: String, bytes: String });

const changeNodes = (model: Model, change: (node: Node) => Node): Model => ({
  ...model,
  graph: { ...model.graph, nodes: model.graph.nodes.map(change) },
});

describe('a model with everything', () => {
  const model = open(rich());

  it('is read', () => {
    expect(model.functions).toHaveLength(1);
    expect(model.functions[0]).toMatchObject({
      domain: 'my.functions',
      name: 'Scale',
      attributes: ['alpha'],
      doc: 'scales',
    });
    expect(model.functions[0]?.nodes[0]?.attrs['value_float']?.kind).toBe('reference');
    const choice = model.graph.nodes.at(-1);
    expect(choice?.domain).toBe('');
    expect([...(choice?.captures ?? [])].sort()).toEqual(['b', 'cond', 'h2', 'h3']);
    expect(choice?.attrs['then_branch']?.kind).toBe('body');
  });

  it('comes back the same', () => {
    expect(json(written(model))).toEqual(json(rich()));
  });

  it('keeps doc strings and domain spelling of a node whose wires change', () => {
    const out = written(changeNodes(model, (n) => (n.op === 'If' ? { ...n, outputs: ['other'] } : n)));
    const wanted = rich();
    (wanted.graph?.node?.at(-1) as onnx.NodeProto).output = ['other'];
    expect(json(out)).toEqual(json(wanted));
  });

  it('writes changed attributes and keeps the others', () => {
    const out = written(
      changeNodes(model, (n) =>
        n.op === 'Reshape'
          ? { ...n, attrs: { ...n.attrs, axes: intsAttr([7]), alpha: { kind: 'int', value: -3 } } }
          : n,
      ),
    );
    const attrs = out.graph?.node?.[4]?.attribute ?? [];
    expect(attrs.map((a) => a.name)).toEqual(['allowzero', 'alpha', 'mode', 'axes', 'scales', 'names']);
    expect(attrs[3]?.ints?.map(Number)).toEqual([7]);
    expect([attrs[1]?.type, Number(attrs[1]?.i), attrs[1]?.f]).toEqual([2, -3, 0]);
  });

  it('does not carry an old value along with a new one', () => {
    const out = written(
      changeNodes(model, (n) => {
        const axes = n.attrs['axes'];
        return axes?.kind === 'ints' ? { ...n, attrs: { ...n.attrs, axes: { ...axes, value: [4] } } } : n;
      }),
    );
    expect(out.graph?.node?.[4]?.attribute?.[3]?.ints?.map(Number)).toEqual([4]);
  });

  it('writes metadata, opsets, functions, values and constants that changed', () => {
    const input = model.graph.inputs[0];
    const w1 = model.graph.constants.get('w1');
    if (input === undefined || w1 === undefined) throw new Error('missing');
    const constants = new Map(model.graph.constants);
    constants.set('new', int64Tensor([2], [1, 2]));
    constants.set(
      'large',
      floatTensor(
        [512],
        Array.from({ length: 512 }, () => 1),
      ),
    );
    constants.set('renamed', w1);
    constants.set('w2', { ...w1, payload: floatTensor([1], [5]).payload, dims: [1] });
    const out = written({
      ...model,
      irVersion: 9,
      opsets: new Map([...model.opsets, ['extra', 2], ['', 18]]),
      metadata: new Map([...model.metadata, ['pumer', '{}']]),
      functions: [
        ...model.functions,
        {
          domain: 'ai.pumer',
          name: 'F',
          inputs: ['a'],
          outputs: ['b'],
          attributes: ['k'],
          nodes: [node('Identity', ['a'], ['b'])],
          opsets: new Map([['', 17]]),
          doc: 'what it does',
        },
      ],
      graph: {
        ...model.graph,
        constants,
        inputs: [{ ...input, type: { dataType: 1, dims: [null, 'n', 3] } }],
        annotations: [],
      },
    });
    expect(Number(out.irVersion)).toBe(9);
    expect(out.producerName).toBe('someone');
    expect(out.opsetImport.map((o) => [o.domain, Number(o.version)])).toEqual([
      ['', 18],
      ['ai.pumer', 1],
      ['my.functions', 1],
      ['extra', 2],
    ]);
    expect(out.metadataProps.map((p) => [p.key, p.value])).toEqual([
      ['made by', 'a test'],
      ['pumer', '{}'],
    ]);
    expect(out.functions.map((f) => [f.domain, f.name, f.docString])).toEqual([
      ['my.functions', 'Scale', 'scales'],
      ['ai.pumer', 'F', 'what it does'],
    ]);
    expect(out.graph?.valueInfo).toEqual([]);
    expect(out.graph?.docString).toBe('the graph');
    const tensors = new Map(out.graph?.initializer?.map((t) => [t.name, t]));
    expect([...tensors.keys()]).toEqual(['w1', 'w2', 'b', 'cond', 'new', 'large', 'renamed']);
    expect(tensors.get('large')?.rawData?.length).toBe(2048);
    expect(tensors.get('renamed')?.rawData).toEqual(tensors.get('w1')?.rawData);
    expect([...(tensors.get('w2')?.rawData ?? [])]).toEqual([0, 0, 0xa0, 0x40]);
    expect(tensors.get('w2')?.dims?.map(Number)).toEqual([1]);
    const dims = out.graph?.input?.[0]?.type?.tensorType?.shape?.dim;
    expect(dims?.map((d) => d.dimParam || Number(d.dimValue))).toEqual([0, 'n', 3]);
  });

  it('removes what was removed', () => {
    const out = written({
      ...model,
      functions: [],
      metadata: new Map(),
      graph: { ...model.graph, constants: new Map() },
    });
    expect([out.functions, out.metadataProps, out.graph?.initializer]).toEqual([[], [], []]);
  });
});
