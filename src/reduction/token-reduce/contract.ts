/**
 * The signature of ai.pumer::TokenReduce: what a call is given and what it returns. The function body, the body written
 * in place and the kernels all keep to it.
 */
import type { ValueName } from '../../graph/model.ts';

export const TOKEN_REDUCE = { domain: 'ai.pumer', name: 'TokenReduce', version: 1 } as const;

/** T is the model's float type. One lane is shortened, each row of the batch by itself. */
export interface TokenReduceInputs {
  /** T [B, n, D]: the tokens. */
  readonly tokens: ValueName;
  /**
   * Any float type, [B|1, H, R, n|1]: attention after its softmax, from the R text rows to this lane's tokens.
   * A lane that is not pruned may give a zero of shape [1, 1, 1, 1].
   */
  readonly attention: ValueName;
  /** float32 [B|1, R]: the weight of each text row (mask or size). */
  readonly rowWeight: ValueName;
  /** float32 [B, n, d]: what tokens are matched by, keys averaged over heads; any length. */
  readonly metric: ValueName;
  /** float32 [B, n]: `pumer` the mask (or ones), `safe` the sizes, 0 for PAD. */
  readonly weight: ValueName;
  /**
   * int64 [c]: positions never pruned and never merged, negative ones counted from the end; may be empty. c counts them
   * as listed. Not looked at in `pumer`.
   */
  readonly protected: ValueName;
  /** int64 [1]: tokens left after pruning, the protected ones counted, at most n. */
  readonly keep: ValueName;
  /** int64 [1]: tokens merged away; within the cap of counts.ts. */
  readonly merge: ValueName;
}

export interface TokenReduceOutputs {
  /** T [B, keep - merge, D]. */
  readonly reduced: ValueName;
  /** float32 [B, keep - merge]: averaged mask (`pumer`) or summed sizes (`safe`). */
  readonly weight: ValueName;
  /** int64 [B, n]: the place of each token, or of what it was merged into, in the output; -1 where it was pruned. */
  readonly target: ValueName;
  /** int64 [B, keep - merge]: the place each output token had in the lane that came in; of a merged one, its destination's. */
  readonly position: ValueName;
}

/**
 * ai.pumer::TokenMap applies a reduction that was made to another value of the same tokens. It stands in the graph
 * between insertion and proof only, where it says which reduction it follows; then standard operators take its place.
 */
export const TOKEN_MAP = { domain: TOKEN_REDUCE.domain, name: 'TokenMap' } as const;

export interface TokenMapInputs {
  /** Any float type, [B, n, D]: one row for each token that went into the reduction. */
  readonly tokens: ValueName;
  /** The reduction's input of that name, float32 [B, n]. */
  readonly weight: ValueName;
  /** Its outputs of these names, int64 [B, n] and [B, k]. */
  readonly target: ValueName;
  readonly position: ValueName;
}
