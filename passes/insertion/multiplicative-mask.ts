/**
 * Masks that multiply exponentials, as the published PuMer code writes them: built anew for the scores of one
 * attention. Additive masks and conditions are for masks.ts.
 */
import type { Attention } from '../../src/analysis/attention.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import { shapesOf } from '../../src/analysis/shapes.ts';
import { retyped } from './score-bias.ts';
import { plannedTokens, type Insertion } from './session.ts';

/** w + (1 - w) I, the identity matrix made for these scores. */
export const withSelf = (e: Emitter, attention: Attention, w: ValueName, type: number): ValueName => {
  const size = e.slice(e.op('Shape', [attention.product.outputs[0] ?? '']), 0, 2);
  const eye = retyped(e, e.op('EyeLike', [e.op('ConstantOfShape', [size])]), type);
  return e.op('Add', [w, e.op('Mul', [e.op('Sub', [retyped(e, e.float(1), type), w]), eye])]);
};

/**
 * w, or w + (1 - w) I where the model's rows see themselves; in `safe` with w = 1 for real tokens, the whole times the
 * sizes. Built anew for these scores: layers may share the old one, and its identity matrix may have a baked size.
 * Size 0 takes a hidden row's view of itself as well; not while ratios given at the run have removed nothing yet, for
 * that mask is the model's own.
 */
export const multiplicativeMask = (s: Insertion, attention: Attention, weights: ValueName, type: number): ValueName => {
  const e = s.emitter('masks');
  const keys = e.unsqueeze(retyped(e, weights, type), [1, 2]);
  const safe = s.plan.semantics === 'safe';
  const shown = safe ? e.cast(e.op('Greater', [e.unsqueeze(weights, [1, 2]), e.float(0)]), type) : keys;
  const mask = attention.mask?.seesSelf === true ? withSelf(e, attention, shown, type) : shown;
  if (!safe) return mask;
  const whole = stillAllThere(s, attention);
  return e.op('Mul', [mask, whole === undefined ? keys : e.op('Where', [whole, retyped(e, e.float(1), type), keys])]);
};

/** bool [1]: none of the keys has been removed; undefined where that is known before the run. */
const stillAllThere = (s: Insertion, attention: Attention): ValueName | undefined => {
  const flags = plannedTokens(s, attention, 'key').flatMap((t) => s.states.get(t.version)?.isWhole ?? []);
  const e = s.vouched('masks');
  return flags.reduce<ValueName | undefined>(
    (all, one) => (all === undefined ? one : e.op('And', [all, one])),
    undefined,
  );
};

/** eps / N anew: where the scores are small it decides, and the model may have its N from anywhere. */
export const carryFloor = (s: Insertion, attention: Attention): void => {
  const floor = attention.mask?.floor;
  if (floor === undefined) return;
  // Its own type: an exponential may be float32 among float16.
  const type = shapesOf(s.u.model).of(floor.node.inputs[floor.input] ?? '')?.dataType ?? DataType.FLOAT;
  const e = s.emitter('masks');
  const keys = e.squeeze(e.length(attention.product.outputs[0] ?? '', 3), [0]);
  s.editor.setInput(floor.node, floor.input, e.op('Div', [retyped(e, e.float(floor.eps), type), e.cast(keys, type)]));
};
