/**
 * The softmax of the published PuMer code, which has no Softmax node (`differentiable_masked_softmax`):
 *
 *   e = Exp(s - ReduceMax(s)) * M      p = (e + eps / N) / (ReduceSum(e) + eps)
 *
 * M is a key mask m, or m + (1 - m) * I, under which padded rows still see themselves; either perhaps times weights.
 */
import type { AttentionPattern, PatternContext } from '../../src/analysis/attention.ts';
import { dimValue, sameDim, type Dim } from '../../src/analysis/dim.ts';
import { isQuantised, unwrapped } from '../../src/analysis/number-types.ts';
import type { Node, ValueName } from '../../src/graph/model.ts';
import { overKeys } from './row-maximum.ts';
import { eitherWay, made, maskWithSelf } from './self-seeing-mask.ts';

const exponential = (
  c: PatternContext,
  value: ValueName,
): { scores: ValueName; max: Node; shift: Node } | undefined => {
  const exp = made(c, value, 'Exp');
  const shift = exp && made(c, exp.inputs[0] ?? '', 'Sub');
  const max = shift && made(c, shift.inputs[1] ?? '', 'ReduceMax');
  if (shift === undefined || max === undefined || !sameBehind(c, max.inputs[0], shift.inputs[0]) || !overKeys(c, max))
    return undefined;
  return { scores: shift.inputs[0] ?? '', max, shift };
};

/** The same value, in whatever number type either is read. */
const sameBehind = (c: PatternContext, a: ValueName | undefined, b: ValueName | undefined): boolean =>
  unwrapped(c.model, a ?? '') === unwrapped(c.model, b ?? '');

/** Is this eps / N, N the number of keys, however it is written? Copies of N from elsewhere count: they are equal now. */
const isFloor = (c: PatternContext, value: ValueName, eps: number, keys: Dim): boolean => {
  const folded = c.constant(value);
  const size = dimValue(keys);
  if (folded !== undefined)
    return size !== undefined && folded.length === 1 && Math.abs((folded[0] as number) * size - eps) < 1e-5 * eps;
  const isSize = (v: ValueName): boolean => {
    const n = c.size(v);
    return n !== undefined && sameDim(n, keys);
  };
  const quotient = made(c, value, 'Div');
  if (quotient !== undefined)
    return c.constant(quotient.inputs[0] ?? '')?.[0] === eps && isSize(quotient.inputs[1] ?? '');
  const product = made(c, value, 'Mul');
  const found =
    product &&
    eitherWay(product, (inverse, factor) => {
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
    if (sum === undefined || weighted === undefined || !overKeys(c, sum)) return undefined;
    // With eps / N added to it, or without.
    const bare = sameBehind(c, node.inputs[0], weighted);
    const above = bare ? undefined : made(c, node.inputs[0] ?? '', 'Add');
    const weightedInput = above?.inputs.findIndex((v) => sameBehind(c, v, weighted)) ?? -1;
    if (!bare && weightedInput < 0) return undefined;
    const rounded = [...node.inputs, ...below.inputs, weighted].find((v) => isQuantised(c.model, v));
    if (rounded !== undefined)
      return {
        spelling: 'masked-exponential',
        at: node,
        expected: 'weighed exponentials as they are',
        found: `quantised ones ("${rounded}"), whose steps and limits no size of a merged token fits`,
      };
    const product = made(c, weighted, 'Mul');
    const parts =
      product &&
      eitherWay(product, (e, m, side) => {
        const exp = exponential(c, e);
        return exp && { ...exp, mask: m, side };
      });
    if (product === undefined || parts === undefined)
      return {
        spelling: 'masked-exponential',
        at: product ?? sum,
        expected: 'exp(scores - max) times a mask',
        found: product?.op ?? sum.op,
      };
    const eps = below.inputs.map((v) => c.constant(v)?.[0]).find((v) => v !== undefined) ?? 0;
    const floorInput = 1 - weightedInput;
    const keys = c.dims(weighted)?.at(-1);
    if (above !== undefined && (keys === undefined || !isFloor(c, above.inputs[floorInput] ?? '', eps, keys)))
      return {
        spelling: 'masked-exponential',
        at: above,
        expected: 'eps / (number of keys) added to the weighed exponentials',
        found: 'another value',
      };
    const floor = above === undefined ? undefined : { node: above, input: floorInput, eps };
    const entry = { node: product, input: 1 - parts.side };
    const weighed = made(c, parts.mask, 'Mul');
    const withSelf = maskWithSelf(c, parts.mask) ?? (weighed && eitherWay(weighed, (m) => maskWithSelf(c, m)));
    return {
      spelling: 'masked-exponential',
      scores: parts.scores,
      probabilities: node.outputs[0] ?? '',
      biasEntry: { node: parts.shift, input: 0 },
      mask: {
        kind: 'multiplicative',
        value: withSelf?.value ?? parts.mask,
        entry,
        seesSelf: withSelf !== undefined,
        ...(floor && { floor }),
      },
      owned: [node, sum, parts.max, product, below, parts.shift, ...(above === undefined ? [] : [above])],
      ...(withSelf && { selfSeeing: [...withSelf.selfSeeing, product] }),
    };
  },
};
