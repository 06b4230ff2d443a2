/**
 * Sorts what is added to scores: the padding mask, which the layers behind a reduction get anew, and biases, which say
 * something of pairs of tokens. They may come one by one or added up beforehand, perhaps scaled. Only who is who: what
 * a mask or a bias really holds is for mask-facts and pair-biases to prove.
 */
import { scaleOperand, type AddedBias, type Entry, type PatternContext } from '../../src/analysis/attention.ts';
import { contentsOf } from '../../src/analysis/contents.ts';
import { dimValue } from '../../src/analysis/dim.ts';
import type { Node, ValueName } from '../../src/graph/model.ts';

/** One value added to the scores; `scaleBehind` is what the sum is multiplied with on its way to the softmax. */
export interface AddedTerm {
  readonly value: ValueName;
  readonly entry: Entry;
  readonly scaleBehind: number;
}

/** The factor of a Mul or Div by one positive constant, and the value it scales. */
export const scaleOf = (c: PatternContext, node: Node): { factor: number; value: ValueName } | undefined => {
  const operand = node.op === 'Mul' || node.op === 'Div' ? scaleOperand(c, node) : undefined;
  const constant = operand === undefined ? undefined : c.constant(node.inputs[1 - operand] ?? '')?.[0];
  if (operand === undefined || constant === undefined || !(constant > 0)) return undefined;
  return { factor: node.op === 'Mul' ? constant : 1 / constant, value: node.inputs[operand] ?? '' };
};

/** Few numbers, the same for every query and head (which may be folded into the batch), one for each key. */
const looksLikeMask = (c: PatternContext, value: ValueName): boolean => {
  const dims = c.dims(value);
  const contents = contentsOf(c.model)(value);
  const last = dims?.[dims.length - 1];
  if (dims === undefined || last === undefined || dimValue(last) === 1 || contents?.among === undefined) return false;
  return [2, 3].every((back) => {
    const dim = dims[dims.length - back];
    const parts = contents.parts[dims.length - back] ?? [];
    const folded = back === 3 && parts.some((part) => part.uniform && dimValue(part.dim) !== 1);
    return dim === undefined || dimValue(dim) === 1 || parts.every((part) => part.uniform) || folded;
  });
};

interface Part {
  readonly value: ValueName;
  readonly scale: number;
  readonly mask: boolean;
}

/** The summands of a value, taken apart only where one of them is a mask. */
const partsOf = (c: PatternContext, value: ValueName, scale = 1): readonly Part[] => {
  const whole: Part = { value, scale, mask: looksLikeMask(c, value) };
  const node = whole.mask ? undefined : c.producer(value);
  if (node === undefined) return [whole];
  const scaled = scaleOf(c, node);
  const parts =
    node.op === 'Add'
      ? node.inputs.flatMap((v) => partsOf(c, v, scale))
      : node.op === 'Cast' || node.op === 'Identity'
        ? partsOf(c, node.inputs[0] ?? '', scale)
        : scaled && partsOf(c, scaled.value, scale * scaled.factor);
  return parts?.some((part) => part.mask) === true ? parts : [whole];
};

const bare = (term: AddedTerm, { value, scale }: Part): AddedBias => ({ ...term, value, scale });

/** A term by itself that is a number for each key alone is a mask, whatever it holds: so it is named when refused. */
const hasQueries = (c: PatternContext, { value }: AddedTerm): boolean => {
  const dims = c.dims(value);
  const queries = dims?.[dims.length - 2];
  return queries !== undefined && dimValue(queries) !== 1;
};

export interface SortedTerms {
  readonly masks: readonly AddedBias[];
  readonly biases: readonly AddedBias[];
}

export const sortTerms = (c: PatternContext, terms: readonly AddedTerm[]): SortedTerms => {
  const parts = terms.flatMap((term) => partsOf(c, term.value).map((part) => ({ term, part })));
  const all = parts.map(({ term, part }) => bare(term, part));
  const [only, ...more] = all;
  if (only !== undefined && more.length === 0 && !hasQueries(c, only)) return { masks: [only], biases: [] };
  return { masks: all.filter((_, i) => parts[i]?.part.mask), biases: all.filter((_, i) => !parts[i]?.part.mask) };
};
