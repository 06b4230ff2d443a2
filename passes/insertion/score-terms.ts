/**
 * Reads what becomes of scores between product and softmax, masks of shortened keys included, as
 * softmax(product * scale + bias). Undefined where anything else stands between. Changes nothing.
 */
import { patternContext, type Attention } from '../../src/analysis/attention.ts';
import { sameDim, type Dim } from '../../src/analysis/dim.ts';
import { scoresLayout } from '../../src/analysis/layout.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import type { DataType } from '../../src/graph/model.ts';
import { behindProduct } from './score-chain.ts';
import { isFloat, stepBack, type Added, type Filled, type Place, type ScoreWalk, type Sized } from './score-step.ts';
import type { Insertion } from './session.ts';

export interface ScoreTerms {
  /** Of the product. */
  readonly type: DataType;
  /** All constant factors. */
  readonly scale: number;
  /** One more, worked out of sizes. */
  readonly sized?: Sized;
  /** In the order in which the scores meet them. */
  readonly terms: readonly (Added | Filled)[];
}

/** Text queries meet the keys by themselves only where no row of the batch and no head serves for many. */
const isPlain = (c: ScoreWalk, { query, key }: Attention): boolean => {
  const [q, k, out] = [query, key, c.scores].map((v) => c.dims(v)?.slice(0, -2));
  const same = (a: readonly Dim[] | undefined): boolean =>
    a !== undefined && a.length === q?.length && a.every((d, i) => sameDim(d, q[i] as Dim));
  return same(k) && same(out);
};

export const scoreTerms = (s: Insertion, attention: Attention): ScoreTerms | undefined => {
  const { model } = s.u;
  const c: ScoreWalk = {
    ...patternContext(model),
    scores: attention.product.outputs[0] ?? '',
    perKey: s.perKey,
    layoutAt: (v) => scoresLayout(s.plan.lanes.of(v), s.plan.lanes.singleRow),
    typeOf: (v) => shapesOf(model).of(v)?.dataType,
  };
  const softmax = attention.biasEntry.node;
  const type = c.typeOf(softmax.inputs[0] ?? '');
  const layout = attention.softmaxLayout;
  if (softmax.op !== 'Softmax' || softmax.outputs[0] !== attention.probabilities || !isPlain(c, attention))
    return undefined;
  if (type === undefined || layout === undefined) return undefined;
  const behind = behindProduct(s, attention);
  const makers = new Map(behind.nodes.flatMap((n) => n.outputs.map((o) => [o, n] as const)));
  let at: Place = { value: s.editor.current(softmax)?.inputs[0] ?? '', type, layout, factor: 1 };
  const terms: (Added | Filled)[] = [];
  let sized: Sized | undefined;
  while (at.value !== c.scores) {
    const node = makers.get(at.value);
    const sides = [...(node?.inputs.keys() ?? [])].filter((i) => behind.values.has(node?.inputs[i] ?? ''));
    // Taking off the largest reads the scores twice; a folding may read its lengths off them.
    const [side] = sides;
    if (node === undefined || node.domain !== '' || side === undefined) return undefined;
    if (sides.length > 1 && node.op !== 'Sub' && node.op !== 'Reshape') return undefined;
    const step = stepBack(c, node, at, side);
    if (step === undefined || (sized !== undefined && (step.term !== undefined || step.sized !== undefined)))
      return undefined;
    if (step.term !== undefined) terms.unshift(step.term);
    sized ??= step.sized;
    at = step.to;
  }
  if (!isFloat(at.type)) return undefined;
  return { type: at.type, scale: at.factor, ...(sized && { sized }), terms };
};
