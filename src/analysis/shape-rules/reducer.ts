/**
 * Our own operators. ai.pumer::TokenReduce and ai.pumer::TokenReduceQK. Inputs: tokens [B, n, D], where the text's looks
 * come from (one value, or five), row_weight, metric, weight [B, n], protected [c], keep [1], merge [1].
 * Outputs: tokens [B, k, D], weight [B, k], target int64 [B, n], position int64 [B, k]; k = keep - merge.
 */
import { DataType } from '../../graph/model.ts';
import { subDims } from '../dim.ts';
import { contentsOf, dimsOf, gap, typeOf, type ShapeRule } from './context.ts';

export const tokenReduce: ShapeRule = (c) => {
  const tokens = dimsOf(c, 0);
  const [batch, length, width] = tokens;
  if (batch === undefined || length === undefined || width === undefined) return gap('its tokens have too few axes');
  const last = c.node.inputs.length - 1;
  const keep = contentsOf(c, last - 1)?.values[0];
  const merge = contentsOf(c, last)?.values[0];
  // Open lengths get a name: counts of counts of counts would no longer be told equal.
  const left =
    keep === undefined || merge === undefined
      ? c.unknown(0, 1)
      : c.symbols.renamed(c.node.outputs[0] ?? '', subDims(keep, merge));
  return [
    { dataType: typeOf(c, 0), dims: [batch, left, width] },
    { dataType: typeOf(c, last - 3), dims: [batch, left] },
    { dataType: DataType.INT64, dims: [batch, length] },
    { dataType: DataType.INT64, dims: [batch, left] },
  ];
};

/** ai.pumer::TokenMap: tokens [B, n, D], weight [B, n], target [B, n], position [B, k] to [B, k, D]. */
export const tokenMap: ShapeRule = (c) => {
  const [batch, , width] = dimsOf(c, 0);
  const left = dimsOf(c, 3)[1];
  if (batch === undefined || width === undefined || left === undefined) return gap('its tokens have too few axes');
  return [{ dataType: typeOf(c, 0), dims: [batch, left, width] }];
};
