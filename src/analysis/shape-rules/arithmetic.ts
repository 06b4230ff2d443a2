/**
 * Elementwise arithmetic on known contents: integers, truth values as 0 and 1, and floats that came from integers.
 * What a polynomial cannot hold becomes an expression symbol; undefined means that the contents are given up.
 */
import { DataType } from '../../graph/model.ts';
import { addDims, constDim, dimValue, mulDims, negDim, sameDim, subDims, type Dim } from '../dim.ts';
import type { Symbols } from './symbols.ts';

export interface Arithmetic {
  readonly symbols: Symbols;
  /** Element type of the operands. */
  readonly dataType: DataType;
  /** Mod's fmod attribute. */
  readonly fmod: boolean;
}

export type ElementRule = (s: Arithmetic, ...operands: Dim[]) => Dim | undefined;

export const isFloat = (dataType: DataType): boolean =>
  dataType === DataType.FLOAT ||
  dataType === DataType.DOUBLE ||
  dataType === DataType.FLOAT16 ||
  dataType === DataType.BFLOAT16;

const truth = { lo: 0, hi: 1 };
const yes = constDim(1);
const no = constDim(0);

/** A comparison that the bounds of a - b decide, or an expression that is 0 or 1. */
const comparison =
  (
    op: string,
    holds: (difference: number) => boolean,
    decides: (lo: number, hi: number) => boolean | undefined,
  ): ElementRule =>
  ({ symbols }, a, b) => {
    const difference = subDims(a, b);
    const { lo, hi } = symbols.boundsOf(difference);
    const known = decides(lo, hi);
    if (known !== undefined) return known ? yes : no;
    return symbols.expression(op, [a, b], (x, y) => (holds(x - y) ? 1 : 0), truth);
  };

const equal = comparison(
  'equal',
  (d) => d === 0,
  (lo, hi) => (lo > 0 || hi < 0 ? false : lo === 0 && hi === 0 ? true : undefined),
);
const less = comparison(
  'less',
  (d) => d < 0,
  (lo, hi) => (hi < 0 ? true : lo >= 0 ? false : undefined),
);
const lessOrEqual = comparison(
  'atmost',
  (d) => d <= 0,
  (lo, hi) => (hi <= 0 ? true : lo > 0 ? false : undefined),
);

const negated = (a: Dim): Dim => (dimValue(a) === undefined ? subDims(yes, a) : dimValue(a) === 0 ? yes : no);

const div: ElementRule = ({ symbols, dataType }, a, b) => {
  if (dimValue(b) === 0) return undefined;
  return isFloat(dataType) ? symbols.ratio(a, b) : symbols.truncDiv(a, b);
};

const mod: ElementRule = ({ symbols, dataType, fmod }, a, b) => {
  if (isFloat(dataType) || dimValue(b) === 0) return undefined;
  const quotient = fmod ? symbols.truncDiv(a, b) : symbols.floorDiv(a, b);
  return subDims(a, mulDims(quotient, b));
};

const pow: ElementRule = (_, a, b) => {
  const exponent = dimValue(b);
  if (exponent === undefined || !Number.isInteger(exponent) || exponent < 0 || exponent > 8) return undefined;
  return Array.from({ length: exponent }, () => a).reduce(mulDims, constDim(1));
};

/** Square roots of square numbers: the scale of attention, computed in the graph by some exporters. */
const sqrt: ElementRule = (_, a) => {
  const root = Math.sqrt(dimValue(a) ?? NaN);
  return Number.isInteger(root) ? constDim(root) : undefined;
};

export const whereElement = (symbols: Symbols, condition: Dim, a: Dim, b: Dim): Dim => {
  const known = dimValue(condition);
  if (known !== undefined) return known !== 0 ? a : b;
  if (sameDim(a, b)) return a;
  const [x, y] = [symbols.boundsOf(a), symbols.boundsOf(b)];
  const bounds = { lo: Math.min(x.lo, y.lo), hi: Math.max(x.hi, y.hi) };
  return symbols.expression('where', [condition, a, b], (c, p, q) => (c !== 0 ? p : q), bounds);
};

export const elementRules: ReadonlyMap<string, ElementRule> = new Map<string, ElementRule>([
  ['Add', (_, a, b) => addDims(a, b)],
  ['Sub', (_, a, b) => subDims(a, b)],
  ['Mul', (_, a, b) => mulDims(a, b)],
  ['Div', div],
  ['Mod', mod],
  ['Pow', pow],
  ['Neg', (_, a) => negDim(a)],
  ['Abs', ({ symbols }, a) => symbols.max(a, negDim(a))],
  ['Sqrt', sqrt],
  ['Floor', ({ symbols }, a) => symbols.round('floor', a)],
  ['Ceil', ({ symbols }, a) => symbols.round('ceil', a)],
  ['Round', ({ symbols }, a) => (symbols.isWhole(a) ? a : undefined)],
  ['Max', ({ symbols }, ...v) => v.reduce(symbols.max)],
  ['Min', ({ symbols }, ...v) => v.reduce(symbols.min)],
  ['Sum', (_, ...v) => v.reduce(addDims)],
  ['Equal', equal],
  ['Less', less],
  ['LessOrEqual', lessOrEqual],
  ['Greater', (s, a, b) => less(s, b, a)],
  ['GreaterOrEqual', (s, a, b) => lessOrEqual(s, b, a)],
  ['And', (_, a, b) => mulDims(a, b)],
  ['Or', (s, a, b) => s.symbols.max(a, b)],
  ['Xor', (s, a, b) => negated(equal(s, a, b) as Dim)],
  ['Not', (_, a) => negated(a)],
  ['Identity', (_, a) => a],
  ['Where', ({ symbols }, c, a, b) => whereElement(symbols, c, a, b)],
]);

/** An element cast from one type to another; undefined where it would change in a way we do not follow. */
export const castElement = (symbols: Symbols, value: Dim, to: DataType): Dim | undefined => {
  const number = dimValue(value);
  if (to === DataType.BOOL) {
    const { lo, hi } = symbols.boundsOf(value);
    if (number !== undefined) return number === 0 ? no : yes;
    if (lo > 0 || hi < 0) return yes;
    return lo >= 0 && hi <= 1 && symbols.isWhole(value)
      ? value
      : symbols.expression('nonzero', [value], (v) => (v === 0 ? 0 : 1), truth);
  }
  // Half floats hold integers exactly up to 2048 only.
  if (to === DataType.FLOAT16) return number !== undefined && Math.abs(number) <= 2048 ? value : undefined;
  if (isFloat(to))
    return to === DataType.BFLOAT16
      ? undefined
      : number === undefined || Math.abs(number) <= 2 ** 24
        ? value
        : undefined;
  if (to === DataType.INT64 || to === DataType.INT32) return symbols.round('trunc', value);
  return undefined;
};
