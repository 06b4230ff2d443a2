/**
 * What a lowering is: one fused operator written as standard ones, for exactly the combinations of inputs and
 * attributes whose meaning is known. A lowering names no length of its own: token axes are copied or inferred, so that
 * what it writes means the same whatever number of tokens comes.
 */
import { dimValue, type Dim } from '../../src/analysis/dim.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { DataType, type Node, type ValueName } from '../../src/graph/model.ts';
import { scalarTensor } from '../../src/graph/tensors.ts';

export interface LoweringContext {
  readonly node: Node;
  readonly e: Emitter;
  /** The name of an input, '' where it is absent. */
  readonly input: (i: number) => ValueName;
  readonly type: (input: number) => DataType | undefined;
  readonly dims: (input: number) => readonly Dim[] | undefined;
  /** Whether the node has this output. */
  readonly gives: (output: number) => boolean;
}

/** Why the operator stays whole, as the end of "it stays whole: ...". */
export interface Declined {
  readonly why: string;
}

/** The values that stand for the node's outputs, undefined for outputs it does not have. */
export type Written = readonly (ValueName | undefined)[];

export interface Lowering {
  /** Operator with its domain, such as com.microsoft.Attention. */
  readonly op: string;
  /** Inputs of tokens, of which the operator takes any number: it may be put back on other values of them. */
  readonly streams: readonly number[];
  /** The input that says which keys are seen. */
  readonly mask?: number;
  readonly lower: (c: LoweringContext) => Written | Declined;
}

/** Stops a lowering from inside; caught by `declinable`. */
class Decline extends Error {}

export const decline = (why: string): never => {
  throw new Decline(why);
};

/** A lowering whose parts may decline. */
export const declinable =
  (write: (c: LoweringContext) => Written) =>
  (c: LoweringContext): Written | Declined => {
    try {
      return write(c);
    } catch (error) {
      if (error instanceof Decline) return { why: error.message };
      throw error;
    }
  };

/** Declines where one of the inputs is given. */
export const declineInputs = (c: LoweringContext, inputs: readonly (readonly [number, string])[]): void => {
  for (const [input, what] of inputs) if (c.input(input) !== '') decline(`it reads ${what}`);
};

/** Declines where one of the outputs is asked for. */
export const declineOutputs = (c: LoweringContext, outputs: readonly (readonly [number, string])[]): void => {
  for (const [output, what] of outputs) if (c.gives(output)) decline(`it gives ${what}`);
};

/** Declines unless the input holds floats of a width the lowering is exact for. */
export const floatType = (c: LoweringContext, input: number): DataType => {
  const type = c.type(input);
  if (type === DataType.FLOAT || type === DataType.FLOAT16) return type;
  return decline('its numbers are neither float32 nor float16');
};

export const dimsOf = (c: LoweringContext, input: number): readonly Dim[] =>
  c.dims(input) ?? decline(`the shape of "${c.input(input)}" is not known`);

/** A size that must be a number for the lowering to be written. */
export const fixedSize = (dim: Dim | undefined, what: string): number =>
  (dim && dimValue(dim)) ?? decline(`${what} is not known`);

/** A scalar in the type of the values it meets. */
export const scalar = (c: LoweringContext, type: DataType, value: number): ValueName => {
  const tensor = scalarTensor(type, value);
  return tensor === undefined
    ? decline('it computes in a type that constants are not written in')
    : c.e.constant(tensor);
};
