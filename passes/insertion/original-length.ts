/**
 * How long a lane is that nothing has shortened yet, where only a run can tell: read off a value that carries this lane
 * and no other on an axis, or off one on which all other lanes have fixed lengths.
 */
import { constDim, dimValue, sameDim, sumDims } from '../../src/analysis/dim.ts';
import { tokensOf, type Segment } from '../../src/analysis/labels.ts';
import type { Understanding } from '../../src/analysis/understanding.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import * as say from '../../src/diagnostics/messages.ts';
import type { Emitter } from '../../src/graph/emit.ts';
import type { ValueName } from '../../src/graph/model.ts';

interface Place {
  readonly value: ValueName;
  readonly axis: number;
  /** Tokens of other lanes on that axis. */
  readonly others: number;
}

/** Where the lane lies beside at most `besides` runs of fixed length. */
const placeOf = (u: Understanding, segment: Segment, besides: number): Place | undefined => {
  const { graph } = u.model;
  for (const value of [...graph.inputs.map((i) => i.name), ...graph.nodes.flatMap((n) => n.outputs)])
    for (const [axis, on] of (u.lanes.of(value) ?? []).entries()) {
      const runs = tokensOf(on) ?? [];
      // Lookups of other inputs may pass for this lane until they join another: only the length tells.
      const own = runs.find((r) => r.lane === segment.lane && r.version === '' && sameDim(r.length, segment.length));
      if (own === undefined || runs.length - 1 > besides) continue;
      const others = dimValue(sumDims([constDim(0), ...runs.filter((r) => r !== own).map((r) => r.length)]));
      if (others !== undefined) return { value, axis, others };
    }
  return undefined;
};

/** int64[1]. Throws a CompileError where no value tells. */
export const emitOriginalLength = (u: Understanding, segment: Segment, e: Emitter): ValueName => {
  const place = placeOf(u, segment, 0) ?? placeOf(u, segment, Infinity);
  if (place === undefined)
    throw new CompileError(
      say.laneAmbiguous(
        `no value carries the ${segment.lane} tokens alone, so their number cannot be read when the model runs`,
      ),
    );
  const length = e.length(place.value, place.axis);
  return place.others === 0 ? length : e.op('Sub', [length, e.int64s([place.others])]);
};
