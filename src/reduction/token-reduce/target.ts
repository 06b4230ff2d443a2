/**
 * What became of each token: the map by which an output of full length is restored and reads by position are rewired.
 */
import type { Emitter } from '../../graph/emit.ts';
import type { ValueName } from '../../graph/model.ts';
import { int64Tensor, intAttr, tensorAttr } from '../../graph/tensors.ts';
import type { Matching } from './match.ts';

/**
 * target [B, n]: for every token that came in, the place in the output of itself or of the token it was merged into;
 * -1 where it was pruned. A survivor's place is its index among the survivors, a source's is its destination's.
 */
export const emitTarget = (
  e: Emitter,
  weight: ValueName,
  kept: ValueName,
  { survivors, sources, destinations }: Matching,
): ValueName => {
  const axis = { axis: intAttr(1) };
  const pruned = e.op('ConstantOfShape', [e.op('Shape', [weight])], { value: tensorAttr(int64Tensor([1], [-1])) });
  const places = e.op('Range', [e.int64(0), e.squeeze(kept, [0]), e.int64(1)]);
  const ofSurvivors = e.op(
    'ScatterElements',
    [pruned, survivors, e.op('Expand', [places, e.op('Shape', [survivors])])],
    axis,
  );
  return e.op('ScatterElements', [ofSurvivors, sources, e.gatherElements(ofSurvivors, destinations)], axis);
};
