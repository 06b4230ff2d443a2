/**
 * Puts a control's choice of image tokens in place of a call's own: looks, metric and counts. Everything else stays.
 */
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { floatTensor } from '../../src/graph/tensors.ts';
import { SEED_INPUT, type ControlChoice } from '../../src/reduction/control.ts';
import type { LanePlan, SitePlan } from '../../src/reduction/site-plan.ts';
import type { AttentionInputs } from '../../src/reduction/token-reduce/contract.ts';
import type { ControlLane } from './control-lane.ts';
import { pooling } from './control-pooling.ts';
import { random, unscored } from './control-random.ts';
import { strided } from './control-strided.ts';
import { once, type Insertion } from './session.ts';

const seedOf = (s: Insertion, { e }: ControlLane, { seed }: ControlChoice): ValueName => {
  if (seed !== 'given') return e.int64s([seed]);
  return once(s, SEED_INPUT, () => {
    s.editor.addInput({ name: SEED_INPUT, type: { dataType: DataType.INT64, dims: [1] } });
    return SEED_INPUT;
  });
};

type Replaced = Pick<AttentionInputs, 'attention' | 'rowWeight'> &
  Partial<Pick<AttentionInputs, 'metric' | 'keep' | 'merge'>>;

/** What a call is given instead; undefined for lanes that no control is about. */
export const controlled = (
  s: Insertion,
  site: SitePlan,
  plan: LanePlan,
  { weight, keep, merge }: Pick<AttentionInputs, 'weight' | 'keep' | 'merge'>,
): Replaced | undefined => {
  const { control } = s;
  if (control === undefined || plan.lane !== 'image') return undefined;
  const e = s.vouched(`layer_${site.layer}/${plan.lane}/${control.control}`);
  const lane: ControlLane = {
    e,
    semantics: s.plan.semantics,
    layer: site.layer,
    weight,
    length: e.length(weight, 1),
    keep,
    merge,
    start: plan.protectedStart,
    end: plan.protectedEnd,
  };
  const choices = {
    random: () => random(lane, seedOf(s, lane, control)),
    strided: () => strided(lane),
    pooling: () => pooling(lane),
    unscored: () => unscored(lane, seedOf(s, lane, control)),
  };
  const { scores, ...others } = choices[control.control]();
  return {
    attention: e.unsqueeze(scores, [1, 2]),
    rowWeight: e.constant(floatTensor([1, 1], [1])),
    ...others,
  };
};
