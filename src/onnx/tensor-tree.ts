/**
 * Visits every tensor of a decoded model, sub-graphs and functions included, and rebuilds only what changed.
 * Decides nothing about them itself.
 */
import { withFields } from './proto.ts';
import type { AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto } from './proto.ts';
import type { Chunk, SparseTensorProto, TensorProto } from './proto.ts';

/** A tensor for a tensor; the same object leaves it alone. `role` tells the main graph's initializers from others. */
export type TensorMap = (tensor: TensorProto, role: 'initializer' | 'inner') => TensorProto;

/** The list with every item mapped; the same list where no item changed. */
const mapItems = <T>(items: readonly T[], map: (item: T) => T): readonly T[] => {
  let out: T[] | undefined;
  items.forEach((item, i) => {
    const mapped = map(item);
    if (mapped !== item) (out ??= items.slice())[i] = mapped;
  });
  return out ?? items;
};

/** Maps the fields a message has, by their names; the same message where none changed. */
const mapFields = <T extends object>(
  message: T,
  maps: { readonly [K in keyof T]?: (value: NonNullable<T[K]>) => T[K] },
): T => {
  let out = message;
  for (const key of Object.keys(maps) as (keyof T)[]) {
    const value = Object.hasOwn(message, key) ? message[key] : undefined;
    if (value === undefined || value === null) continue;
    const mapped = maps[key]?.(value);
    if (mapped !== value) out = withFields(out, { [key]: mapped } as { [P in keyof T]?: T[P] });
  }
  return out;
};

export const mapTensors = (model: ModelProto, map: TensorMap): ModelProto => {
  const inner = (tensor: TensorProto): TensorProto => map(tensor, 'inner');
  const sparse = (tensor: SparseTensorProto): SparseTensorProto => mapFields(tensor, { values: inner, indices: inner });
  const attribute = (attr: AttributeProto): AttributeProto =>
    mapFields(attr, {
      t: inner,
      g: (g) => graph(g, 'inner'),
      tensors: (tensors) => mapItems(tensors, inner),
      graphs: (graphs) => mapItems(graphs, (g) => graph(g, 'inner')),
      sparseTensor: sparse,
      sparseTensors: (tensors) => mapItems(tensors, sparse),
    });
  const node = (one: NodeProto): NodeProto =>
    mapFields(one, { attribute: (attributes) => mapItems(attributes, attribute) });
  const graph = (one: GraphProto, role: 'initializer' | 'inner'): GraphProto =>
    mapFields(one, {
      node: (nodes) => mapItems(nodes, node),
      initializer: (tensors) => mapItems(tensors, (tensor) => map(tensor, role)),
      sparseInitializer: (tensors) => mapItems(tensors, sparse),
    });
  const body = (one: FunctionProto): FunctionProto =>
    mapFields(one, {
      node: (nodes) => mapItems(nodes, node),
      attributeProto: (attributes) => mapItems(attributes, attribute),
    });
  return mapFields(model, {
    graph: (one) => graph(one, 'initializer'),
    functions: (functions) => mapItems(functions, body),
    trainingInfo: (infos) =>
      mapItems(infos, (info) =>
        mapFields(info, { initialization: (g) => graph(g, 'inner'), algorithm: (g) => graph(g, 'inner') }),
      ),
  });
};

/** Maps every piece of tensor data that may be large. */
export const mapChunks = (model: ModelProto, map: (chunk: Chunk) => Chunk): ModelProto => {
  const list = (chunks: readonly Chunk[]): readonly Chunk[] => mapItems(chunks, map);
  return mapTensors(model, (tensor) =>
    mapFields(tensor, {
      rawData: map,
      floatData: list,
      int32Data: list,
      int64Data: list,
      doubleData: list,
      uint64Data: list,
    }),
  );
};
