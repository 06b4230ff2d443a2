/**
 * Writes standard operators in a given opset (11 and up), so that passes and function bodies are written once:
 * axes become attributes or inputs, and what an old opset lacks is spelled with what it has.
 * Knows ONNX's operators, not our reducer.
 */
import { DataType, type Attr, type Node, type Tensor, type ValueName } from './model.ts';
import { floatTensor, int64Tensor, intAttr, intsAttr, tensorAttr } from './tensors.ts';

/** One operator to be written. Names of results are chosen by the emitter. */
export interface Emitter {
  readonly opset: number;
  /** Any node; returns its output names. */
  node(
    op: string,
    inputs: readonly ValueName[],
    attrs?: Readonly<Record<string, Attr>>,
    outputs?: number,
    domain?: string,
  ): ValueName[];
  /** A node with one output. */
  op(op: string, inputs: readonly ValueName[], attrs?: Readonly<Record<string, Attr>>): ValueName;
  constant(tensor: Tensor): ValueName;
  int64s(values: readonly number[]): ValueName;
  int64(value: number): ValueName;
  floats(values: readonly number[]): ValueName;
  float(value: number): ValueName;
  unsqueeze(x: ValueName, axes: readonly number[]): ValueName;
  squeeze(x: ValueName, axes: readonly number[]): ValueName;
  /** Starts and ends are int64[1] values or plain numbers; `end` undefined is the end of the axis. */
  slice(x: ValueName, axis: number, start: ValueName | number, end?: ValueName | number, step?: number): ValueName;
  reduce(
    op: 'ReduceSum' | 'ReduceMean' | 'ReduceMax' | 'ReduceMin' | 'ReduceL2',
    x: ValueName,
    axes: readonly number[],
    keepdims: boolean,
  ): ValueName;
  concat(xs: readonly ValueName[], axis: number): ValueName;
  /** Pieces of the given sizes along an axis. */
  split(x: ValueName, axis: number, sizes: readonly number[]): ValueName[];
  cast(x: ValueName, to: DataType): ValueName;
  transpose(x: ValueName, perm: readonly number[]): ValueName;
  /** Shape[axis] as int64[1]. */
  length(x: ValueName, axis: number): ValueName;
  /** TopK over the last axis, sorted; k is int64[1]. */
  topK(x: ValueName, k: ValueName, largest: boolean): { values: ValueName; indices: ValueName };
  /** rows[b, j, :] = x[b, index[b, j], :] for x [B, n, D], index int64 [B, k]. */
  gatherRows(x: ValueName, index: ValueName): ValueName;
  /** Element gather along the last axis of 2-D tensors. */
  gatherElements(x: ValueName, index: ValueName): ValueName;
}

/** An emitter that appends to `nodes`; `fresh` names each result after the operator. */
export const emitterInto = (nodes: Node[], opset: number, fresh: (hint: string) => string): Emitter => {
  const constants = new Map<string, ValueName>();
  const shared = (key: string, make: () => Tensor): ValueName => {
    const known = constants.get(key);
    if (known !== undefined) return known;
    const name = self.constant(make());
    constants.set(key, name);
    return name;
  };
  const axesNode = (
    op: string,
    x: ValueName,
    axes: readonly number[],
    inputFrom: number,
    attrs: Record<string, Attr>,
  ) =>
    opset >= inputFrom
      ? self.op(op, [x, self.int64s(axes)], attrs)
      : self.op(op, [x], { ...attrs, axes: intsAttr(axes) });
  const bound = (v: ValueName | number): ValueName => (typeof v === 'number' ? self.int64s([v]) : v);

  const self: Emitter = {
    opset,
    node: (op, inputs, attrs = {}, outputs = 1, domain = '') => {
      const names = Array.from({ length: outputs }, (_, i) => fresh(i === 0 ? op : `${op}_${i}`));
      nodes.push({ name: names[0] ?? fresh(op), op, domain, inputs, outputs: names, attrs, captures: [] });
      return names;
    },
    op: (op, inputs, attrs) => self.node(op, inputs, attrs)[0] as ValueName,
    constant: (tensor) => self.op('Constant', [], { value: tensorAttr(tensor) }),
    int64s: (values) => shared(`i[${values.join()}]`, () => int64Tensor([values.length], values)),
    int64: (value) => shared(`i${value}`, () => int64Tensor([], [value])),
    floats: (values) => shared(`f[${values.join()}]`, () => floatTensor([values.length], values)),
    float: (value) => shared(`f${value}`, () => floatTensor([], [value])),
    unsqueeze: (x, axes) => axesNode('Unsqueeze', x, axes, 13, {}),
    squeeze: (x, axes) => axesNode('Squeeze', x, axes, 13, {}),
    slice: (x, axis, start, end, step = 1) =>
      self.op('Slice', [
        x,
        bound(start),
        bound(end ?? Number.MAX_SAFE_INTEGER),
        self.int64s([axis]),
        ...(step === 1 ? [] : [self.int64s([step])]),
      ]),
    reduce: (op, x, axes, keepdims) =>
      axesNode(op, x, axes, op === 'ReduceSum' ? 13 : 18, { keepdims: intAttr(keepdims ? 1 : 0) }),
    concat: (xs, axis) => (xs.length === 1 ? (xs[0] as ValueName) : self.op('Concat', xs, { axis: intAttr(axis) })),
    split: (x, axis, sizes) =>
      opset >= 13
        ? self.node('Split', [x, self.int64s(sizes)], { axis: intAttr(axis) }, sizes.length)
        : self.node('Split', [x], { axis: intAttr(axis), split: intsAttr(sizes) }, sizes.length),
    cast: (x, to) => self.op('Cast', [x], { to: intAttr(to) }),
    transpose: (x, perm) => self.op('Transpose', [x], { perm: intsAttr(perm) }),
    length: (x, axis) => self.op('Gather', [self.op('Shape', [x]), self.int64s([axis])], { axis: intAttr(0) }),
    topK: (x, k, largest) => {
      const [values, indices] = self.node(
        'TopK',
        [x, k],
        { axis: intAttr(-1), largest: intAttr(largest ? 1 : 0), sorted: intAttr(1) },
        2,
      );
      return { values: values as ValueName, indices: indices as ValueName };
    },
    gatherRows: (x, index) => {
      if (opset >= 12) return self.op('GatherND', [x, self.unsqueeze(index, [2])], { batch_dims: intAttr(1) });
      // Opset 11 has no batch_dims: pair every index with its row of the batch.
      const batch = self.op('Range', [self.int64(0), self.squeeze(self.length(x, 0), [0]), self.int64(1)]);
      const rows = self.op('Expand', [self.unsqueeze(batch, [1]), self.op('Shape', [index])]);
      return self.op('GatherND', [x, self.concat([self.unsqueeze(rows, [2]), self.unsqueeze(index, [2])], 2)]);
    },
    gatherElements: (x, index) => self.op('GatherElements', [x, index], { axis: intAttr(1) }),
  };
  return self;
};
