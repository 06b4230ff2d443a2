/**
 * Rewrites float models as quantisers and converters do: dynamic int8, QDQ, float16 inside. Only for tests; weights
 * are small enough to be read.
 */
import { DataType, type Model, type Node, type Tensor, type ValueName } from '../../src/graph/model.ts';
import { floatTensor, intAttr, readNumbers } from '../../src/graph/tensors.ts';
import { constantTensor } from '../../src/graph/uses.ts';

const bytes = (array: ArrayBufferView): Tensor['payload'] => {
  const raw = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  return { length: raw.length, read: () => raw };
};

const node = (
  op: string,
  inputs: readonly ValueName[],
  outputs: readonly ValueName[],
  more: Partial<Node> = {},
): Node => ({
  name: `node_${outputs[0]}`,
  op,
  domain: '',
  inputs,
  outputs,
  attrs: {},
  captures: [],
  ...more,
});

const withNodes = (model: Model, nodes: readonly Node[], constants: ReadonlyMap<ValueName, Tensor>): Model => ({
  ...model,
  opsets: new Map([...model.opsets, ['com.microsoft', 1]]),
  graph: { ...model.graph, nodes, constants: new Map([...model.graph.constants, ...constants]), annotations: [] },
});

/** Every product by constant weights on uint8, one DynamicQuantizeLinear for all that read one value. */
export const dynamicallyQuantised = (model: Model): Model => {
  const constants = new Map<ValueName, Tensor>();
  const quantised = new Set<ValueName>();
  const nodes = model.graph.nodes.flatMap((n): readonly Node[] => {
    const [x = '', w = ''] = n.inputs;
    const [y = ''] = n.outputs;
    const weights = n.op === 'MatMul' ? constantTensor(model, w) : undefined;
    const numbers = weights && readNumbers(weights);
    if (weights === undefined || numbers === undefined) return [n];
    const scale = Math.max(...numbers.map(Math.abs)) / 127;
    const rounded = Uint8Array.from(numbers, (v) => Math.round(v / scale) + 128);
    constants.set(`${y}/weights`, { dataType: DataType.UINT8, dims: weights.dims, payload: bytes(rounded) });
    constants.set(`${y}/zero`, { dataType: DataType.UINT8, dims: [], payload: bytes(Uint8Array.of(128)) });
    constants.set(`${y}/scale`, floatTensor([], [scale]));
    const first = quantised.has(x)
      ? []
      : [node('DynamicQuantizeLinear', [x], [`${x}/quantised`, `${x}/scale`, `${x}/zero`])];
    quantised.add(x);
    return [
      ...first,
      node('MatMulInteger', [`${x}/quantised`, `${y}/weights`, `${x}/zero`, `${y}/zero`], [`${y}/integers`]),
      node('Cast', [`${y}/integers`], [`${y}/floats`], { attrs: { to: intAttr(DataType.FLOAT) } }),
      node('Mul', [`${x}/scale`, `${y}/scale`], [`${y}/scales`]),
      node('Mul', [`${y}/floats`, `${y}/scales`], [y]),
    ];
  });
  return withNodes(model, nodes, constants);
};

export interface Steps {
  readonly scale: number;
  readonly zero: number;
  readonly type: DataType;
}

/** QuantizeLinear and DequantizeLinear behind every value that `stepsOf` says something of. */
export const quantisedWith = (model: Model, stepsOf: (node: Node) => Steps | undefined): Model => {
  const constants = new Map<ValueName, Tensor>();
  const renamed = new Map<ValueName, ValueName>();
  const outputs = new Set(model.graph.outputs.map((o) => o.name));
  const nodes = model.graph.nodes.flatMap((n): readonly Node[] => {
    const now = { ...n, inputs: n.inputs.map((v) => renamed.get(v) ?? v) };
    const [y = ''] = n.outputs;
    const steps = outputs.has(y) ? undefined : stepsOf(n);
    if (steps === undefined) return [now];
    const { scale, zero, type } = steps;
    const wide = type === DataType.INT16;
    const array = wide ? Int16Array.of(zero) : type === DataType.INT8 ? Int8Array.of(zero) : Uint8Array.of(zero);
    constants.set(`${y}/scale`, floatTensor([], [scale]));
    constants.set(`${y}/zero`, { dataType: type, dims: [], payload: bytes(array) });
    renamed.set(y, `${y}/floats`);
    const domain = wide ? 'com.microsoft' : '';
    return [
      now,
      node('QuantizeLinear', [y, `${y}/scale`, `${y}/zero`], [`${y}/integers`], { domain }),
      node('DequantizeLinear', [`${y}/integers`, `${y}/scale`, `${y}/zero`], [`${y}/floats`], { domain }),
    ];
  });
  return withNodes(model, nodes, constants);
};
