/**
 * What a random model of the judge is made of, as plain JSON: sizes, layers, masks, the spelling of an exporter, what
 * reads the tokens, and the plan it is compiled with. The graph writer and the interpreter both start from this and
 * from nothing else. Knows neither ONNX nor the compiler. `random-recipe.ts` draws them.
 */
export type LaneName = 'text' | 'image' | 'other';
export type StreamName = 'joint' | 'text' | 'image';

export interface Site {
  readonly layer: number;
  /** Decimals with at most three places. */
  readonly prune: number;
  readonly merge: number;
  readonly mergeText: number;
}

export interface TextRecipe {
  readonly length: number;
  /** The file says a symbol instead of the length. */
  readonly open: boolean;
  /** A mask keeps PAD out; without one, PAD is a word like others. */
  readonly masked: boolean;
  /** [batch][length] 1 for words, 0 for PAD. */
  readonly shown: readonly (readonly number[])[];
  readonly positions: 'table' | 'sliced-ids' | 'sliced-table';
  readonly types: 'none' | 'input' | 'constant';
  readonly norm: boolean;
}

export interface ImageRecipe {
  readonly from: 'pixels' | 'regions';
  readonly rows: number;
  readonly columns: number;
  /** A learned token in front of the patches. */
  readonly cls: boolean;
  /** All image tokens, the learned one included. */
  readonly count: number;
  /** Regions whose number the file leaves open. */
  readonly open: boolean;
  readonly mask: 'none' | 'ones' | 'constant' | 'input';
  /** [batch][count] */
  readonly shown: readonly (readonly number[])[];
  readonly norm: boolean;
}

export type Family =
  /** One stream; the runs in their order. */
  | { readonly kind: 'joint'; readonly order: readonly LaneName[] }
  | {
      readonly kind: 'pair';
      /** Whether the image layer reads the text as it entered the pair or as its text layer left it. */
      readonly imageReads: 'old' | 'updated';
      readonly text: 'self-cross' | 'cross-self';
      readonly image: 'self-cross' | 'cross-self' | 'cross';
      /** Both cross-attentions use the same weights. */
      readonly shared: boolean;
    }
  /** Text attends to an image that never changes, in every `every`-th layer, from `from` on. */
  | { readonly kind: 'keys'; readonly every: number; readonly from: number };

export interface MaskRecipe {
  readonly form: 'none' | 'additive' | 'expanded' | 'where' | 'where-swapped' | 'guarded';
  readonly minimum: number | '-inf';
  /** Each layer builds its own copy. */
  readonly rebuilt: boolean;
  /** The mask has a row for every query. */
  readonly manyRows: boolean;
}

export interface Spelling {
  readonly shapes: 'static' | 'minus-one' | 'local' | 'shared' | 'zeros';
  readonly constants: 'nodes' | 'initializers';
  readonly linear: 'bias-first' | 'bias-second' | 'gemm' | 'no-bias';
  readonly qkv: 'three' | 'fused-gather' | 'fused-split' | 'fused-split-width';
  readonly scale: 'div' | 'mul' | 'query-before-split' | 'query-after-split' | 'both' | 'none';
  readonly keys: 'one-step' | 'two-steps' | 'reshaped';
  readonly norm: 'operator' | 'decomposed';
  readonly act: 'gelu-half-last' | 'gelu-half-first' | 'gelu-operator' | 'quick-gelu' | 'tanh' | 'relu';
  /** Casts and Identities that change nothing, as exporters leave them. */
  readonly noise: boolean;
}

export type Head =
  /** One token of a stream, counted from its start or (negative) from its end. */
  | { readonly kind: 'pool'; readonly stream: StreamName; readonly at: number; readonly slice: boolean }
  /** One lane of the joint stream, projected. */
  | { readonly kind: 'lane'; readonly lane: 'text' | 'image'; readonly project: boolean }
  /** A stream as it is, or projected. */
  | { readonly kind: 'stream'; readonly stream: StreamName; readonly project: boolean }
  /** The word at sum(mask) - `back`: data decides. */
  | { readonly kind: 'word'; readonly back: number }
  /** The mean over a stream, or over one lane of the joint one. */
  | { readonly kind: 'mean'; readonly stream: StreamName; readonly lane?: 'text' | 'image'; readonly op: string };

/** Something that must be refused once the tokens it meets are shortened. */
export type Poison =
  'late-table' | 'causal' | 'flip' | 'over-count' | 'other-mask' | 'token-softmax' | 'roll' | 'shift';

export interface Recipe {
  readonly seed: number;
  readonly opset: number;
  readonly batch: number;
  readonly batchOpen: boolean;
  readonly width: number;
  readonly heads: number;
  readonly headWidth: number;
  readonly hidden: number;
  readonly layers: number;
  readonly text: TextRecipe;
  readonly image: ImageRecipe;
  readonly family: Family;
  /** Layers of one modality before the streams meet. */
  readonly towers: { readonly text: number; readonly image: number };
  readonly norm: { readonly place: 'pre' | 'post' | 'none'; readonly kind: 'layer' | 'rms'; readonly final: boolean };
  readonly mask: MaskRecipe;
  readonly spelling: Spelling;
  readonly outputs: readonly Head[];
  readonly poison?: { readonly kind: Poison; readonly layer: number };
  readonly plan: { readonly semantics: 'safe' | 'pumer'; readonly sites: readonly Site[] };
}

/** The runs of a stream. */
export const runsOf = (recipe: Recipe, stream: StreamName): readonly LaneName[] =>
  stream === 'joint' ? (recipe.family.kind === 'joint' ? recipe.family.order : []) : [stream];

/** Tokens of a run before any reduction. */
export const countOf = ({ text, image }: Recipe, lane: LaneName): number =>
  lane === 'text' ? text.length : lane === 'image' ? image.count : 1;

/** Whether an attention over these runs has a mask at all, and which form. */
export const maskFormOf = (recipe: Recipe, keys: readonly LaneName[]): MaskRecipe['form'] | 'constant' => {
  const { text, image, mask } = recipe;
  if (mask.form === 'none') return 'none';
  if (keys.includes('text')) return text.masked ? mask.form : 'none';
  if (image.mask === 'none') return 'none';
  return image.mask === 'constant' ? 'constant' : mask.form;
};

/** In `keys`: whether the text attends to the image in this block. */
export const attendsAt = ({ family }: Recipe, block: number): boolean =>
  family.kind === 'keys' && block >= family.from && (block - family.from) % family.every === 0;

export const nameOf = (head: Head, i: number): string => `out${i}_${head.kind}`;
