/**
 * A graph being written: nodes in order, constants as this exporter keeps them, and the operators whose form depends
 * on the opset. Knows ONNX, no models; decides nothing.
 */
import { DataType, type Attr, type GraphValue, type Model, type Node, type Tensor } from '../../src/graph/model.ts';
import { floatAttr, floatTensor, int64Tensor, intAttr, intsAttr, tensorAttr } from '../../src/graph/tensors.ts';

export type Attrs = Readonly<Record<string, number | readonly number[] | { readonly float: number } | Attr>>;

const attrOf = (value: Attrs[string]): Attr => {
  if (typeof value === 'number') return intAttr(value);
  if (Array.isArray(value)) return intsAttr(value as readonly number[]);
  return 'float' in value ? floatAttr(value.float) : (value as Attr);
};

/** "To the end" in a Slice. */
export const toEnd = Number.MAX_SAFE_INTEGER;

export class Sheet {
  readonly opset: number;
  private readonly nodes: Node[] = [];
  private readonly constants = new Map<string, Tensor>();
  private readonly inputs: GraphValue[] = [];
  private readonly constantNodes: boolean;
  private readonly known = new Map<string, string>();
  private count = 0;

  constructor(opset: number, constantNodes: boolean) {
    this.opset = opset;
    this.constantNodes = constantNodes;
  }

  input(name: string, dataType: DataType, dims: readonly (number | string)[]): string {
    this.inputs.push({ name, type: { dataType, dims } });
    return name;
  }

  private fresh(hint: string): string {
    return `${hint}_${this.count++}`;
  }

  many(op: string, inputs: readonly string[], outputs: number, attrs: Attrs = {}): string[] {
    const names = Array.from({ length: outputs }, () => this.fresh(op.toLowerCase()));
    this.nodes.push({
      name: `n_${names[0]}`,
      op,
      domain: '',
      inputs,
      outputs: names,
      attrs: Object.fromEntries(Object.entries(attrs).map(([name, value]) => [name, attrOf(value)])),
      captures: [],
    });
    return names;
  }

  op(op: string, inputs: readonly string[], attrs: Attrs = {}): string {
    return this.many(op, inputs, 1, attrs)[0]!;
  }

  weight(name: string, dims: readonly number[], values: ArrayLike<number>): string {
    if (!this.constants.has(name)) this.constants.set(name, floatTensor(dims, Array.from(values)));
    return name;
  }

  /** A small constant: an initializer shared by all, or a node each time. */
  private small(tensor: Tensor, key: string): string {
    if (this.constantNodes) return this.op('Constant', [], { value: tensorAttr(tensor) });
    const known = this.known.get(key);
    if (known !== undefined) return known;
    const name = this.fresh('val');
    this.constants.set(name, tensor);
    this.known.set(key, name);
    return name;
  }
  ints(values: readonly number[], dims: readonly number[] = [values.length]): string {
    const exact = values.map((v) => (v === toEnd ? 2n ** 63n - 1n : v === -toEnd ? -(2n ** 63n) : BigInt(v)));
    return this.small(int64Tensor(dims, exact), `i${dims.join()}:${values.join()}`);
  }
  int(value: number): string {
    return this.ints([value], []);
  }
  float(value: number): string {
    return this.small(floatTensor([], [value]), `f${value}`);
  }
  floats(dims: readonly number[], values: readonly number[]): string {
    return this.small(floatTensor(dims, values), `f${dims.join()}:${values.join()}`);
  }

  cast(x: string, to: DataType): string {
    return this.op('Cast', [x], { to });
  }
  transpose(x: string, perm: readonly number[]): string {
    return this.op('Transpose', [x], { perm });
  }
  /** `allowzero` as dynamo writes it, where the opset knows it. */
  reshape(x: string, shape: string, allowzero = false): string {
    return this.op('Reshape', [x, shape], this.opset >= 14 ? { allowzero: allowzero ? 1 : 0 } : {});
  }
  private withAxes(op: string, x: string, axes: readonly number[], since: number, attrs: Attrs = {}): string {
    return this.opset >= since ? this.op(op, [x, this.ints(axes)], attrs) : this.op(op, [x], { ...attrs, axes });
  }
  unsqueeze(x: string, axes: readonly number[]): string {
    return this.withAxes('Unsqueeze', x, axes, 13);
  }
  squeeze(x: string, axes: readonly number[]): string {
    return this.withAxes('Squeeze', x, axes, 13);
  }
  reduce(op: 'ReduceMean' | 'ReduceSum' | 'ReduceMax', x: string, axes: readonly number[], keepdims: boolean): string {
    return this.withAxes(op, x, axes, op === 'ReduceSum' ? 13 : 18, { keepdims: keepdims ? 1 : 0 });
  }
  slice(x: string, axis: number, from: string, to: string, step?: number): string {
    return this.op('Slice', [x, from, to, this.ints([axis]), ...(step === undefined ? [] : [this.ints([step])])]);
  }
  split(x: string, axis: number, sizes: readonly number[]): string[] {
    if (this.opset >= 13) return this.many('Split', [x, this.ints(sizes)], sizes.length, { axis });
    return this.many('Split', [x], sizes.length, { axis, split: sizes });
  }
  /** A size of a value as int64[1]: Shape, Gather, Unsqueeze. */
  size(x: string, axis: number): string {
    return this.unsqueeze(this.op('Gather', [this.op('Shape', [x]), this.int(axis)], { axis: 0 }), [0]);
  }

  /** The model; what no output needs is left out, as exporters do. */
  model(outputs: readonly { readonly value: string; readonly name: string }[]): Model {
    for (const { value, name } of outputs)
      this.nodes.push({
        name: `n_${name}`,
        op: 'Identity',
        domain: '',
        inputs: [value],
        outputs: [name],
        attrs: {},
        captures: [],
      });
    const needed = new Set(outputs.map((o) => o.name));
    const nodes = [...this.nodes].reverse().filter((node) => {
      if (!node.outputs.some((o) => needed.has(o))) return false;
      for (const v of node.inputs) needed.add(v);
      return true;
    });
    return {
      irVersion: this.opset > 17 ? 9 : 8,
      opsets: new Map([['', this.opset]]),
      graph: {
        name: 'judged',
        nodes: nodes.reverse(),
        inputs: this.inputs.filter((i) => needed.has(i.name)),
        outputs: outputs.map(({ name }) => ({ name, type: { dataType: DataType.FLOAT } })),
        constants: new Map([...this.constants].filter(([name]) => needed.has(name))),
        annotations: [],
      },
      functions: [],
      metadata: new Map(),
    };
  }
}
