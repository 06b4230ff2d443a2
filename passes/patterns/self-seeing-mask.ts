/**
 * The published PuMer code's key mask M = m + (1 - m) * I, in the ways exporters leave it, and the small climbing
 * steps its softmax shares.
 */
import type { PatternContext } from '../../src/analysis/attention.ts';
import { isWrapper } from '../../src/analysis/number-types.ts';
import type { Node, Tensor, ValueName } from '../../src/graph/model.ts';
import { intOf, readNumbers } from '../../src/graph/tensors.ts';
import { dimValue, sameDim } from '../../src/analysis/dim.ts';
import { constantTensor } from '../../src/graph/uses.ts';

/** Follows casts and quantisation back to where a value is made. */
export const made = (c: PatternContext, value: ValueName, op: string): Node | undefined => {
  let node = c.producer(value);
  while (node !== undefined && isWrapper(node) && node.op !== op) node = c.producer(node.inputs[0] ?? '');
  return node?.op === op ? node : undefined;
};

/** Operand `side` of a commutative node such that the other one satisfies `other`. */
export const eitherWay = <T>(
  node: Node,
  test: (one: ValueName, other: ValueName, side: number) => T | undefined,
): T | undefined =>
  test(node.inputs[0] ?? '', node.inputs[1] ?? '', 0) ?? test(node.inputs[1] ?? '', node.inputs[0] ?? '', 1);

const sameSource = (c: PatternContext, a: ValueName, b: ValueName): boolean => c.number(a) === c.number(b);

/** An identity matrix: EyeLike, Range against itself, or a constant that is one. */
const isIdentity = (c: PatternContext, value: ValueName): boolean => {
  for (let at = value; ;) {
    const constant = constantTensor(c.model, at);
    if (constant !== undefined) return isConstantIdentity(constant);
    const node = c.producer(at);
    if (node === undefined) return false;
    if (node.op === 'EyeLike') return intOf(node, 'k', 0) === 0;
    if (node.op === 'Equal') return isSquare(c, at) && isRangeAgainstItself(c, node);
    if (!isWrapper(node) && !['Reshape', 'Unsqueeze', 'Expand'].includes(node.op)) return false;
    at = node.inputs[0] ?? '';
  }
};

/** A column against a row; a row against itself would be all ones. */
const isSquare = (c: PatternContext, value: ValueName): boolean => {
  const [rows, columns] = c.dims(value)?.slice(-2) ?? [];
  return rows !== undefined && columns !== undefined && sameDim(rows, columns) && dimValue(rows) !== 1;
};

const isRangeAgainstItself = (c: PatternContext, node: Node): boolean =>
  eitherWay(node, (column, row) => {
    const turned = made(c, column, 'Unsqueeze');
    return (
      (turned !== undefined && made(c, row, 'Range') !== undefined && sameSource(c, turned.inputs[0] ?? '', row)) ||
      undefined
    );
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
  if (minus !== undefined)
    return c.constant(minus.inputs[0] ?? '')?.[0] === 1 && sameSource(c, minus.inputs[1] ?? '', m);
  const [folded, mask] = [inverse, m].map((v) => constantTensor(c.model, v));
  const numbers = folded && readNumbers(folded);
  const shown = mask && readNumbers(mask);
  return (
    numbers !== undefined && shown?.length === numbers.length && numbers.every((v, i) => v === 1 - (shown[i] as number))
  );
};

export interface KeyMask {
  readonly value: ValueName;
  readonly selfSeeing: readonly Node[];
}

/** M = m + (1 - m) * I: m, and the product with I. */
export const maskWithSelf = (c: PatternContext, value: ValueName): KeyMask | undefined => {
  const sum = made(c, value, 'Add');
  return (
    sum &&
    eitherWay(sum, (m, rest) => {
      const product = made(c, rest, 'Mul');
      return (
        product &&
        eitherWay(product, (inverse, eye) =>
          isIdentity(c, eye) && isInverse(c, inverse, m) ? { value: m, selfSeeing: [product] } : undefined,
        )
      );
    })
  );
};
