/**
 * ai.pumer::TokenReduce in standard operators: prune a lane by text saliency, then merge what is alike
 * (semantics.md). `tokenReduceFunction` is the model-local function, `emitTokenReduce` the same equations written in
 * place. Counts come in as values: counts.ts makes them.
 */
import { emitterInto, type Emitter } from '../../graph/emit.ts';
import { DataType, type FunctionBody, type Node, type ValueName } from '../../graph/model.ts';
import { invariant } from '../../support/assert.ts';
import type { Semantics } from '../plan.ts';
import { TOKEN_REDUCE, type TokenReduceInputs, type TokenReduceOutputs } from './contract.ts';
import { emitMatching } from './match.ts';
import { emitMerged } from './merge.ts';
import { emitIsProtected, emitMostSalient, emitUnprotected } from './select.ts';
import { emitTarget } from './target.ts';

export interface TokenReduceKind {
  readonly semantics: Semantics;
  /** Element type of the tokens, in and out. */
  readonly dataType: DataType;
}

/** Writes the reducer with `e`; opset 11 and up (bfloat16: 13 and up). A batch of 0 is not supported by ONNX Runtime's TopK. */
export const emitTokenReduce = (
  e: Emitter,
  inputs: TokenReduceInputs,
  { semantics, dataType }: TokenReduceKind,
): TokenReduceOutputs => {
  const kept = e.op('Sub', [inputs.keep, inputs.merge]);
  const isProtected = semantics === 'safe' ? emitIsProtected(e, inputs) : undefined;
  const candidates = isProtected === undefined ? emitMostSalient(e, inputs) : emitUnprotected(e, inputs, isProtected);
  const matching = emitMatching(e, inputs, candidates, kept, isProtected);
  const { reduced, weight } = emitMerged(e, inputs, matching, semantics, dataType);
  return { reduced, weight, target: emitTarget(e, inputs.weight, kept, matching), position: matching.survivors };
};

const INPUTS: TokenReduceInputs = {
  tokens: 'tokens',
  attention: 'attention',
  rowWeight: 'row_weight',
  metric: 'metric',
  weight: 'weight',
  protected: 'protected',
  keep: 'keep',
  merge: 'merge',
};

const ORDER = Object.keys(INPUTS) as (keyof TokenReduceInputs)[];

/** The inputs in the order in which a call lists them. */
export const tokenReduceInputList = (inputs: TokenReduceInputs): string[] => ORDER.map((key) => inputs[key]);

/** The inputs of a call by name. */
export const tokenReduceInputs = (list: readonly ValueName[]): TokenReduceInputs => {
  invariant(list.length === ORDER.length, `a TokenReduce call has ${ORDER.length} inputs, not ${list.length}`);
  return Object.fromEntries(ORDER.map((key, i) => [key, list[i]])) as unknown as TokenReduceInputs;
};

const DOC: Readonly<Record<Semantics, string>> = {
  safe:
    'Shortens a lane of tokens. Prunes the tokens that the text attends to least, protected positions excepted, then ' +
    'merges each of the even tokens left that is most similar to an odd one into it, as a mean weighted by sizes. ' +
    'Survivors keep their order. Rows with size 0 are padding and never change a mean.',
  pumer:
    'Shortens a lane of tokens as the published PuMer code does. Keeps the tokens that the text attends to most, best ' +
    'first, then merges each of the even tokens left that is most similar to an odd one into it, as a plain mean. ' +
    'Remaining even tokens come first, then the odd ones.',
};

/** The model-local function; `opset` is the model's own. Calls write the attribute `semantics` for kernels: the body is made for one. */
export const tokenReduceFunction = ({ opset, ...kind }: TokenReduceKind & { readonly opset: number }): FunctionBody => {
  const nodes: Node[] = [];
  const used = new Set<string>(Object.values(INPUTS));
  const fresh = (hint: string): string => {
    let name = hint;
    for (let i = 1; used.has(name); i++) name = `${hint}_${i}`;
    used.add(name);
    return name;
  };
  const made = emitTokenReduce(emitterInto(nodes, opset, fresh), INPUTS, kind);
  const names = new Map([
    [made.reduced, 'reduced'],
    [made.weight, 'weight_out'],
    [made.target, 'target'],
    [made.position, 'position'],
  ]);
  return {
    domain: TOKEN_REDUCE.domain,
    name: TOKEN_REDUCE.name,
    inputs: tokenReduceInputList(INPUTS),
    outputs: [...names.values()],
    attributes: ['semantics'],
    nodes: nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map((v) => names.get(v) ?? v),
      outputs: node.outputs.map((v) => names.get(v) ?? v),
    })),
    opsets: new Map([['', opset]]),
    doc: DOC[kind.semantics],
  };
};
