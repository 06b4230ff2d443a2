/**
 * The softmax of the published PuMer code, which has no Softmax node (`differentiable_masked_softmax`):
 *
 *   e = Exp(s - ReduceMax(s)) * M      p = (e + eps / N) / (ReduceSum(e) + eps)
 *
 * M is a key mask m, or m + (1 - m) * I, under which padded rows still see themselves; either perhaps times weights.
 */
import type { AttentionMask, AttentionPattern, PatternContext } from '../../src/analysis/attention.ts';
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

/** An identity matrix: made by EyeLike, or a constant that is one. */
const isIdentity = (c: PatternContext, value: ValueName): boolean => {
  const constant = constantTensor(c.model, value);
  if (constant !== undefined) return isConstantIdentity(constant);
  let node = c.producer(value);
  while (node !== undefined && ['Cast', 'Identity', 'Reshape', 'Unsqueeze', 'Expand'].includes(node.op)) node = c.producer(node.inputs[0] ?? '');
  return node?.op === 'EyeLike';
};

/** Reads at most a 1024 x 1024 matrix. */
const isConstantIdentity = (tensor: Tensor): boolean => {
  const [rows, columns] = tensor.dims.slice(-2);
  const numbers = readNumbers(tensor, 1024 * 1024);
  if (rows === undefined || columns === undefined || numbers?.length !== rows * columns) return false;
  return numbers.every((v, i) => v === (Math.floor(i / columns) === i % columns ? 1 : 0));
};

/** M = m + (1 - m) * eye: the entries of m, both of them. */
const maskWithSelf = (c: PatternContext, value: ValueName): { mask: AttentionMask; selfSeeing: readonly Node[] } | undefined => {
  const sum = made(c, value, 'Add');
  if (sum === undefined) return undefined;
  return eitherWay(sum, (m, rest, side) => {
    const product = made(c, rest, 'Mul');
    if (product === undefined) return undefined;
    return eitherWay(product, (inverse, eye, inverseSide) => {
      const minus = made(c, inverse, 'Sub');
      if (minus === undefined || c.constant(minus.inputs[0] ?? '')?.[0] !== 1) return undefined;
      if (!sameSource(c, minus.inputs[1] ?? '', m) || !isIdentity(c, eye)) return undefined;
      const entries = [
        { node: sum, input: side },
        { node: minus, input: 1 },
      ];
      const identity = { node: product, input: 1 - inverseSide };
      return { mask: { kind: 'multiplicative' as const, value: m, entries, identity }, selfSeeing: [product] };
    });
  });
};

const exponential = (c: PatternContext, value: ValueName): { scores: ValueName; max: Node; shift: Node } | undefined => {
  const exp = made(c, value, 'Exp');
  const shift = exp && made(c, exp.inputs[0] ?? '', 'Sub');
  const max = shift && made(c, shift.inputs[1] ?? '', 'ReduceMax');
  if (shift === undefined || max === undefined || max.inputs[0] !== shift.inputs[0]) return undefined;
  return { scores: shift.inputs[0] ?? '', max, shift };
};

export const maskedExponentialPattern: AttentionPattern = {
  name: 'masked-exponential',
  match: (c, node) => {
    if (node.op !== 'Div' || node.domain !== '') return undefined;
    const above = made(c, node.inputs[0] ?? '', 'Add');
    const below = made(c, node.inputs[1] ?? '', 'Add');
    if (above === undefined || below === undefined) return undefined;
    const sum = eitherWay(below, (s, eps) => (c.constant(eps)?.length === 1 ? made(c, s, 'ReduceSum') : undefined));
    const weighted = sum?.inputs[0];
    if (sum === undefined || weighted === undefined || !above.inputs.includes(weighted)) return undefined;
    const product = made(c, weighted, 'Mul');
    const parts = product && eitherWay(product, (e, m, side) => {
      const exp = exponential(c, e);
      return exp && { ...exp, mask: m, side };
    });
    if (product === undefined || parts === undefined)
      return { spelling: 'masked-exponential', at: product ?? sum, expected: 'exp(scores - max) times a mask', found: product?.op ?? sum.op };
    const whole = { node: product, input: 1 - parts.side };
    const weighed = made(c, parts.mask, 'Mul');
    const withSelf = maskWithSelf(c, parts.mask) ?? (weighed && eitherWay(weighed, (m) => maskWithSelf(c, m)));
    return {
      spelling: 'masked-exponential',
      scores: parts.scores,
      probabilities: node.outputs[0] ?? '',
      biasEntry: { node: parts.shift, input: 0 },
      mask: withSelf?.mask ?? { kind: 'multiplicative', value: parts.mask, entries: [whole] },
      wholeMask: whole,
      owned: [node, sum, parts.max, product, above, below, parts.shift],
      ...(withSelf && { selfSeeing: [...withSelf.selfSeeing, product] }),
    };
  },
};
