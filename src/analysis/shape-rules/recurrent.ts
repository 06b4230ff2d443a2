/**
 * Recurrent layers: X [T, B, I] and recurrence weights R [directions, gates * H, H] (layout 1: batch first).
 */
import { constDim } from '../dim.ts';
import { intOf } from '../../graph/tensors.ts';
import { dimsOf, gap, typeOf, type ShapeRule } from './context.ts';

export const recurrent: ShapeRule = (c) => {
  const x = dimsOf(c, 0);
  const [directions, , hidden] = dimsOf(c, 2);
  const batchFirst = intOf(c.node, 'layout', 0) === 1;
  const [time, batch] = batchFirst ? [x[1], x[0]] : [x[0], x[1]];
  if (time === undefined || batch === undefined || directions === undefined)
    return gap('its operands have too few axes');
  const size = hidden ?? constDim(intOf(c.node, 'hidden_size', 1));
  const dataType = typeOf(c, 0);
  const state = { dataType, dims: batchFirst ? [batch, directions, size] : [directions, batch, size] };
  const all = { dataType, dims: batchFirst ? [batch, time, directions, size] : [time, directions, batch, size] };
  return [all, state, state];
};
