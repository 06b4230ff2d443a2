/**
 * What one node between product and softmax does to scores, read from behind: scales them, adds something, fills in the
 * lowest number, casts without loss, folds heads, takes off the largest. Undefined for anything else.
 */
import { refolds, type PatternContext } from '../../src/analysis/attention.ts';
import { dimValue, sameDim, type Dim } from '../../src/analysis/dim.ts';
import { isStandard, type ScoresLayout } from '../../src/analysis/layout.ts';
import { isFixed } from '../../src/analysis/number-types.ts';
import { DataType, type Node, type ValueName } from '../../src/graph/model.ts';
import { scaleOf } from '../patterns/added-terms.ts';
import { rowMaximum } from '../patterns/row-maximum.ts';

/** Something that meets the scores, laid out as they are there. */
interface Meets {
  readonly value: ValueName;
  readonly layout: ScoresLayout;
}

/** Added; the softmax sees `factor` times it. */
export interface Added extends Meets {
  readonly kind: 'added';
  readonly factor: number;
  readonly type: DataType;
}

/** Where the condition is `when`, scores become the lowest number there is. */
export interface Filled extends Meets {
  readonly kind: 'filled';
  readonly when: boolean;
  readonly fill: number;
}

const floats: Readonly<Record<number, { digits: number; lowest: number }>> = {
  [DataType.FLOAT16]: { digits: 1, lowest: -65504 },
  [DataType.BFLOAT16]: { digits: 1, lowest: -3.3895313892515355e38 },
  [DataType.FLOAT]: { digits: 2, lowest: -3.4028234663852886e38 },
  [DataType.DOUBLE]: { digits: 3, lowest: -Number.MAX_VALUE },
};

/** Whether it is a type that scores can be of. */
export const isFloat = (type: DataType): boolean => floats[type] !== undefined;

/** Where the walk towards the product stands: the softmax sees `factor` times what is there. */
export interface Place {
  readonly value: ValueName;
  readonly type: DataType;
  readonly layout: ScoresLayout;
  readonly factor: number;
}

export interface ScoreWalk extends PatternContext {
  readonly scores: ValueName;
  readonly perKey: ReadonlySet<ValueName>;
  readonly layoutAt: (value: ValueName) => ScoresLayout | undefined;
  readonly typeOf: (value: ValueName) => DataType | undefined;
}

/** Whether the rows of what meets the scores are known: one for all queries, or one for each. */
const hasRows = (c: ScoreWalk, value: ValueName, layout: ScoresLayout): boolean => {
  const { graph } = c.model;
  const isOurs = c.producer(value) === undefined && !graph.constants.has(value);
  // What insertion wrote has one row, or one for each query left; but how many axes is known of entries per key alone.
  if (isOurs && !graph.inputs.some((i) => i.name === value)) return isStandard(layout) || c.perKey.has(value);
  const dims = c.dims(value);
  const [rows, queries] = [dims, c.dims(c.scores)].map((d) => d?.[d.length - 2]);
  if (dims === undefined || dims.length > (layout.folded ? 3 : 4)) return false;
  return rows === undefined || dimValue(rows) === 1 || (queries !== undefined && sameDim(rows, queries));
};

/** Nothing that meets the scores makes more of them: no head or row of the batch appears that the product lacks. */
const keepsShape = (c: ScoreWalk, original: Node | undefined, side: number): boolean => {
  if (original === undefined || refolds(c, original)) return true;
  const [before, after] = [original.inputs[side], original.outputs[0]].map((v) => c.dims(v ?? ''));
  return before?.length === after?.length && before?.every((d, i) => sameDim(d, after?.[i] as Dim)) === true;
};

/** A factor that is worked out of sizes: sqrt(d) from the shape of the queries. */
export interface Sized {
  readonly value: ValueName;
  readonly divides: boolean;
}

export interface Step {
  readonly to: Place;
  readonly term?: Added | Filled;
  readonly sized?: Sized;
}

/** One node back, which makes `at.value`; `side` is the input that depends on the product. */
export const stepBack = (c: ScoreWalk, node: Node, at: Place, side: number): Step | undefined => {
  const value = node.inputs[side] ?? '';
  const to = { ...at, value };
  const { layout, factor, type } = at;
  const original = c.producer(at.value);
  if (!keepsShape(c, original, side)) return undefined;
  if (node.op === 'Add') {
    const other = node.inputs[1 - side] ?? '';
    return hasRows(c, other, layout) ? { to, term: { kind: 'added', value: other, layout, factor, type } } : undefined;
  }
  if (node.op === 'Where') {
    const [fill, ...more] = c.constant(node.inputs[3 - side] ?? '') ?? [];
    const condition = node.inputs[0] ?? '';
    const isLowest = fill !== undefined && more.length === 0 && fill <= (floats[type]?.lowest ?? -Infinity);
    if (side === 0 || !isLowest || !hasRows(c, condition, layout)) return undefined;
    return { to, term: { kind: 'filled', value: condition, layout, when: side === 2, fill } };
  }
  // What follows is never written by insertion; its inputs may be.
  if (original === undefined) return undefined;
  const scaled = scaleOf(c, original);
  if (scaled !== undefined && Number.isFinite(scaled.factor)) return { to: { ...to, factor: factor * scaled.factor } };
  if (node.op === 'Div' || node.op === 'Mul') {
    const other = node.inputs[1 - side] ?? '';
    const single = c.dims(other)?.every((d) => dimValue(d) === 1) === true && isFixed(c.model, other);
    const divides = node.op === 'Div';
    return single && (side === 0 || !divides) ? { to, sized: { value: other, divides } } : undefined;
  }
  if (node.op === 'Sub')
    return side === 0 && rowMaximum(c, original.inputs[1] ?? '', original.inputs[0] ?? '') ? { to } : undefined;
  if (node.op === 'Identity') return { to };
  const before = original.inputs[0] ?? '';
  if (node.op === 'Cast') {
    const from = c.typeOf(before);
    const kept = from === type || (floats[from ?? 0]?.digits ?? Infinity) < (floats[type]?.digits ?? 0);
    return from !== undefined && kept ? { to: { ...to, type: from } } : undefined;
  }
  const folding = side === 0 && refolds(c, original) ? c.layoutAt(before) : undefined;
  return folding && { to: { ...to, layout: folding } };
};
