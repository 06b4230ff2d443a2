/**
 * A feed as it was recorded, one value for every input, checked against what the model declares. Names, types, ranks
 * and fixed sizes are checked strictly: nothing is cast, dropped or made up. Which rows are samples is layout.ts' part.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-samples.ts';
import { DataType, type GraphValue, type Model } from '../graph/model.ts';
import type { TensorData } from '../runtime/tensor-data.ts';
import { closest } from '../support/suggest.ts';
import type { Arrays } from './file-cache.ts';
import type { Tensors } from './sample-set.ts';

/** Sizes are known from the start, elements are read when they are asked for. */
export interface Feed {
  /** As messages name it: "held-out-0500.npz", "all.npz[3]", "test_data_set_0". */
  readonly name: string;
  readonly dims: ReadonlyMap<string, readonly number[]>;
  readonly inputs: () => Tensors;
  /** In one of the forms of labels.ts. */
  readonly labels?: { readonly dims: readonly number[]; readonly read: () => TensorData };
  readonly recorded?: { readonly dims: ReadonlyMap<string, readonly number[]>; readonly read: () => Tensors };
}

/** The array with labels, where no input has that name. */
export const LABELS = 'labels';

const numpyNames: ReadonlyMap<DataType, string> = new Map([
  [DataType.FLOAT, 'float32'],
  [DataType.DOUBLE, 'float64'],
  [DataType.FLOAT16, 'float16'],
  [DataType.BFLOAT16, 'bfloat16'],
  ...Object.entries(DataType)
    .filter(([name]) => /INT|BOOL/.test(name))
    .map(([name, type]) => [type, name.toLowerCase()] as const),
]);
const numpyName = (type: DataType): string => numpyNames.get(type) ?? `element type ${type}`;

export interface Signature {
  readonly inputs: ReadonlyMap<string, GraphValue>;
  /** Inputs without an initializer: these must be given. */
  readonly required: readonly string[];
  readonly outputs: readonly string[];
  readonly hasLabels: boolean;
}

/** Throws a CompileError sample-input-no-tensor. */
export const signatureOf = ({ graph }: Model): Signature => {
  const required = graph.inputs.filter((i) => !graph.constants.has(i.name));
  const odd = required.find(({ type }) => type === undefined);
  if (odd !== undefined) throw new CompileError(say.sampleInputNoTensor(odd.name));
  return {
    inputs: new Map(graph.inputs.map((input) => [input.name, input])),
    required: required.map((i) => i.name),
    outputs: graph.outputs.map((o) => o.name),
    hasLabels: !graph.inputs.some((i) => i.name === LABELS),
  };
};

/** Names first: the commonest slips have the clearest messages. */
const checkNames = (file: string, names: readonly string[], signature: Signature): void => {
  const { inputs, required, outputs, hasLabels } = signature;
  const missing = required.filter((name) => !names.includes(name));
  const extra = names.filter((name) => !inputs.has(name) && !(hasLabels && name === LABELS));
  const [first] = missing;
  if (first !== undefined) throw new CompileError(say.sampleInputMissing(file, first, names, closest(first, extra)));
  for (const name of extra)
    throw new CompileError(
      say.sampleUnknown(
        file,
        name,
        [...inputs.keys()],
        closest(name, [...inputs.keys(), LABELS]),
        outputs.includes(name),
      ),
    );
};

const isBatchAxis = (declared: readonly unknown[], axis: number): boolean =>
  axis === 0 && (declared[0] === 1 || typeof declared[0] !== 'number');

const checkArray = (file: string, input: GraphValue, { dataType }: TensorData, dims: readonly number[]): void => {
  const { name, type } = input;
  if (type === undefined) throw new CompileError(say.sampleInputNoTensor(name));
  if (dataType !== type.dataType)
    throw new CompileError(say.sampleType(file, name, numpyName(dataType), numpyName(type.dataType)));
  const declared = type.dims;
  if (declared === undefined) return;
  if (dims.length !== declared.length) throw new CompileError(say.sampleRank(file, name, dims, declared));
  for (const [axis, size] of declared.entries())
    // Where one row is fixed an array may bring many: they run one by one.
    if (typeof size === 'number' && size >= 0 && size !== dims[axis] && !isBatchAxis(declared, axis))
      throw new CompileError(say.sampleSize(file, name, dims, declared, axis));
};

/** Whether the arrays have one axis more than their inputs, which counts feeds. Throws sample-ranks-differ. */
export const isStacked = (file: string, arrays: Arrays, { inputs }: Signature): boolean => {
  const extra = [...arrays].flatMap(([name, { dims }]) => {
    const declared = inputs.get(name)?.type?.dims;
    return declared === undefined ? [] : [[name, dims.length - declared.length] as const];
  });
  const stacked = extra.find(([, more]) => more === 1);
  const flat = extra.find(([, more]) => more === 0);
  if (stacked !== undefined && flat !== undefined)
    throw new CompileError(say.sampleRanksDiffer(file, stacked[0], flat[0]));
  return stacked !== undefined;
};

/** Throws a CompileError where the arrays are no feed for the model; `lead` axes in front are left out. */
export const checkFeed = (file: string, arrays: Arrays, signature: Signature, lead = 0): void => {
  checkNames(file, [...arrays.keys()], signature);
  for (const [name, tensor] of arrays) {
    const input = signature.inputs.get(name);
    if (input !== undefined) checkArray(file, input, tensor, tensor.dims.slice(lead));
  }
};

export const dimsOf = (tensors: Tensors): ReadonlyMap<string, readonly number[]> =>
  new Map([...tensors].map(([name, { dims }]) => [name, dims]));
