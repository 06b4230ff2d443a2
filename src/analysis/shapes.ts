/**
 * Symbolic shape inference: element type, sizes and small integer contents of every value, forward over the graph
 * with one rule per operator (shape-rules/). What the file says of inner values is not trusted: annotations are often
 * stale. They only serve, with a gap recorded, where there is no rule. Never throws because of a model's contents.
 */
import type { Graph, GraphValue, Model, Node, Tensor, TensorType, ValueName } from '../graph/model.ts';
import { constantOf, elementCount, readNumbers } from '../graph/tensors.ts';
import { DataType } from '../graph/model.ts';
import { memoised } from '../support/memo.ts';
import { constDim, type Dim } from './dim.ts';
import type { ShapeFacts, ValueFacts } from './shape-facts.ts';
import { contentsLimit, followsContents, ShapeGap, type ShapeContext } from './shape-rules/context.ts';
import { shapeRuleOf } from './shape-rules/table.ts';
import { makeSymbols, type Symbols } from './shape-rules/symbols.ts';

/** What is known so far, in one graph or function body. */
interface Scope {
  readonly facts: Map<ValueName, ValueFacts>;
  /** Small constants, for what is not an integer (scales, float ranges). */
  readonly tensors: Map<ValueName, Tensor>;
  readonly gaps: Map<ValueName, string>;
  readonly opsets: ReadonlyMap<string, number>;
  /** Set apart the sizes that depend on data from those of other calls of the same function. */
  readonly prefix: string;
  readonly annotated: ReadonlyMap<ValueName, TensorType>;
}

/** Constant floats of up to this many elements are looked at, in case they are integers. */
const floatLimit = 16;

/** An element we can hold exactly, or a "to the end" marker of a Slice, which stays beyond every size. */
const holds = (value: number, dataType: DataType): boolean =>
  (Number.isSafeInteger(value) && !Object.is(value, -0)) || (dataType === DataType.INT64 && Math.abs(value) >= 2 ** 53);

const tensorFacts = (tensor: Tensor): ValueFacts => {
  const { dataType } = tensor;
  const dims = tensor.dims.map(constDim);
  const limit =
    dataType === DataType.INT64 || dataType === DataType.INT32 || dataType === DataType.BOOL
      ? contentsLimit
      : floatLimit;
  const numbers =
    followsContents(dataType) && elementCount(tensor.dims) <= limit ? readNumbers(tensor, limit) : undefined;
  if (numbers === undefined || !numbers.every((v) => holds(v, dataType))) return { dataType, dims };
  return { dataType, dims, ints: { dims: tensor.dims, values: numbers.map(constDim) } };
};

const setConstant = (scope: Scope, name: ValueName, tensor: Tensor): void => {
  scope.facts.set(name, tensorFacts(tensor));
  scope.tensors.set(name, tensor);
};

/** A declared type with symbols by name; an unnamed size gets a symbol of its own. */
const declaredFacts = (symbols: Symbols, value: ValueName, type: TensorType): ValueFacts => {
  const dimOf = (d: number | string | null, axis: number): Dim =>
    typeof d === 'number' && d >= 0
      ? constDim(d)
      : symbols.declared(typeof d === 'string' && d !== '' ? d : `${value}_${axis}`);
  return { dataType: type.dataType, ...(type.dims && { dims: type.dims.map(dimOf) }) };
};

const graphScope = (model: Model, symbols: Symbols): Scope => {
  const { graph } = model;
  const scope: Scope = {
    facts: new Map(),
    tensors: new Map(),
    gaps: new Map(),
    opsets: model.opsets,
    prefix: '',
    annotated: annotations(graph),
  };
  for (const input of graph.inputs) {
    if (input.type !== undefined) scope.facts.set(input.name, declaredFacts(symbols, input.name, input.type));
    else scope.gaps.set(input.name, 'it is not a tensor');
  }
  // From IR 4 an initializer that is also an input is only a default.
  for (const [name, tensor] of graph.constants)
    if (model.irVersion < 4 || !scope.facts.has(name)) setConstant(scope, name, tensor);
  return scope;
};

const annotations = (graph: Graph): ReadonlyMap<ValueName, TensorType> =>
  new Map(
    [...graph.annotations, ...graph.outputs].flatMap((v: GraphValue) =>
      v.type === undefined ? [] : [[v.name, v.type] as const],
    ),
  );

const domainOf = (node: Node): string => (node.domain === 'ai.onnx' ? '' : node.domain);

const contextOf = (scope: Scope, symbols: Symbols, node: Node, note: (reason: string) => void): ShapeContext => ({
  node,
  opset: scope.opsets.get(domainOf(node)) ?? 1,
  symbols,
  facts: (input) => scope.facts.get(node.inputs[input] ?? ''),
  numbers: (input) => {
    const tensor = scope.tensors.get(node.inputs[input] ?? '');
    return tensor && readNumbers(tensor, contentsLimit);
  },
  unknown: (output, axis) =>
    symbols.unknown(`${scope.prefix}${node.outputs[output] || node.outputs[0] || node.op}_${axis}`),
  note,
});

/** A Constant node of strings: its shape alone. */
const stringConstant = (node: Node): ValueFacts | undefined => {
  const attr = Object.values(node.attrs)[0];
  if (attr?.kind === 'string') return { dataType: DataType.STRING, dims: [] };
  return attr?.kind === 'strings' ? { dataType: DataType.STRING, dims: [constDim(attr.value.length)] } : undefined;
};

const functionKey = (domain: string, name: string): string => `${domain}.${name}`;
type Functions = ReadonlyMap<string, Model['functions'][number]>;

/** Facts of a node's outputs. Throws a ShapeGap. */
const infer = (
  scope: Scope,
  symbols: Symbols,
  functions: Functions,
  node: Node,
  note: (r: string) => void,
): readonly (ValueFacts | undefined)[] => {
  const rule = shapeRuleOf(node);
  // Our own reducer is a function whose rule knows more than its body tells; elsewhere a body is the definition.
  const body = functions.get(functionKey(node.domain, node.op));
  if (body !== undefined && (rule === undefined || node.domain === ''))
    return inferCall(scope, symbols, functions, node, body);
  if (rule === undefined)
    throw new ShapeGap(`no shape rule for ${node.domain === '' ? '' : `${node.domain}.`}${node.op}`);
  return rule(contextOf(scope, symbols, node, note));
};

/** A call of a model-local function: its body with the caller's facts for its inputs. */
const inferCall = (
  scope: Scope,
  symbols: Symbols,
  functions: Functions,
  node: Node,
  body: Model['functions'][number],
): readonly (ValueFacts | undefined)[] => {
  const inner: Scope = {
    facts: new Map(),
    tensors: new Map(),
    gaps: new Map(),
    opsets: body.opsets,
    prefix: `${scope.prefix}${node.outputs[0] ?? node.name}/`,
    annotated: new Map(),
  };
  body.inputs.forEach((name, i) => {
    const facts = scope.facts.get(node.inputs[i] ?? '');
    const tensor = scope.tensors.get(node.inputs[i] ?? '');
    if (facts !== undefined) inner.facts.set(name, facts);
    if (tensor !== undefined) inner.tensors.set(name, tensor);
  });
  const others = new Map([...functions].filter(([, f]) => f !== body));
  for (const each of body.nodes) visit(inner, symbols, others, each);
  return body.outputs.map((output) => inner.facts.get(output));
};

const visit = (scope: Scope, symbols: Symbols, functions: Functions, node: Node): void => {
  const constant = constantOf(node);
  const [first = ''] = node.outputs;
  if (constant !== undefined) {
    setConstant(scope, first, constant);
    return;
  }
  const isDefault = domainOf(node) === '';
  if (isDefault && node.op === 'Identity') {
    const tensor = scope.tensors.get(node.inputs[0] ?? '');
    if (tensor !== undefined) scope.tensors.set(first, tensor);
  }
  let reason = 'nothing can be said of it';
  let results: readonly (ValueFacts | undefined)[] = [];
  const note = (why: string): void => node.outputs.forEach((o) => o !== '' && scope.gaps.set(o, `${node.op}: ${why}`));
  try {
    const strings = isDefault && node.op === 'Constant' ? stringConstant(node) : undefined;
    const plain = node.domain === 'ai.onnx' ? { ...node, domain: '' } : node;
    results = strings === undefined ? infer(scope, symbols, functions, plain, note) : [strings];
  } catch (error) {
    if (!(error instanceof ShapeGap)) throw error;
    reason = error.message;
  }
  node.outputs.forEach((output, i) => {
    if (output === '') return;
    const facts = results[i];
    if (facts !== undefined) scope.facts.set(output, facts);
    if (facts?.dims !== undefined) return;
    scope.gaps.set(output, `${node.op}: ${reason}`);
    const annotated = scope.annotated.get(output);
    if (facts === undefined && annotated !== undefined)
      scope.facts.set(output, declaredFacts(symbols, output, annotated));
  });
};

/** What is known of every value of a model. */
export const shapesOf: (model: Model) => ShapeFacts = memoised((model) => {
  const symbols = makeSymbols();
  const scope = graphScope(model, symbols);
  const functions = new Map(model.functions.map((f) => [functionKey(f.domain, f.name), f]));
  for (const node of model.graph.nodes) visit(scope, symbols, functions, node);
  return { of: (value) => scope.facts.get(value), gaps: scope.gaps, resolve: symbols.resolve };
});
