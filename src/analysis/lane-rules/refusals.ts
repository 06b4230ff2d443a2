/**
 * Operators that are known to need every token, or every token in its place: they end a trace, and the reason says
 * why. Where tokens lie along the batch axis of a picture-like operator, each is worked on by itself and stays.
 */
import { intOf } from '../../graph/tensors.ts';
import { sameDim } from '../dim.ts';
import { isLabelled, type Axis } from '../labels.ts';
import { axesOf, normalAxis, type LaneContext, type LaneRule } from './context.ts';

const lose = (c: LaneContext, input: number, axes: readonly Axis[] | undefined, what: string, from = 0): void =>
  axes?.forEach((on, axis) => {
    if (axis >= from && isLabelled(on)) c.say('lost', input, axis, `${c.node.op} ${what}`);
  });

/** No token is ever followed through it. `what` completes "Conv ...". */
export const refuses =
  (what: string): LaneRule =>
  (c) => {
    c.node.inputs.forEach((_, input) => lose(c, input, c.labels(input), what));
    return c.node.outputs.map(() => undefined);
  };

/** Works on each row of axis 0 by itself, and across everything else: [N, C, H, W]. Other inputs are parameters. */
export const perPicture =
  (what: string): LaneRule =>
  (c) => {
    const axes = axesOf(c, 0);
    if (axes === undefined) return undefined;
    const [rows] = axes;
    lose(c, 0, axes, what, 1);
    c.node.inputs.forEach((_, input) => {
      if (input > 0) lose(c, input, c.labels(input), 'has one parameter for each token');
    });
    return c.node.outputs.map((name, output) => {
      const out = c.outDims(output);
      if (output > 0) {
        // Places of maxima count through the whole batch.
        if (name !== '') lose(c, 0, axes, 'says where in the batch something was');
        return undefined;
      }
      const first = out?.[0];
      if (out === undefined || first === undefined || rows === undefined || !isLabelled(rows)) return undefined;
      const kept = c.dims(0)?.[0];
      if (kept === undefined || !sameDim(kept, first)) {
        c.say('lost', 0, 0, `${c.node.op} ${what}`);
        return undefined;
      }
      return out.map((dim, axis): Axis => (axis === 0 ? rows : [{ dim }]));
    });
  };

/** Looks at places along its last `count` axes; the axes before them are taken one by one. */
export const onLastAxes =
  (count: number, what: string): LaneRule =>
  (c) => {
    const axes = axesOf(c, 0);
    if (axes === undefined) return undefined;
    lose(c, 0, axes, what, axes.length - count);
    return [axes];
  };

/** Parameters of input 0 along one axis (a scale for each channel): tokens must lie elsewhere. */
export const parametersAlong =
  (axisOf: (c: LaneContext, rank: number) => number, what: string): LaneRule =>
  (c) => {
    const axes = axesOf(c, 0);
    if (axes === undefined) return undefined;
    const axis = normalAxis(axisOf(c, axes.length), axes.length);
    if (isLabelled(axes[axis] ?? [])) c.say('lost', 0, axis, `${c.node.op} ${what}`);
    return [axes, ...c.node.outputs.slice(1).map(() => undefined)];
  };

/** A scale and a shift for each channel; in training, means over everything else. */
export const batchNormalisation: LaneRule = (c) => {
  const trains = intOf(c.node, 'training_mode', 0) === 1 || c.node.outputs.slice(1).some((name) => name !== '');
  return trains ? refuses('averages over all tokens')(c) : parametersAlong(() => 1, 'has parameters for each token')(c);
};
