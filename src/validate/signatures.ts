/**
 * Whether two models can be compared: the same inputs and outputs by name, of types and sizes that the same samples fit.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-validate.ts';
import { DataType, type DeclaredDim, type GraphValue, type Model } from '../graph/model.ts';

export interface NamedModel {
  readonly file: string;
  readonly model: Model;
}

const namesOf = (values: readonly GraphValue[]): string[] => values.map(({ name }) => name);

const without = (names: readonly string[], others: readonly string[]): string[] =>
  names.filter((name) => !others.includes(name));

const required = ({ model: { graph } }: NamedModel): string[] =>
  namesOf(graph.inputs.filter((input) => !graph.constants.has(input.name)));

const checkOutputs = (one: NamedModel, other: NamedModel): void => {
  const [names, others] = [namesOf(one.model.graph.outputs), namesOf(other.model.graph.outputs)];
  const [missing, extra] = [without(names, others), without(others, names)];
  if (missing.length > 0 || extra.length > 0)
    throw new CompileError(say.outputsDiffer({ file: one.file, only: missing }, { file: other.file, only: extra }));
  if (names.join('\n') !== others.join('\n'))
    throw new CompileError(say.outputsOrderDiffers(one.file, other.file, [names, others]));
};

const typeName = (type: DataType): string =>
  Object.entries(DataType)
    .find(([, number]) => number === type)?.[0]
    .toLowerCase() ?? `type ${type}`;

const shapeText = (dims: readonly DeclaredDim[]): string => `[${dims.map((d) => d ?? '?').join(', ')}]`;

/** What both take: a size that only one of them fixes is fixed. */
const bothDims = (one: readonly DeclaredDim[], other: readonly DeclaredDim[]): readonly DeclaredDim[] | undefined => {
  const isClash = one.some((d, axis) => typeof d === 'number' && typeof other[axis] === 'number' && d !== other[axis]);
  if (one.length !== other.length || isClash) return undefined;
  return one.map((d, axis) => (typeof other[axis] === 'number' ? other[axis] : d));
};

const bothInput = (input: GraphValue, one: NamedModel, other: NamedModel): GraphValue => {
  const own = input.type;
  const type = other.model.graph.inputs.find(({ name }) => name === input.name)?.type;
  if (own === undefined || type === undefined) return input;
  if (own.dataType !== type.dataType)
    throw new CompileError(
      say.inputTypesDiffer(input.name, one.file, other.file, [typeName(own.dataType), typeName(type.dataType)]),
    );
  if (own.dims === undefined || type.dims === undefined) return input;
  const dims = bothDims(own.dims, type.dims);
  if (dims === undefined)
    throw new CompileError(
      say.inputShapesDiffer(input.name, one.file, other.file, [shapeText(own.dims), shapeText(type.dims)]),
    );
  return { ...input, type: { ...own, dims } };
};

/**
 * The first model, with inputs declared as both take them: what samples are read against. Throws a CompileError
 * outputs-differ, outputs-order-differs, inputs-differ, input-types-differ, input-shapes-differ.
 */
export const comparableModel = (one: NamedModel, other: NamedModel): Model => {
  checkOutputs(one, other);
  const [missing, extra] = [without(required(one), required(other)), without(required(other), required(one))];
  if (missing.length > 0 || extra.length > 0)
    throw new CompileError(say.inputsDiffer({ file: one.file, only: missing }, { file: other.file, only: extra }));
  const { graph } = one.model;
  const theirs = namesOf(other.model.graph.inputs);
  // A weight that only one of them takes as an input can be given to neither.
  const inputs = graph.inputs.filter(({ name }) => theirs.includes(name));
  return { ...one.model, graph: { ...graph, inputs: inputs.map((input) => bothInput(input, one, other)) } };
};
