/**
 * The compiler's Model to a ModelProto. What was imported and not touched is handed back as the message it came from;
 * of what was changed, only the changed fields are replaced. Decides nothing about where tensor data goes.
 */
import type { Attr, FunctionBody, Graph, GraphValue, Model, Node, TensorType } from '../graph/model.ts';
import type { FunctionOrigin, GraphOrigin, ModelOrigin, ValueOrigin } from './import.ts';
import { AttrType, bitsFromFloat, domainOf, type AttrOrigin, type NodeOrigin } from './import-nodes.ts';
import { bytesFromText, longOf, withFields, type AttributeProto, type EntryProto } from './proto.ts';
import type { DimensionProto, FunctionProto, GraphProto, ModelProto, NodeProto } from './proto.ts';
import type { OpsetProto, TensorProto, TypeProto, ValueInfoProto } from './proto.ts';
import { exportTensor } from './tensor-data.ts';

/** A text field: absent where there is nothing to say. */
const text = (value: string): string | undefined => (value === '' ? undefined : value);

type Plain = Exclude<Attr, { kind: 'opaque' | 'body' | 'reference' }>;

const attrValue = (attr: Plain): AttributeProto => {
  switch (attr.kind) {
    case 'int':
      return { i: longOf(attr.value) };
    case 'float':
      return { f: bitsFromFloat(attr.value) };
    case 'string':
      return { s: bytesFromText(attr.value) };
    case 'ints':
      return { ints: attr.value.map(longOf) };
    case 'floats':
      return { floats: attr.value.map(bitsFromFloat) };
    case 'strings':
      return { strings: attr.value.map(bytesFromText) };
    case 'tensor':
      return { t: exportTensor(attr.value) };
  }
};

const noValue = { f: undefined, i: undefined, s: undefined, t: undefined, floats: undefined, ints: undefined, strings: undefined }; // prettier-ignore

const exportAttr = (name: string, attr: Attr): AttributeProto => {
  const origin = attr.origin as AttrOrigin | undefined;
  let proto = origin?.proto ?? { name };
  if ((proto.name ?? '') !== name) proto = withFields(proto, { name });
  if (attr.kind === 'opaque' || attr.kind === 'body' || attr.kind === 'reference') return proto;
  if (origin !== undefined && attr.value === origin.was) return proto;
  return withFields(proto, { ...noValue, ...attrValue(attr), type: AttrType[attr.kind] });
};

const exportNode = (node: Node): NodeProto => {
  const origin = node.origin as NodeOrigin | undefined;
  const { proto, was } = origin ?? { proto: {}, was: undefined };
  const changes: { -readonly [K in keyof NodeProto]?: NodeProto[K] | undefined } = {};
  if (node.inputs !== was?.inputs) changes.input = node.inputs;
  if (node.outputs !== was?.outputs) changes.output = node.outputs;
  if (node.name !== was?.name) changes.name = text(node.name);
  if (node.op !== was?.op) changes.opType = node.op;
  if (node.domain !== was?.domain) changes.domain = text(node.domain);
  if (node.attrs !== was?.attrs)
    changes.attribute = Object.entries(node.attrs).map(([name, attr]) => exportAttr(name, attr));
  return Object.keys(changes).length === 0 ? proto : withFields(proto, changes);
};

const exportType = (type: TensorType): TypeProto => {
  const dim = type.dims?.map((d): DimensionProto =>
    d === null ? {} : typeof d === 'string' ? { dimParam: d } : { dimValue: d },
  );
  return { tensorType: { elemType: type.dataType, ...(dim === undefined ? {} : { shape: { dim } }) } };
};

const exportValue = (value: GraphValue): ValueInfoProto => {
  const origin = value.origin as ValueOrigin | undefined;
  const named = { name: value.name };
  if (origin === undefined) return value.type === undefined ? named : { ...named, type: exportType(value.type) };
  let { proto } = origin;
  if (value.name !== origin.was.name) proto = withFields(proto, named);
  if (value.type !== origin.was.type) {
    const type = value.type && withFields(proto.type ?? {}, exportType(value.type));
    proto = withFields(proto, { type });
  }
  return proto;
};

/** Entries of a keyed list: known ones keep their message and place, gone ones go, new ones follow. */
const exportKeyed = <P, V>(
  protos: readonly P[],
  wanted: ReadonlyMap<string, V>,
  keyOf: (proto: P) => string,
  make: (key: string, value: V, proto: P | undefined) => P,
): P[] => {
  const left = new Map(wanted);
  const out = protos.flatMap((proto) => {
    const key = keyOf(proto);
    const value = left.get(key);
    if (value === undefined) return [];
    left.delete(key);
    return [make(key, value, proto)];
  });
  for (const [key, value] of left) out.push(make(key, value, undefined));
  return out;
};

const exportOpsets = (protos: readonly OpsetProto[], opsets: ReadonlyMap<string, number>): OpsetProto[] =>
  exportKeyed<OpsetProto, number>(protos, opsets, (p) => domainOf(p.domain), (domain, version, proto) =>
    withFields(proto ?? { domain }, { version }),
  ); // prettier-ignore

const exportEntries = (protos: readonly EntryProto[], entries: ReadonlyMap<string, string>): EntryProto[] =>
  exportKeyed<EntryProto, string>(protos, entries, (p) => p.key ?? '', (key, value, proto) =>
    proto?.value === value ? proto : withFields(proto ?? { key }, { value }),
  ); // prettier-ignore

const exportConstants = (graph: Graph): TensorProto[] =>
  [...graph.constants].map(([name, tensor]) => exportTensor(tensor, name));

const exportGraph = (graph: Graph): GraphProto => {
  const origin = graph.origin as GraphOrigin | undefined;
  const { proto, was } = origin ?? { proto: {}, was: undefined };
  return withFields(proto, {
    // Not only where the list changed: nodes read out of order are written in order.
    node: graph.nodes.map(exportNode),
    ...(graph.name === was?.name ? {} : { name: graph.name }),
    ...(graph.inputs === was?.inputs ? {} : { input: graph.inputs.map(exportValue) }),
    ...(graph.outputs === was?.outputs ? {} : { output: graph.outputs.map(exportValue) }),
    ...(graph.annotations === was?.annotations ? {} : { valueInfo: graph.annotations.map(exportValue) }),
    ...(graph.constants === was?.constants ? {} : { initializer: exportConstants(graph) }),
  });
};

const exportFunction = (body: FunctionBody): FunctionProto => {
  const origin = body.origin as FunctionOrigin | undefined;
  const { proto, was } = origin ?? { proto: {}, was: undefined };
  return withFields(proto, {
    node: body.nodes.map(exportNode),
    ...(body.name === was?.name ? {} : { name: body.name }),
    ...(body.domain === was?.domain ? {} : { domain: text(body.domain) }),
    ...(body.inputs === was?.inputs ? {} : { input: body.inputs }),
    ...(body.outputs === was?.outputs ? {} : { output: body.outputs }),
    ...(body.attributes === was?.attributes ? {} : { attribute: body.attributes }),
    ...(body.doc === was?.doc ? {} : { docString: body.doc }),
    ...(body.opsets === was?.opsets ? {} : { opsetImport: exportOpsets(proto.opsetImport ?? [], body.opsets) }),
  });
};

/** Large data stays where it lies, as slices in the messages. */
export const exportModel = (model: Model): ModelProto => {
  const origin = model.origin as ModelOrigin | undefined;
  const { proto, was } = origin ?? { proto: {}, was: undefined };
  return withFields(proto, {
    graph: exportGraph(model.graph),
    ...(model.functions.length === 0 && was?.functions.length === 0
      ? {}
      : { functions: model.functions.map(exportFunction) }),
    ...(model.irVersion === was?.irVersion ? {} : { irVersion: model.irVersion }),
    ...(model.opsets === was?.opsets ? {} : { opsetImport: exportOpsets(proto.opsetImport ?? [], model.opsets) }),
    ...(model.metadata === was?.metadata
      ? {}
      : { metadataProps: exportEntries(proto.metadataProps ?? [], model.metadata) }),
  });
};
