/**
 * Small models written as text, for tests: values as `f[batch,8]` (an input) or `i[2]:0,-1` (a constant), nodes as
 * `y = Reshape(x, shape) allowzero=1`. Types: f float, d double, h half, i int64, n int32, u uint8, s int16, c int8, b bool.
 */
import { DataType, type Attr, type GraphValue, type Model, type Node, type Tensor } from '../../src/graph/model.ts';
import { floatTensor, int64Tensor } from '../../src/graph/tensors.ts';

const types: Readonly<Record<string, DataType>> = {
  f: DataType.FLOAT,
  d: DataType.DOUBLE,
  h: DataType.FLOAT16,
  i: DataType.INT64,
  n: DataType.INT32,
  u: DataType.UINT8,
  s: DataType.INT16,
  c: DataType.INT8,
  b: DataType.BOOL,
};

interface Spec {
  readonly dataType: DataType;
  readonly dims: readonly (number | string | null)[];
  readonly values?: readonly number[];
}

const parseSpec = (text: string): Spec => {
  const [, type = '', dims = '', values] = /^(\w)\[([^\]]*)\](?::(.*))?$/.exec(text) ?? [];
  const dataType = types[type];
  if (dataType === undefined) throw new Error(`no value: ${text}`);
  const sizes = dims === '' ? [] : dims.split(',').map((d) => (/^\d+$/.test(d) ? Number(d) : d === '?' ? null : d));
  return {
    dataType,
    dims: sizes,
    ...(values !== undefined && { values: values === '' ? [] : values.split(',').map(Number) }),
  };
};

const payload = (array: ArrayBufferView): Tensor['payload'] => {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  return { length: bytes.length, read: () => bytes };
};

const tensorOf = ({ dataType, dims, values = [] }: Spec): Tensor => {
  const sizes = dims.map(Number);
  const count = sizes.reduce((n, d) => n * d, 1);
  // One number stands for as many as are needed.
  const all = values.length === count ? values : Array.from({ length: count }, () => values[0] ?? 0);
  if (dataType === DataType.FLOAT) return floatTensor(sizes, all);
  if (dataType === DataType.INT64)
    return int64Tensor(
      sizes,
      all.map((v) => (v > 2 ** 60 ? 2n ** 63n - 1n : v < -(2 ** 60) ? -(2n ** 63n) : BigInt(v))),
    );
  const array =
    dataType === DataType.INT32
      ? Int32Array.from(all)
      : dataType === DataType.INT8
        ? Int8Array.from(all)
        : dataType === DataType.INT16
          ? Int16Array.from(all)
          : Uint8Array.from(all);
  return { dataType, dims: sizes, payload: payload(array) };
};

const parseAttr = (text: string): Attr => {
  if (text.startsWith('"')) return { kind: 'string', value: text.slice(1, -1) };
  if (/^\w\[/.test(text)) return { kind: 'tensor', value: tensorOf(parseSpec(text)) };
  const list = /^\[(.*)\]$/.exec(text)?.[1];
  const numbers = (list ?? text)
    .split(',')
    .filter((v) => v !== '')
    .map(Number);
  const isFloat = text.includes('.');
  if (list !== undefined) return { kind: isFloat ? 'floats' : 'ints', value: numbers };
  return { kind: isFloat ? 'float' : 'int', value: numbers[0] ?? 0 };
};

const names = (text: string): string[] => (text.trim() === '' ? [] : text.split(',').map((n) => n.trim()));

/** `a, b = domain.Op(x, y) name=value ...` */
export const parseNode = (text: string): Node => {
  const [, outputs = '', full = '', inputs = '', rest = ''] = /^(.*?)\s*=\s*([\w.]+)\((.*?)\)\s*(.*)$/.exec(text) ?? [];
  const dot = full.lastIndexOf('.');
  const attrs = [...rest.matchAll(/(\w+)=(\S+)/g)].map(
    ([, name = '', value = '']) => [name, parseAttr(value)] as const,
  );
  return {
    name: `node_${names(outputs).find((o) => o !== '') ?? ''}`,
    op: full.slice(dot + 1),
    domain: dot < 0 ? '' : full.slice(0, dot),
    inputs: names(inputs),
    outputs: names(outputs),
    attrs: Object.fromEntries(attrs),
    captures: [],
  };
};

export interface ModelText {
  readonly opset?: number;
  readonly values: Readonly<Record<string, string>>;
  readonly nodes: readonly string[];
}

/** The model of a text, without outputs. */
export const modelOf = ({ opset = 17, values, nodes }: ModelText): Model => {
  const specs = Object.entries(values).map(([name, text]) => [name, parseSpec(text)] as const);
  const inputs: GraphValue[] = specs.flatMap(([name, s]) =>
    s.values === undefined ? [{ name, type: { dataType: s.dataType, dims: s.dims } }] : [],
  );
  const constants = new Map(
    specs.flatMap(([name, s]) => (s.values === undefined ? [] : [[name, tensorOf(s)] as const])),
  );
  return {
    irVersion: opset > 20 ? 10 : 8,
    opsets: new Map([
      ['', opset],
      ['com.microsoft', 1],
    ]),
    graph: { name: 'g', nodes: nodes.map(parseNode), inputs, outputs: [], constants, annotations: [] },
    functions: [],
    metadata: new Map(),
  };
};
