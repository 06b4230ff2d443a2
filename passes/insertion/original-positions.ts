/**
 * Where the tokens left on an axis stood on the axis that the model has: of a lane by gathering the positions that its
 * reductions hand out, of several lanes side by side with what stood before them. Says nothing of what is read there.
 */
import { dimText } from '../../src/analysis/dim.ts';
import type { Segment } from '../../src/analysis/labels.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import type { ValueName } from '../../src/graph/model.ts';
import { int64Tensor } from '../../src/graph/tensors.ts';
import { once, sizeValue, startOf, type Insertion, type LaneState, type Size } from './session.ts';

/** Positions int64 [B, n] that the tokens of a shortened lane had in the lane that the model has. */
const inLane = (s: Insertion, e: Emitter, segment: Segment): ValueName =>
  once(s, `place:${segment.version}`, () =>
    (s.states.get(segment.version) as LaneState).steps
      .map((step) => step.position)
      .reduce((so, next) => {
        const moved = e.gatherElements(so, next);
        s.settled.written.add(moved);
        return moved;
      }),
  );

/** Positions int64 [B, n] (all lanes whole: [1, n]) on the model's own axis of the tokens that will be on it. */
export const onAxis = (
  s: Insertion,
  e: Emitter,
  tokens: readonly Segment[],
  original: readonly Segment[],
): ValueName => {
  const layout = tokens.map((t) => `${t.lane}${dimText(t.length)}${t.version}`).join();
  return once(s, `places:${layout}`, () => {
    const scalar = (size: Size): ValueName => e.squeeze(sizeValue(e, size), [0]);
    const shortened = tokens.find((t) => t.version !== '');
    const parts = tokens.map((segment, i) => {
      const start = startOf(s, original, i);
      if (segment.version !== '') {
        const place = inLane(s, e, segment);
        return start === 0 ? place : e.op('Add', [place, sizeValue(e, start)]);
      }
      const end = startOf(s, original, i + 1);
      const range =
        typeof start === 'number' && typeof end === 'number'
          ? e.constant(
              int64Tensor(
                [1, end - start],
                Array.from({ length: end - start }, (_, k) => start + k),
              ),
            )
          : e.unsqueeze(e.op('Range', [scalar(start), scalar(end), e.int64(1)]), [0]);
      if (shortened === undefined) return range;
      const batch = e.length((s.states.get(shortened.version) as LaneState).weight, 0);
      return e.op('Expand', [range, e.concat([batch, e.int64s([1])], 0)]);
    });
    return e.concat(parts, 1);
  });
};
