/**
 * The compiler's picture of an ONNX model: readonly data that mirrors ONNX, values known by their names.
 * An unchanged model, graph or node is the same object. Nothing here knows protobuf, files or ONNX Runtime;
 * `origin` is an opaque handle by which the codec writes back everything this picture leaves out
 * (doc strings, metadata, fields newer than we are).
 */

/** A value's name. The empty string stands for an omitted optional input or output. */
export type ValueName = string;

/** Element types, by their ONNX TensorProto.DataType number. */
export const DataType = {
  UNDEFINED: 0,
  FLOAT: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  STRING: 8,
  BOOL: 9,
  FLOAT16: 10,
  DOUBLE: 11,
  UINT32: 12,
  UINT64: 13,
  BFLOAT16: 16,
} as const;
export type DataType = number;

/** Tensor bytes, located and read on demand: little-endian, packed, row-major, as in ONNX `raw_data`. */
export interface Payload {
  /** Bytes when read. */
  readonly length: number;
  /** Reads the bytes. Throws a CompileError where they cannot be had (missing external file, no raw form). */
  readonly read: () => Uint8Array;
}

export interface Tensor {
  readonly dataType: DataType;
  readonly dims: readonly number[];
  readonly payload: Payload;
  readonly origin?: object;
}

/** One size per axis: a number, a symbol, or null where nothing is said. */
export type DeclaredDim = number | string | null;

export interface TensorType {
  readonly dataType: DataType;
  /** Undefined where even the rank is not declared. */
  readonly dims?: readonly DeclaredDim[];
}

export type Attr =
  | { readonly kind: 'int'; readonly value: number; readonly origin?: object }
  | { readonly kind: 'float'; readonly value: number; readonly origin?: object }
  | { readonly kind: 'string'; readonly value: string; readonly origin?: object }
  | { readonly kind: 'ints'; readonly value: readonly number[]; readonly origin?: object }
  | { readonly kind: 'floats'; readonly value: readonly number[]; readonly origin?: object }
  | { readonly kind: 'strings'; readonly value: readonly string[]; readonly origin?: object }
  | { readonly kind: 'tensor'; readonly value: Tensor; readonly origin?: object }
  /** A branch of If, the body of a loop: to be looked into, not to be changed in place. */
  | { readonly kind: 'body'; readonly value: Body; readonly origin: object }
  /** Inside a function: the attribute of that name of whoever calls it. */
  | { readonly kind: 'reference'; readonly value: string; readonly origin: object }
  /** Lists of sub-graphs, sparse tensors, types: carried, not looked into. */
  | { readonly kind: 'opaque'; readonly origin: object };

/** A sub-graph: reads outer values by name (its node's captures). */
export interface Body {
  readonly inputs: readonly ValueName[];
  readonly outputs: readonly ValueName[];
  readonly nodes: readonly Node[];
  readonly constants: ReadonlyMap<ValueName, Tensor>;
}

export interface Node {
  readonly name: string;
  readonly op: string;
  /** '' is the default domain (also written 'ai.onnx'). */
  readonly domain: string;
  readonly inputs: readonly ValueName[];
  readonly outputs: readonly ValueName[];
  readonly attrs: Readonly<Record<string, Attr>>;
  /** Outer values that sub-graphs of this node (If, Loop, Scan bodies) read by name. */
  readonly captures: readonly ValueName[];
  readonly origin?: object;
}

export interface GraphValue {
  readonly name: ValueName;
  /** Undefined for sequences, optionals and maps. */
  readonly type?: TensorType;
  readonly origin?: object;
}

export interface Graph {
  readonly name: string;
  /** In an order where every value is made before it is read. */
  readonly nodes: readonly Node[];
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];
  /** Initializers. Small values made by Constant nodes stay nodes. */
  readonly constants: ReadonlyMap<ValueName, Tensor>;
  /** value_info: what the file says of inner values. */
  readonly annotations: readonly GraphValue[];
  readonly origin?: object;
}

/** A model-local function: inputs, outputs and attributes by name, a body of nodes. */
export interface FunctionBody {
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly ValueName[];
  readonly outputs: readonly ValueName[];
  readonly attributes: readonly string[];
  /** Attributes a call may leave out. */
  readonly defaults?: Readonly<Record<string, Attr>>;
  /** Tells apart functions of one name. */
  readonly overload?: string;
  readonly nodes: readonly Node[];
  readonly opsets: ReadonlyMap<string, number>;
  readonly doc?: string;
  readonly origin?: object;
}

export interface Model {
  readonly irVersion: number;
  /** Domain to version; the default domain under ''. */
  readonly opsets: ReadonlyMap<string, number>;
  readonly graph: Graph;
  readonly functions: readonly FunctionBody[];
  /** metadata_props of the model. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly origin?: object;
}

/** The default-domain opset, 0 where the model imports none. */
export const opsetOf = (model: Model): number => model.opsets.get('') ?? 0;
