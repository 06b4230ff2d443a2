/**
 * Which zeros and ones a mask is made from, and which of the two it hides. Layers write one padding mask in many ways
 * (as a condition and as a number, expanded to their own queries, folded with heads): what they are made from tells
 * that they mask the same tokens. Only looks at element values; where they lie is for mask-facts to prove.
 */
import type { Model, ValueName } from '../graph/model.ts';
import { usesOf } from '../graph/uses.ts';
import { contentsOf, pointwiseOf } from './contents.ts';
import { isWrapper } from './number-types.ts';
import { sameDim } from './dim.ts';
import { carriedNumbers } from './quantising.ts';
import { shapesOf } from './shapes.ts';
import { valueNumbers } from './value-numbers.ts';

export interface MaskSource {
  /** Number of the value with the zeros and ones. */
  readonly source: number;
  /** What the mask holds where the source holds 0 and where it holds 1. */
  readonly at: readonly [number, number];
}

/** Put elements in new shapes and keep their order, or repeat them; the last axis, of keys, must stay as it is. */
const carriers = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Expand', 'Tile']);

type Found = MaskSource | { readonly constant: number } | undefined;

/** Undefined where a mask is not made from one value of zeros and ones. */
export const maskSource = (model: Model, mask: ValueName): MaskSource | undefined => {
  const uses = usesOf(model.graph);
  const contents = contentsOf(model);
  const known = new Map<ValueName, Found>();
  const at = (value: ValueName): Found => {
    if (known.has(value)) return known.get(value);
    const among = contents(value)?.among;
    let found: Found = among?.length === 1 ? { constant: among[0] as number } : through(value);
    if (found === undefined && among?.every((v) => v === 0 || v === 1) === true)
      found = { source: valueNumbers(model)(value), at: [0, 1] };
    known.set(value, found);
    return found;
  };
  const through = (value: ValueName): Found => {
    const node = uses.producer(value);
    if (node === undefined || node.outputs[0] !== value) return undefined;
    if (isWrapper(node)) {
      const before = at(node.inputs[0] ?? '');
      const carried = carriedNumbers(model, node, shapesOf(model).of(value)?.dataType);
      if (carried === undefined || before === undefined || !('at' in before)) return undefined;
      return { source: before.source, at: [carried(before.at[0]), carried(before.at[1])] };
    }
    if (node.domain !== '') return undefined;
    if (carriers.has(node.op)) {
      const [before, after] = [node.inputs[0] ?? '', value].map((v) => shapesOf(model).of(v)?.dims?.at(-1));
      const keysStay = before !== undefined && after !== undefined && sameDim(before, after);
      return keysStay ? at(node.inputs[0] ?? '') : undefined;
    }
    const fn = pointwiseOf(model, node);
    if (fn === undefined) return undefined;
    const operands = node.inputs.map(at);
    let source: number | undefined;
    for (const operand of operands) {
      if (operand === undefined) return undefined;
      if ('constant' in operand) continue;
      if (source !== undefined && source !== operand.source) return undefined;
      source = operand.source;
    }
    if (source === undefined) return undefined;
    const [zero, one] = ([0, 1] as const).map((bit) => {
      const [a = 0, b = 0, c = 0] = operands.map((o) =>
        o !== undefined && 'at' in o ? o.at[bit] : (o?.constant ?? 0),
      );
      return fn(a, b, c);
    }) as [number, number];
    return { source, at: [zero, one] };
  };
  const found = at(mask);
  return found !== undefined && 'at' in found ? found : undefined;
};
