/**
 * The softmax of the published PuMer code, which has no Softmax node (`differentiable_masked_softmax`):
 *
 *   e = Exp(s - ReduceMax(s)) * M      p = (e + eps / N) / (ReduceSum(e) + eps)
 *
 * M is a key mask m, or m + (1 - m) * I, under which padded rows still see themselves; either perhaps times weights.
 */
import type { AttentionPattern, PatternContext } from '../../src/analysis/attention.ts';
import { dimValue, sameDim, type Dim } from '../../src/analysis/dim.ts';
import type { Node, Tensor, ValueName } from '../../src/graph/model.ts';
import { readNumbers } from '../../src/graph/tensors.ts';
import { constantTensor } from '../../src/graph/uses.ts';

/** Follows casts back to where a value is made. */
const made = (c: PatternContext, value: ValueName, op: string): Node | undefined => {
  let node = c.producer(value);
  while (node !== undefined && (node.op === 'Cast' || node.op === 'Identity') && node.op !== op) node = c.producer(node.inputs[0] ?? '');
  return node?.op === op ? node : undefined;
};

/** Operand `side` of a commutative node such that the other one satisfies `other`. */
const eitherWay = <T>(node: Node, test: (one: ValueName, other: ValueName, side: number) => T | undefined): T | undefined =>
  test(node.inputs[0] ?? '', node.inputs[1] ?? '', 0) ?? test(node.inputs[1] ?? '', node.inputs[0] ?? '', 1);

const sameSource = (c: PatternContext, a: ValueName, b: ValueName): boolean => c.number(a) === c.number(b);

/** An identity matrix: EyeLike, Range against itself, or a constant that is one. */
const isIdentity = (c: PatternContext, value: ValueName): boolean => {
  for (let at = value; ; ) {
    const constant = constantTensor(c.model, at);
    if (constant !== undefined) return isConstantIdentity(constant);
    const node = c.producer(at);
    if (node === undefined || node.op === 'EyeLike') return node !== undefined;
    if (node.op === 'Equal') return isRangeAgainstItself(c, node);
    if (!['Cast', 'Identity', 'Reshape', 'Unsqueeze', 'Expand'].includes(node.op)) return false;
    at = node.inputs[0] ?? '';
  }
};

const isRangeAgainstItself = (c: PatternContext, node: Node): boolean =>
  eitherWay(node, (column, row) => {
    const turned = made(c, column, 'Unsqueeze');
    return (turned !== undefined && made(c, row, 'Range') !== undefined && sameSource(c, turned.inputs[0] ?? '', row)) || undefined;
  }) ?? false;

/** Reads at most a 1024 x 1024 matrix. */
const isConstantIdentity = (tensor: Tensor): boolean => {
  const [rows, columns] = tensor.dims.slice(-2);
  const numbers = readNumbers(tensor, 1024 * 1024);
  if (rows === undefined || columns === undefined || numbers?.length !== rows * columns) return false;
  return numbers.every((v, i) => v === (Math.floor(i / columns) === i % columns ? 1 : 0));
};

/** inverse = 1 - m, computed or folded to a constant. */
const isInverse = (c: PatternContext, inverse: ValueName, m: ValueName): boolean => {
  const minus = made(c, inverse, 'Sub');
  if (minus !== undefined) return c.constant(minus.inputs[0] ?? '')?.[0] === 1 && sameSource(c, minus.inputs[1] ?? '', m);
  const [folded, mask] = [inverse, m].map((v) => constantTensor(c.model, v));
  const numbers = folded && readNumbers(folded);
  const shown = mask && readNumbers(mask);
  return numbers !== undefined && shown?.length === numbers.length && numbers.every((v, i) => v === 1 - (shown[i] as number));
};

interface KeyMask {
  readonly value: ValueName;
  readonly selfSeeing: readonly Node[];
}

/** M = m + (1 - m) * I: m, and the product with I. */
const maskWithSelf = (c: PatternContext, value: ValueName): KeyMask | undefined => {
  const sum = made(c, value, 'Add');
  return (
    sum &&
    eitherWay(sum, (m, rest) => {
      const product = made(c, rest, 'Mul');
      return product && eitherWay(product, (inverse, eye) => (isIdentity(c, eye) && isInverse(c, inverse, m) ? { value: m, selfSeeing: [product] } : undefined));
    })
  );
};

const exponential = (c: PatternContext, value: ValueName): { scores: ValueName; max: Node; shift: Node } | undefined => {
  const exp = made(c, value, 'Exp');
  const shift = exp && made(c, exp.inputs[0] ?? '', 'Sub');
  const max = shift && made(c, shift.inputs[1] ?? '', 'ReduceMax');
  if (shift === undefined || max === undefined || max.inputs[0] !== shift.inputs[0]) return undefined;
  return { scores: shift.inputs[0] ?? '', max, shift };
};

/** Is this eps / N, N the number of keys, however it is written? Copies of N from elsewhere count: they are equal now. */
const isFloor = (c: PatternContext, value: ValueName, eps: number, keys: Dim): boolean => {
  const folded = c.constant(value);
  const size = dimValue(keys);
  if (folded !== undefined) return size !== undefined && folded.length === 1 && Math.abs((folded[0] as number) * size - eps) < 1e-5 * eps;
  const isSize = (v: ValueName): boolean => {
    const n = c.size(v);
    return n !== undefined && sameDim(n, keys);
  };
  const quotient = made(c, value, 'Div');
  if (quotient !== undefined) return c.constant(quotient.inputs[0] ?? '')?.[0] === eps && isSize(quotient.inputs[1] ?? '');
  const product = made(c, value, 'Mul');
  const found = product && eitherWay(product, (inverse, factor) => {
    const reciprocal = made(c, inverse, 'Reciprocal');
    return reciprocal && c.constant(factor)?.[0] === eps ? isSize(reciprocal.inputs[0] ?? '') : undefined;
  });
  return found === true;
};

export const maskedExponentialPattern: AttentionPattern = {
  name: 'masked-exponential',
  match: (c, node) => {
    if (node.op !== 'Div' || node.domain !== '') return undefined;
    const below = made(c, node.inputs[1] ?? '', 'Add');
    if (below === undefined) return undefined;
    const sum = eitherWay(below, (s, eps) => (c.constant(eps)?.length === 1 ? made(c, s, 'ReduceSum') : undefined));
    const weighted = sum?.inputs[0];
    if (sum === undefined || weighted === undefined) return undefined;
    // With eps / N added to it, or without.
    const above = node.inputs[0] === weighted ? undefined : made(c, node.inputs[0] ?? '', 'Add');
    if (node.inputs[0] !== weighted && above?.inputs.includes(weighted) !== true) return undefined;
    const product = made(c, weighted, 'Mul');
    const parts = product && eitherWay(product, (e, m, side) => {
      const exp = exponential(c, e);
      return exp && { ...exp, mask: m, side };
    });
    if (product === undefined || parts === undefined)
      return { spelling: 'masked-exponential', at: product ?? sum, expected: 'exp(scores - max) times a mask', found: product?.op ?? sum.op };
    const eps = below.inputs.map((v) => c.constant(v)?.[0]).find((v) => v !== undefined) ?? 0;
    const floorInput = above === undefined ? -1 : above.inputs.findIndex((v) => v !== weighted);
    const keys = c.dims(weighted)?.at(-1);
    if (above !== undefined && (keys === undefined || !isFloor(c, above.inputs[floorInput] ?? '', eps, keys)))
      return { spelling: 'masked-exponential', at: above, expected: 'eps / (number of keys) added to the weighed exponentials', found: 'another value' };
    const floor = above === undefined ? undefined : { node: above, input: floorInput, eps };
    const entry = { node: product, input: 1 - parts.side };
    const weighed = made(c, parts.mask, 'Mul');
    const withSelf = maskWithSelf(c, parts.mask) ?? (weighed && eitherWay(weighed, (m) => maskWithSelf(c, m)));
    return {
      spelling: 'masked-exponential',
      scores: parts.scores,
      probabilities: node.outputs[0] ?? '',
      biasEntry: { node: parts.shift, input: 0 },
      mask: { kind: 'multiplicative', value: withSelf?.value ?? parts.mask, entry, seesSelf: withSelf !== undefined, ...(floor && { floor }) },
      owned: [node, sum, parts.max, product, below, parts.shift, ...(above === undefined ? [] : [above])],
      ...(withSelf && { selfSeeing: [...withSelf.selfSeeing, product] }),
    };
  },
};
