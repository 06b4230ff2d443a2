/**
 * What an attention's mask says, proven from the graph: that it hides keys, the same ones from every query and head,
 * and which number hidden scores get. What else is added must be a position bias (pair-biases.ts); anything more
 * (causal masks, masks of blocks) is a reason to refuse.
 */
import { DataType, type Model, type ValueName } from '../graph/model.ts';
import { constantTensor, usesOf } from '../graph/uses.ts';
import { memoised } from '../support/memo.ts';
import type { Attention } from './attention.ts';
import { contentsOf } from './contents.ts';
import { inputsBehind } from './dependencies.ts';
import { dimValue, sameDim } from './dim.ts';
import { biasFaultOf } from './pair-biases.ts';
import { shapesOf } from './shapes.ts';
import { valueNumbers } from './value-numbers.ts';

export interface MaskFacts {
  readonly kind: 'none' | 'additive' | 'where' | 'multiplicative';
  /** Equal for masks that hold the same elements; `hidesNothing` for all that show every key. */
  readonly number: number;
  /** What the model adds to (or puts in place of) hidden scores; undefined where nothing is ever hidden. */
  readonly minimum?: number;
  /** Rank-4 [.., .., Lq or 1, Lk]; whether the query axis has more than one row (all alike). */
  readonly manyRows: boolean;
}

export interface MaskFault {
  readonly fault: string;
}

/** The number of every mask that provably shows all keys, and of no mask at all. */
export const hidesNothing = -1;

const elementwise = new Set('Add Sub Mul Div Not And Or Equal Greater Less Where Cast Identity Unsqueeze'.split(' '));

/**
 * Equal for masks that hold the same for every key, however many queries they are laid out for. Only for masks that
 * are the same for all queries and heads.
 */
const maskNumbers: (model: Model) => (value: ValueName) => number = memoised((model) => {
  const uses = usesOf(model.graph);
  const shapes = shapesOf(model);
  const known = new Map<string, number>();
  const keyOf = (value: ValueName): string => {
    const node = uses.producer(value);
    const [input = ''] = node?.inputs ?? [];
    const [before, after] = [input, value].map((v) => shapes.of(v)?.dims?.at(-1));
    if (node?.op === 'Expand' && node.domain === '' && before !== undefined && after && sameDim(before, after))
      return keyOf(input);
    const number = valueNumbers(model)(value);
    if (node === undefined || node.domain !== '' || !elementwise.has(node.op) || isMaskConstant(model, value))
      return `${number}`;
    const attrs = JSON.stringify(node.attrs, (_, v: unknown) => (typeof v === 'function' ? undefined : v));
    return `${node.op}(${node.inputs.map((v) => keyOf(v)).join()};${attrs})`;
  };
  return (value) => {
    const key = keyOf(value);
    const number = known.get(key) ?? known.size;
    known.set(key, number);
    return number;
  };
});

const isMaskConstant = (model: Model, value: ValueName): boolean =>
  shapesOf(model).of(value)?.ints !== undefined || constantTensor(model, value) !== undefined;

const noMask: MaskFacts = { kind: 'none', number: hidesNothing, manyRows: false };

const floats: ReadonlySet<number> = new Set([DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16, DataType.DOUBLE]);
const isFloatInput = (model: Model, name: string): boolean =>
  floats.has(model.graph.inputs.find((i) => i.name === name)?.type?.dataType ?? DataType.UNDEFINED);

export const maskFactsOf = (model: Model, attention: Attention): MaskFacts | MaskFault => {
  const { mask } = attention;
  const biased = biasFaultOf(model, attention);
  if (biased !== undefined) return { fault: biased };
  if (attention.secondMask !== undefined) return { fault: `it has two masks, one of them "${attention.secondMask}"` };
  if (mask === undefined) return noMask;
  const contents = contentsOf(model)(mask.value);
  const dims = shapesOf(model).of(mask.value)?.dims;
  if (dims === undefined) return { fault: `the shape of its mask "${mask.value}" is unknown` };
  const fromEnd = (back: number): { one: boolean; uniform: boolean } => {
    const axis = dims.length - back;
    const dim = dims[axis];
    const one = dim === undefined || dimValue(dim) === 1;
    return { one, uniform: one || (contents?.uniform[axis] ?? false) };
  };
  if (!fromEnd(3).uniform) return { fault: `its mask "${mask.value}" differs between heads` };
  if (!fromEnd(2).uniform) return { fault: `its mask "${mask.value}" differs between queries` };
  const keys = shapesOf(model)
    .of(attention.product.outputs[0] ?? '')
    ?.dims?.at(-1);
  const own = dims.at(-1);
  // An open length by another name meets the scores: it is theirs when the model runs, or one entry for all, and then
  // the part of it that stands for a second lane is empty and the run fails.
  const isOpen = own !== undefined && dimValue(own) === undefined;
  if (keys === undefined || own === undefined || !(sameDim(keys, own) || isOpen))
    return { fault: `its mask "${mask.value}" has not one entry for each key` };
  const number = maskNumbers(model)(mask.value);
  const manyRows = !fromEnd(2).one;
  const scaled = (mask.scale ?? 1) * (mask.scaleBehind ?? 1);
  if (mask.kind === 'multiplicative') {
    if (contents?.among?.every((v) => v === 0 || v === 1) !== true)
      return { fault: `what its exponentials are multiplied by, "${mask.value}", is not proven to be a padding mask` };
    // Nothing but convention makes a float input 0 or 1, and here a fraction is a weight.
    const soft = [...inputsBehind(model)(mask.value)].find((name) => isFloatInput(model, name));
    if (soft !== undefined) return { fault: `its exponentials are multiplied by the float input "${soft}"` };
    const showsAll = contents.among.every((v) => v === 1);
    return { kind: 'multiplicative', number: showsAll ? hidesNothing : number, manyRows };
  }
  if (mask.kind === 'where') {
    const hidden = Number(mask.paddedWhen);
    const showsAll = contents?.among?.every((v) => v !== hidden) === true;
    if (mask.fill !== undefined && mask.fill * scaled <= -100)
      return { kind: 'where', number: showsAll ? hidesNothing : number, minimum: mask.fill, manyRows };
    return { fault: `its mask fills ${mask.fill} in, which hides nothing` };
  }
  const among = contents?.among;
  if (among === undefined)
    return { fault: `what is added to its scores, "${mask.value}", is not proven to be a padding mask` };
  const hidden = among.filter((v) => v !== 0);
  // Nothing is ever hidden, but what is added still has a length of its own.
  if (hidden.length === 0) return { kind: 'additive', number: hidesNothing, manyRows };
  const [minimum] = hidden;
  if (hidden.length > 1 || minimum === undefined || !(minimum * scaled <= -100))
    return { fault: `what is added to its scores, "${mask.value}", holds ${among.join(', ')}: not a padding mask` };
  return { kind: 'additive', number, minimum, manyRows };
};
