/**
 * A decoded ModelProto to the compiler's Model. Reads no weights; refuses graphs whose values do not hang together.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import { domainNotImported, modelWithoutGraph, modelWithoutIrVersion } from '../diagnostics/messages-onnx.ts';
import type { DeclaredDim, FunctionBody, Graph, GraphValue, Model, TensorType } from '../graph/model.ts';
import type { FileIdentity } from '../support/byte-source.ts';
import { domainOf, importAttr, importNode } from './import-nodes.ts';
import { numberOf, type DimensionProto, type FunctionProto, type GraphProto, type ModelProto } from './proto.ts';
import type { EntryProto, OpsetProto, TypeProto, ValueInfoProto } from './proto.ts';
import { importTensor } from './tensor-data.ts';
import { checkValues, inOrder } from './wiring.ts';

export interface ValueOrigin {
  readonly proto: ValueInfoProto;
  readonly was: Omit<GraphValue, 'origin'>;
}

export interface GraphOrigin {
  readonly proto: GraphProto;
  readonly was: Omit<Graph, 'origin'>;
}

export interface FunctionOrigin {
  readonly proto: FunctionProto;
  readonly was: Omit<FunctionBody, 'origin'>;
}

export interface ModelOrigin {
  readonly proto: ModelProto;
  readonly was: Omit<Model, 'origin'>;
  /** Every file the model was read from, and data it refers to. */
  readonly files: readonly FileIdentity[];
}

const importDim = (proto: DimensionProto): DeclaredDim => {
  if (Object.hasOwn(proto, 'dimValue')) {
    const size = numberOf(proto.dimValue);
    return size < 0 ? null : size;
  }
  return proto.dimParam ? proto.dimParam : null;
};

const importType = (proto: TypeProto): TensorType | undefined => {
  const tensor = proto.tensorType;
  if (!tensor) return undefined;
  const dataType = tensor.elemType ?? 0;
  return tensor.shape ? { dataType, dims: (tensor.shape.dim ?? []).map(importDim) } : { dataType };
};

const importValue = (proto: ValueInfoProto): GraphValue => {
  const type = proto.type ? importType(proto.type) : undefined;
  const was = { name: proto.name ?? '', ...(type === undefined ? {} : { type }) };
  return { ...was, origin: { proto, was } satisfies ValueOrigin };
};

const importOpsets = (protos: readonly OpsetProto[] | undefined): ReadonlyMap<string, number> =>
  new Map((protos ?? []).map((p) => [domainOf(p.domain), numberOf(p.version)]));

const importGraph = (proto: GraphProto, file: string): Graph => {
  const read = (proto.node ?? []).map(importNode);
  const constants = new Map((proto.initializer ?? []).map((t) => [t.name ?? '', importTensor(t)]));
  const inputs = (proto.input ?? []).map(importValue);
  const outputs = (proto.output ?? []).map(importValue);
  const sparse = (proto.sparseInitializer ?? []).map((s) => s.values?.name ?? '');
  checkValues(
    read,
    [...inputs.map((v) => v.name), ...constants.keys(), ...sparse],
    outputs.map((v) => v.name),
    file,
  );
  const was = {
    name: proto.name ?? '',
    nodes: inOrder(read, file),
    inputs,
    outputs,
    constants,
    annotations: (proto.valueInfo ?? []).map(importValue),
  };
  return { ...was, origin: { proto, was } satisfies GraphOrigin };
};

const importFunction = (proto: FunctionProto): FunctionBody => {
  const was = {
    domain: domainOf(proto.domain),
    name: proto.name ?? '',
    inputs: proto.input ?? [],
    outputs: proto.output ?? [],
    attributes: proto.attribute ?? [],
    defaults: Object.fromEntries((proto.attributeProto ?? []).map((attr) => [attr.name ?? '', importAttr(attr)])),
    ...(proto.overload ? { overload: proto.overload } : {}),
    nodes: inOrder((proto.node ?? []).map(importNode)),
    opsets: importOpsets(proto.opsetImport),
    ...(proto.docString ? { doc: proto.docString } : {}),
  };
  return { ...was, origin: { proto, was } satisfies FunctionOrigin };
};

/** The last entry of a key stands, as in ONNX Runtime. */
const importEntries = (protos: readonly EntryProto[] | undefined): ReadonlyMap<string, string> =>
  new Map((protos ?? []).map((p) => [p.key ?? '', p.value ?? '']));

/** `file` is what messages call the model. Throws a CompileError where the graph is no valid one. */
export const importModel = (proto: ModelProto, files: readonly FileIdentity[], file: string): Model => {
  if (!proto.graph) throw new CompileError(modelWithoutGraph(file));
  if (!Object.hasOwn(proto, 'irVersion')) throw new CompileError(modelWithoutIrVersion(file));
  const was = {
    irVersion: numberOf(proto.irVersion),
    opsets: importOpsets(proto.opsetImport),
    graph: importGraph(proto.graph, file),
    functions: (proto.functions ?? []).map(importFunction),
    metadata: importEntries(proto.metadataProps),
  };
  // A model without any import is one of the very first; its opset is refused later.
  const stranger = was.graph.nodes.find(({ domain }) => domain !== '' && !was.opsets.has(domain));
  if (stranger !== undefined) throw new CompileError(domainNotImported(stranger.domain, file, stranger));
  return { ...was, origin: { proto, was, files } satisfies ModelOrigin };
};
