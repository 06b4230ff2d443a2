/**
 * Finds attention by structure: a product of queries and keys, normalised over the keys, applied to values. How
 * exporters spell the normalisation comes as patterns from outside; this file joins them to the products around
 * them and to the lanes on their axes. A match that fails says where it stopped and why.
 */
import { opsetOf, type Model, type Node, type ValueName } from '../graph/model.ts';
import { usesOf } from '../graph/uses.ts';
import { dimValue, sameDim, type Dim } from './dim.ts';
import { tokensOf, type Segment } from './labels.ts';
import type { Lanes } from './lanes.ts';
import { scoresLayout, type ScoresLayout } from './layout.ts';
import { constantNumbers, isFixed, isWrapper } from './number-types.ts';
import { shapesOf } from './shapes.ts';
import { valueNumbers } from './value-numbers.ts';

/** An input of a node, through which something is added to the scores or filled in. */
export interface Entry {
  readonly node: Node;
  readonly input: number;
}

/** How a model keeps padded keys out of the softmax. */
export interface AttentionMask {
  /** additive: scores + value; where: value is the condition; multiplicative: exp(scores) * value. */
  readonly kind: 'additive' | 'where' | 'multiplicative';
  readonly value: ValueName;
  /** The input through which all of the mask enters. */
  readonly entry: Entry;
  /** What the value is multiplied with before it enters, and what everything there is on its way to the softmax: 1. */
  readonly scale?: number;
  readonly scaleBehind?: number;
  /** where: the condition's value for a padded key. */
  readonly paddedWhen?: boolean;
  /** where: the number padded scores become. */
  readonly fill?: number;
  /** multiplicative: where eps / (number of keys) is added to the weighed exponentials. */
  readonly floor?: Entry & { readonly eps: number };
  /** multiplicative: what enters is value + (1 - value) * I, by which padded rows see themselves. */
  readonly seesSelf?: boolean;
}

/** What is added to the scores and is no padding mask: perhaps a number for each pair of a query and a key. */
export interface AddedBias {
  readonly value: ValueName;
  /** Shared with the mask, or with other biases, where they are added up before they meet the scores. */
  readonly entry: Entry;
  /** As of a mask. */
  readonly scale: number;
  readonly scaleBehind: number;
}

/** A normalisation over keys, as one spelling writes it. */
export interface NormalisedScores {
  readonly spelling: string;
  /** Scores before mask and normalisation (after or before the scale). */
  readonly scores: ValueName;
  readonly probabilities: ValueName;
  /** The input through which a bias may be added to the scores just before normalisation. */
  readonly biasEntry: Entry;
  readonly mask?: AttentionMask;
  /** A second mask, added to or filled into the scores. */
  readonly secondMask?: ValueName;
  readonly biases?: readonly AddedBias[];
  /** multiplicative: products with an identity matrix by which padded rows see themselves. */
  readonly selfSeeing?: readonly Node[];
  /** Nodes of the normalisation that may work across keys. */
  readonly owned: readonly Node[];
}

export interface NearMiss {
  readonly spelling: string;
  readonly at: Node;
  readonly expected: string;
  readonly found: string;
}

export interface PatternContext {
  readonly model: Model;
  readonly producer: (value: ValueName) => Node | undefined;
  /** The numbers a small constant holds, seen through casts and quantisation. */
  readonly constant: (value: ValueName) => readonly number[] | undefined;
  readonly dims: (value: ValueName) => readonly Dim[] | undefined;
  /** The one number a value holds, where it is known: 24, or sequence + 65. */
  readonly size: (value: ValueName) => Dim | undefined;
  readonly opset: number;
  /** Equal numbers: provably the same elements. */
  readonly number: (value: ValueName) => number;
}

export interface AttentionPattern {
  readonly name: string;
  /** Undefined: not this spelling's business. */
  readonly match: (c: PatternContext, node: Node) => NormalisedScores | NearMiss | undefined;
}

export interface Attention extends NormalisedScores {
  /** The product of queries and keys. */
  readonly product: Node;
  /** Queries [.., Lq, d] and keys [.., d, Lk], as the product reads them. */
  readonly query: ValueName;
  readonly key: ValueName;
  /** The product of probabilities and values. */
  readonly apply: Node;
  readonly value: ValueName;
  readonly context: ValueName;
  /** How the product lays out its scores; undefined where its batch axis is not proven. */
  readonly layout: ScoresLayout | undefined;
  /** The same where the mask (or a bias) enters: heads may be folded into the batch on one side of it only. */
  readonly entryLayout: ScoresLayout | undefined;
  /** The same in front of the softmax. */
  readonly softmaxLayout: ScoresLayout | undefined;
  readonly queryTokens: readonly Segment[];
  readonly keyTokens: readonly Segment[];
}

export interface AttentionFacts {
  readonly attentions: readonly Attention[];
  readonly nearMisses: readonly NearMiss[];
}

/** Operators between products that only rescale, retype or refold scores (quantisers round and cap them, too). */
const rescales = (c: PatternContext, node: Node): boolean => {
  if (isWrapper(node) || refolds(c, node)) return true;
  const operand = node.op === 'Mul' || node.op === 'Div' ? scaleOperand(c, node) : undefined;
  return operand !== undefined;
};

const reshapes = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten']);

/** [B*H, Lq, Lk] to [B, H, Lq, Lk] or back: the last two axes stay what they are. */
export const refolds = (c: PatternContext, node: Node): boolean => {
  if (!reshapes.has(node.op) || node.domain !== '') return false;
  const [before, after] = [node.inputs[0], node.outputs[0]].map((v) => c.dims(v ?? '')?.slice(-2));
  return before?.length === 2 && after?.length === 2 && before.every((d, i) => sameDim(d, after[i] as Dim));
};

/** The input of a Mul or Div by a single number that is not that number. */
export const scaleOperand = (c: PatternContext, node: Node): number | undefined => {
  const [a, b] = node.inputs as [ValueName, ValueName];
  if (isNumber(c, b)) return 0;
  return node.op === 'Mul' && isNumber(c, a) ? 1 : undefined;
};

/** A constant number, or one worked out of sizes alone: sqrt(d) from the shape of the queries. */
const isNumber = (c: PatternContext, value: ValueName): boolean =>
  c.constant(value)?.length === 1 ||
  (c.dims(value)?.every((d) => dimValue(d) === 1) === true && isFixed(c.model, value));

const isMatMul = (node: Node): boolean => node.op === 'MatMul' && node.domain === '';

/** Climbs from scores, over scale and casts, to the product of two computed values. */
export const climbToProduct = (
  c: PatternContext,
  from: ValueName,
): { product: Node } | { stopped: Node | undefined } => {
  for (let value = from; ;) {
    const node = c.producer(value);
    if (node === undefined) return { stopped: undefined };
    if (isMatMul(node)) return isFixed(c.model, node.inputs[1] ?? '') ? { stopped: node } : { product: node };
    if (!rescales(c, node)) return { stopped: node };
    value = node.inputs[scaleOperand(c, node) ?? 0] ?? '';
  }
};

/** Where(IsNaN(p), 0, p): how exporters spell a softmax whose rows may all be hidden. */
const replacesNaN = (model: Model, node: Node, probabilities: ValueName): boolean =>
  node.op === 'Where' &&
  usesOf(model.graph).producer(node.inputs[0] ?? '')?.op === 'IsNaN' &&
  node.inputs[2] === probabilities;

/** The product that applies probabilities to values, in whatever number type and folding. */
const applied = (c: PatternContext, probabilities: ValueName): Node | undefined => {
  const { model } = c;
  const uses = usesOf(model.graph);
  const queue = [probabilities];
  for (let value = queue.shift(); value !== undefined; value = queue.shift())
    for (const { node, input } of uses.consumers(value)) {
      if (isMatMul(node) && input === 0) return node;
      const passes = (isWrapper(node) && input === 0) || refolds(c, node) || replacesNaN(model, node, value);
      if (passes) queue.push(node.outputs[0] ?? '');
    }
  return undefined;
};

export const patternContext = (model: Model): PatternContext => {
  const uses = usesOf(model.graph);
  return {
    model,
    producer: (value) => uses.producer(value),
    constant: (value) => constantNumbers(model, value),
    dims: (value) => shapesOf(model).of(value)?.dims,
    size: (value) => {
      const values = shapesOf(model).of(value)?.ints?.values;
      return values?.length === 1 ? values[0] : undefined;
    },
    opset: opsetOf(model),
    number: valueNumbers(model),
  };
};

/** All attention layers of a model in graph order, and the softmaxes that are not quite one. */
export const findAttention = (model: Model, lanes: Lanes, patterns: readonly AttentionPattern[]): AttentionFacts => {
  const c = patternContext(model);
  const attentions: Attention[] = [];
  const nearMisses: NearMiss[] = [];
  for (const node of model.graph.nodes)
    for (const pattern of patterns) {
      const found = pattern.match(c, node);
      if (found === undefined) continue;
      if (!('scores' in found)) {
        nearMisses.push(found);
        break;
      }
      const climbed = climbToProduct(c, found.scores);
      if (!('product' in climbed)) {
        nearMisses.push({
          spelling: found.spelling,
          at: climbed.stopped ?? node,
          expected: 'a product of queries and keys',
          found: climbed.stopped?.op ?? 'a graph input',
        });
        break;
      }
      const apply = applied(c, found.probabilities);
      if (apply === undefined) {
        nearMisses.push({
          spelling: found.spelling,
          at: node,
          expected: 'a product of the probabilities and values',
          found: 'none',
        });
        break;
      }
      const labels = lanes.of(climbed.product.outputs[0] ?? '');
      const rank = labels?.length ?? 0;
      attentions.push({
        ...found,
        product: climbed.product,
        query: climbed.product.inputs[0] ?? '',
        key: climbed.product.inputs[1] ?? '',
        apply,
        value: apply.inputs[1] ?? '',
        context: apply.outputs[0] ?? '',
        layout: scoresLayout(labels, lanes.singleRow),
        entryLayout: scoresLayout(
          lanes.of((found.mask?.entry ?? found.biasEntry).node.outputs[0] ?? ''),
          lanes.singleRow,
        ),
        softmaxLayout: scoresLayout(lanes.of(found.biasEntry.node.outputs[0] ?? ''), lanes.singleRow),
        queryTokens: tokensOf(labels?.[rank - 2]) ?? [],
        keyTokens: tokensOf(labels?.[rank - 1]) ?? [],
      });
      break;
    }
  return { attentions, nearMisses };
};
