/**
 * The form of what shape inference knows. `shapes.ts` computes it, everything above reads it.
 */
import type { DataType, ValueName } from '../graph/model.ts';
import type { Dim } from './dim.ts';

/** Integer (or bool) contents known at compile time, element by element, symbolic ones included. */
export interface KnownInts {
  readonly dims: readonly number[];
  /** Row-major. */
  readonly values: readonly Dim[];
}

export interface ValueFacts {
  readonly dataType: DataType;
  /** Undefined where even the rank is unknown. */
  readonly dims?: readonly Dim[];
  readonly ints?: KnownInts;
}

export interface ShapeFacts {
  /** Undefined for values nothing is known of. */
  readonly of: (value: ValueName) => ValueFacts | undefined;
  /** Nodes whose rule is missing or could not tell, with the reason: for `inspect` and for refusals. */
  readonly gaps: ReadonlyMap<ValueName, string>;
  /**
   * A size as a number, with the declared symbols given values by the names the file gives them. Expressions such as
   * `floor(height;32)` are computed; undefined where a symbol has no value or depends on the data.
   */
  readonly resolve: (dim: Dim, symbols: ReadonlyMap<string, number>) => number | undefined;
}
