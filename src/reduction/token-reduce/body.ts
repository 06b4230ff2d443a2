/**
 * ai.pumer::TokenReduce and ai.pumer::TokenReduceQK in standard operators: prune a lane by text saliency, then merge
 * what is alike (semantics.md). `tokenReduceFunction` is the model-local function, `emitTokenReduce` the same equations
 * written in place. Counts come in as values: counts.ts makes them.
 */
import { emitterInto, type Emitter } from '../../graph/emit.ts';
import { DataType, type FunctionBody, type Node } from '../../graph/model.ts';
import type { Semantics } from '../plan.ts';
import {
  TOKEN_REDUCE,
  TOKEN_REDUCE_QK,
  tokenReduceInputList,
  type TokenReduceInputs,
  type TokenReduceName,
  type TokenReduceOutputs,
} from './contract.ts';
import { emitLooks } from './looks.ts';
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
  const looks = emitLooks(e, inputs);
  const candidates =
    isProtected === undefined ? emitMostSalient(e, inputs, looks) : emitUnprotected(e, inputs, looks, isProtected);
  const matching = emitMatching(e, inputs, candidates, kept, isProtected);
  const { reduced, weight } = emitMerged(e, inputs, matching, semantics, dataType);
  return { reduced, weight, target: emitTarget(e, inputs.weight, kept, matching), position: matching.survivors };
};

const SHORTENED = {
  tokens: 'tokens',
  rowWeight: 'row_weight',
  metric: 'metric',
  weight: 'weight',
  protected: 'protected',
  keep: 'keep',
  merge: 'merge',
};

/** What a function calls its inputs. */
const INPUTS: Readonly<Record<TokenReduceName, TokenReduceInputs>> = {
  [TOKEN_REDUCE.name]: { ...SHORTENED, attention: 'attention' },
  [TOKEN_REDUCE_QK.name]: {
    ...SHORTENED,
    queries: 'queries',
    keys: 'keys',
    bias: 'bias',
    scale: 'scale',
    first: 'first',
  },
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

const FROM: Readonly<Record<TokenReduceName, string>> = {
  [TOKEN_REDUCE.name]: '',
  [TOKEN_REDUCE_QK.name]: ' How much the text attends is worked out from its queries and all keys.',
};

export interface TokenReduceFunction extends TokenReduceKind {
  readonly name: TokenReduceName;
  /** The model's own. */
  readonly opset: number;
}

/** The model-local function. Calls write the attribute `semantics` for kernels: the body is made for one. */
export const tokenReduceFunction = ({ name, opset, ...kind }: TokenReduceFunction): FunctionBody => {
  const nodes: Node[] = [];
  const inputs = INPUTS[name];
  const used = new Set<string>(Object.values(inputs));
  const fresh = (hint: string): string => {
    let free = hint;
    for (let i = 1; used.has(free); i++) free = `${hint}_${i}`;
    used.add(free);
    return free;
  };
  const made = emitTokenReduce(emitterInto(nodes, opset, fresh), inputs, kind);
  const names = new Map([
    [made.reduced, 'reduced'],
    [made.weight, 'weight_out'],
    [made.target, 'target'],
    [made.position, 'position'],
  ]);
  return {
    domain: TOKEN_REDUCE.domain,
    name,
    inputs: tokenReduceInputList(inputs),
    outputs: [...names.values()],
    attributes: ['semantics'],
    nodes: nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map((v) => names.get(v) ?? v),
      outputs: node.outputs.map((v) => names.get(v) ?? v),
    })),
    opsets: new Map([['', opset]]),
    doc: DOC[kind.semantics] + FROM[name],
  };
};
