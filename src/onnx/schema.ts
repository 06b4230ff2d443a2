/**
 * The ONNX messages by field number, up to IR version 14. Derived from onnx/onnx.proto of the ONNX project
 * (https://github.com/onnx/onnx, SPDX-License-Identifier: Apache-2.0, Copyright (c) ONNX Project Contributors), in
 * proto2: presence is kept, numeric lists are unpacked unless said otherwise. Changed on purpose, wire formats
 * unaltered: floats are read as fixed32 (bit patterns, so that every NaN survives), enums as int32 (unknown numbers
 * survive), and the packed data fields of TensorProto as repeated bytes (one item a run, never decoded here).
 */

export interface FieldRule {
  readonly id: number;
  readonly type: string;
  readonly repeated: boolean;
}

export interface MessageRule {
  readonly fields: Readonly<Record<string, FieldRule>>;
  readonly oneofs: Readonly<Record<string, readonly string[]>>;
}

const one = (id: number, type: string): FieldRule => ({ id, type, repeated: false });
const many = (id: number, type: string): FieldRule => ({ id, type, repeated: true });
const message = (fields: MessageRule['fields'], oneofs: MessageRule['oneofs'] = {}): MessageRule => ({
  fields,
  oneofs,
});

export const messages: Readonly<Record<string, MessageRule>> = {
  AttributeProto: message({
    name: one(1, 'string'),
    f: one(2, 'fixed32'),
    i: one(3, 'int64'),
    s: one(4, 'bytes'),
    t: one(5, 'TensorProto'),
    g: one(6, 'GraphProto'),
    floats: many(7, 'fixed32'),
    ints: many(8, 'int64'),
    strings: many(9, 'bytes'),
    tensors: many(10, 'TensorProto'),
    graphs: many(11, 'GraphProto'),
    docString: one(13, 'string'),
    tp: one(14, 'TypeProto'),
    typeProtos: many(15, 'TypeProto'),
    type: one(20, 'int32'),
    refAttrName: one(21, 'string'),
    sparseTensor: one(22, 'SparseTensorProto'),
    sparseTensors: many(23, 'SparseTensorProto'),
  }),
  ValueInfoProto: message({
    name: one(1, 'string'),
    type: one(2, 'TypeProto'),
    docString: one(3, 'string'),
    metadataProps: many(4, 'StringStringEntryProto'),
  }),
  NodeProto: message({
    input: many(1, 'string'),
    output: many(2, 'string'),
    name: one(3, 'string'),
    opType: one(4, 'string'),
    attribute: many(5, 'AttributeProto'),
    docString: one(6, 'string'),
    domain: one(7, 'string'),
    overload: one(8, 'string'),
    metadataProps: many(9, 'StringStringEntryProto'),
    deviceConfigurations: many(10, 'NodeDeviceConfigurationProto'),
  }),
  IntIntListEntryProto: message({ key: one(1, 'int64'), value: many(2, 'int64') }),
  NodeDeviceConfigurationProto: message({
    configurationId: one(1, 'string'),
    shardingSpec: many(2, 'ShardingSpecProto'),
    pipelineStage: one(3, 'int32'),
  }),
  ShardingSpecProto: message({
    tensorName: one(1, 'string'),
    device: many(2, 'int64'),
    indexToDeviceGroupMap: many(3, 'IntIntListEntryProto'),
    shardedDim: many(4, 'ShardedDimProto'),
  }),
  ShardedDimProto: message({ axis: one(1, 'int64'), simpleSharding: many(2, 'SimpleShardedDimProto') }),
  SimpleShardedDimProto: message(
    { dimValue: one(1, 'int64'), dimParam: one(2, 'string'), numShards: one(3, 'int64') },
    { dim: ['dimValue', 'dimParam'] },
  ),
  TrainingInfoProto: message({
    initialization: one(1, 'GraphProto'),
    algorithm: one(2, 'GraphProto'),
    initializationBinding: many(3, 'StringStringEntryProto'),
    updateBinding: many(4, 'StringStringEntryProto'),
  }),
  ModelProto: message({
    irVersion: one(1, 'int64'),
    producerName: one(2, 'string'),
    producerVersion: one(3, 'string'),
    domain: one(4, 'string'),
    modelVersion: one(5, 'int64'),
    docString: one(6, 'string'),
    graph: one(7, 'GraphProto'),
    opsetImport: many(8, 'OperatorSetIdProto'),
    metadataProps: many(14, 'StringStringEntryProto'),
    trainingInfo: many(20, 'TrainingInfoProto'),
    functions: many(25, 'FunctionProto'),
    configuration: many(26, 'DeviceConfigurationProto'),
  }),
  DeviceConfigurationProto: message({
    name: one(1, 'string'),
    numDevices: one(2, 'int32'),
    device: many(3, 'string'),
  }),
  StringStringEntryProto: message({ key: one(1, 'string'), value: one(2, 'string') }),
  TensorAnnotation: message({
    tensorName: one(1, 'string'),
    quantParameterTensorNames: many(2, 'StringStringEntryProto'),
  }),
  GraphProto: message({
    node: many(1, 'NodeProto'),
    name: one(2, 'string'),
    initializer: many(5, 'TensorProto'),
    docString: one(10, 'string'),
    input: many(11, 'ValueInfoProto'),
    output: many(12, 'ValueInfoProto'),
    valueInfo: many(13, 'ValueInfoProto'),
    quantizationAnnotation: many(14, 'TensorAnnotation'),
    sparseInitializer: many(15, 'SparseTensorProto'),
    metadataProps: many(16, 'StringStringEntryProto'),
  }),
  TensorProto: message({
    dims: many(1, 'int64'),
    dataType: one(2, 'int32'),
    segment: one(3, 'TensorSegment'),
    floatData: many(4, 'bytes'),
    int32Data: many(5, 'bytes'),
    stringData: many(6, 'bytes'),
    int64Data: many(7, 'bytes'),
    name: one(8, 'string'),
    rawData: one(9, 'bytes'),
    doubleData: many(10, 'bytes'),
    uint64Data: many(11, 'bytes'),
    docString: one(12, 'string'),
    externalData: many(13, 'StringStringEntryProto'),
    dataLocation: one(14, 'int32'),
    metadataProps: many(16, 'StringStringEntryProto'),
  }),
  TensorSegment: message({ begin: one(1, 'int64'), end: one(2, 'int64') }),
  SparseTensorProto: message({
    values: one(1, 'TensorProto'),
    indices: one(2, 'TensorProto'),
    dims: many(3, 'int64'),
  }),
  TensorShapeProto: message({ dim: many(1, 'Dimension') }),
  Dimension: message(
    { dimValue: one(1, 'int64'), dimParam: one(2, 'string'), denotation: one(3, 'string') },
    { value: ['dimValue', 'dimParam'] },
  ),
  TypeProto: message(
    {
      tensorType: one(1, 'TensorType'),
      sequenceType: one(4, 'ElementType'),
      mapType: one(5, 'MapType'),
      denotation: one(6, 'string'),
      opaqueType: one(7, 'OpaqueType'),
      sparseTensorType: one(8, 'TensorType'),
      optionalType: one(9, 'ElementType'),
    },
    { value: ['tensorType', 'sequenceType', 'mapType', 'opaqueType', 'sparseTensorType', 'optionalType'] },
  ),
  TensorType: message({ elemType: one(1, 'int32'), shape: one(2, 'TensorShapeProto') }),
  ElementType: message({ elemType: one(1, 'TypeProto') }),
  MapType: message({ keyType: one(1, 'int32'), valueType: one(2, 'TypeProto') }),
  OpaqueType: message({ domain: one(1, 'string'), name: one(2, 'string') }),
  OperatorSetIdProto: message({ domain: one(1, 'string'), version: one(2, 'int64') }),
  FunctionProto: message({
    name: one(1, 'string'),
    input: many(4, 'string'),
    output: many(5, 'string'),
    attribute: many(6, 'string'),
    node: many(7, 'NodeProto'),
    docString: one(8, 'string'),
    opsetImport: many(9, 'OperatorSetIdProto'),
    domain: one(10, 'string'),
    attributeProto: many(11, 'AttributeProto'),
    valueInfo: many(12, 'ValueInfoProto'),
    overload: one(13, 'string'),
    metadataProps: many(14, 'StringStringEntryProto'),
  }),
};
