/**
 * The signatures of ai.pumer::TokenReduce and ai.pumer::TokenReduceQK: what a call is given and what it returns. They
 * differ in where the text's looks at the tokens come from. The function bodies, the bodies written in place and the
 * kernels all keep to them.
 */
import type { Node, ValueName } from '../../graph/model.ts';
import { invariant } from '../../support/assert.ts';

/** Looks come as probabilities. */
export const TOKEN_REDUCE = { domain: 'ai.pumer', name: 'TokenReduce', version: 1 } as const;

/** Looks are worked out from queries and keys. */
export const TOKEN_REDUCE_QK = { ...TOKEN_REDUCE, name: 'TokenReduceQK' } as const;

/** T is the model's float type. One lane is shortened, each row of the batch by itself. */
interface Shortened {
  /** T [B, n, D]: the tokens. */
  readonly tokens: ValueName;
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

/** Of ai.pumer::TokenReduce. */
export interface AttentionInputs extends Shortened {
  /**
   * Any float type, [B|1, H, R, n|1]: attention after its softmax, from the R text rows to this lane's tokens.
   * A lane that is not pruned may give a zero of shape [1, 1, 1, 1].
   */
  readonly attention: ValueName;
}

/** Of ai.pumer::TokenReduceQK. Attention is softmax(queries keys * scale + bias) over all keys, in float32. */
export interface QueryInputs extends Shortened {
  /** T', any float type, [B, H, R, q]: the queries of the R text rows. */
  readonly queries: ValueName;
  /** T' [B, H, q, L]: all keys, laid out as the product takes them. */
  readonly keys: ValueName;
  /** T' [B|1, H|1, R|1, L|1]: added to the scaled scores; a zero of shape [1, 1, 1, 1] where nothing is. */
  readonly bias: ValueName;
  /** float32 [1]. An input and no attribute: it may be worked out of sizes, and opset 11 cannot refer to a float. */
  readonly scale: ValueName;
  /** int64 [1]: the key of this lane's first token; the others follow. */
  readonly first: ValueName;
}

export type TokenReduceInputs = AttentionInputs | QueryInputs;

/** What the two differ in: where the text's looks come from. */
export type Looks = Omit<AttentionInputs, keyof Shortened> | Omit<QueryInputs, keyof Shortened>;

const FRONT = ['tokens'] as const;
const BACK = ['rowWeight', 'metric', 'weight', 'protected', 'keep', 'merge'] as const;

/** The inputs in the order in which a call lists them. */
const ORDERS = {
  [TOKEN_REDUCE.name]: [...FRONT, 'attention', ...BACK],
  [TOKEN_REDUCE_QK.name]: [...FRONT, 'queries', 'keys', 'bias', 'scale', 'first', ...BACK],
} as const;

export type TokenReduceName = keyof typeof ORDERS;

/** Which of the two takes these inputs. */
export const tokenReduceName = (inputs: TokenReduceInputs): TokenReduceName =>
  'attention' in inputs ? TOKEN_REDUCE.name : TOKEN_REDUCE_QK.name;

/** The inputs in the order in which a call lists them. */
export const tokenReduceInputList = (inputs: TokenReduceInputs): string[] => {
  const byName = inputs as unknown as Readonly<Record<string, ValueName>>;
  return ORDERS[tokenReduceName(inputs)].map((key) => byName[key] as ValueName);
};

const isName = (op: string): op is TokenReduceName => op in ORDERS;

/** True for a call of either. */
export const isTokenReduce = ({ op, domain }: Pick<Node, 'op' | 'domain'>): boolean =>
  domain === TOKEN_REDUCE.domain && isName(op);

/** The inputs of a call by name. */
export const tokenReduceInputs = ({ op, inputs }: Pick<Node, 'op' | 'inputs'>): TokenReduceInputs => {
  invariant(isName(op), `"${op}" is no call of the reducer`);
  const order = ORDERS[op];
  invariant(inputs.length === order.length, `a ${op} call has ${order.length} inputs, not ${inputs.length}`);
  return Object.fromEntries(order.map((key, i) => [key, inputs[i]])) as unknown as TokenReduceInputs;
};

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
