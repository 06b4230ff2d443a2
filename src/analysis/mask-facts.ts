/**
 * What an attention's mask says, proven from the graph: that it hides keys, the same ones from every query and head,
 * and which number hidden scores get. What else is added must be a position bias (pair-biases.ts); anything more
 * (causal masks, masks of blocks) is a reason to refuse.
 */
import { DataType, type Model, type ValueName } from '../graph/model.ts';
import type { Attention } from './attention.ts';
import { contentsOf, type Contents } from './contents.ts';
import { inputsBehind } from './dependencies.ts';
import { dimValue, divideDims, productOf, sameDim } from './dim.ts';
import type { ScoresLayout } from './layout.ts';
import { maskSource } from './mask-source.ts';
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

const noMask: MaskFacts = { kind: 'none', number: hidesNothing, manyRows: false };

/** Equal for masks that show and hide the same tokens, however they are written. */
const numberOf = (model: Model, mask: ValueName, shows: (value: number) => boolean): number => {
  const made = maskSource(model, mask);
  const [zero, one] = made?.at.map(shows) ?? [];
  if (made === undefined || zero === one) return 4 * valueNumbers(model)(mask);
  return 4 * made.source + (one === true ? 1 : 2);
};

const floats: ReadonlySet<number> = new Set([DataType.FLOAT, DataType.FLOAT16, DataType.BFLOAT16, DataType.DOUBLE]);
const isFloatInput = (model: Model, name: string): boolean =>
  floats.has(model.graph.inputs.find((i) => i.name === name)?.type?.dataType ?? DataType.UNDEFINED);

/** Heads lie on the axis before the queries, before that the batch; first, or folded in with it, under other layouts. */
const servesAllHeads = (parts: Contents['parts'], layout: ScoresLayout | undefined): boolean => {
  const fromEnd = (back: number): Contents['parts'][number] | undefined => parts[parts.length - back];
  const all = (axis: Contents['parts'][number] | undefined): boolean => axis?.every((p) => p.uniform) ?? true;
  if (layout?.folded !== true) return all(fromEnd(layout?.headsFirst === true ? 4 : 3));
  const axis = fromEnd(3);
  if (all(axis)) return true;
  const inner = layout.headsFirst ? [...(axis ?? [])] : [...(axis ?? [])].reverse();
  const varies = inner.findIndex((p) => !p.uniform);
  return divideDims(productOf(inner.slice(0, varies).map((p) => p.dim)), layout.heads) !== undefined;
};

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
  const parts = contents?.parts ?? dims.map((dim) => [{ dim, uniform: dimValue(dim) === 1 }]);
  if (!servesAllHeads(parts, attention.entryLayout)) return { fault: `its mask "${mask.value}" differs between heads` };
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
  const manyRows = !fromEnd(2).one;
  const scaled = (mask.scale ?? 1) * (mask.scaleBehind ?? 1);
  if (mask.kind === 'multiplicative') {
    if (contents?.among?.every((v) => v === 0 || v === 1) !== true)
      return { fault: `what its exponentials are multiplied by, "${mask.value}", is not proven to be a padding mask` };
    // Nothing but convention makes a float input 0 or 1, and here a fraction is a weight.
    const soft = [...inputsBehind(model)(mask.value)].find((name) => isFloatInput(model, name));
    if (soft !== undefined) return { fault: `its exponentials are multiplied by the float input "${soft}"` };
    const showsAll = contents.among.every((v) => v === 1);
    const number = showsAll ? hidesNothing : numberOf(model, mask.value, (v) => v > 0);
    return { kind: 'multiplicative', number, manyRows };
  }
  if (mask.kind === 'where') {
    const hidden = Number(mask.paddedWhen);
    const showsAll = contents?.among?.every((v) => v !== hidden) === true;
    const number = showsAll ? hidesNothing : numberOf(model, mask.value, (v) => (v !== 0) !== mask.paddedWhen);
    if (mask.fill !== undefined && mask.fill * scaled <= -100)
      return { kind: 'where', number, minimum: mask.fill, manyRows };
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
  return { kind: 'additive', number: numberOf(model, mask.value, (v) => v === 0), minimum, manyRows };
};
