/**
 * The masks that fused attentions take, as numbers added to the scores: 0 where a key is seen, the operator's own
 * `mask_filter_value` where it is not.
 *
 *   [B]     key j is seen where j < count[b]                    right padding
 *   [2B]    key j is seen where start[b] <= j < end[b]          ends first, then starts
 *   [B,L]   key j is seen where raw[b,j] > 0
 *   [B,S,L] the same for every query
 *
 * Source: ONNX Runtime, ContribOperators.md (Attention, MultiHeadAttention), and its kernels' PrepareMask.
 * Cumulative forms ([3B+2]) and [B,1,M,M] are left alone: they pack or cut sequences.
 */
import { constDim, mulDims, sameDim, type Dim } from '../../src/analysis/dim.ts';
import { DataType, type ValueName } from '../../src/graph/model.ts';
import { decline, dimsOf, scalar, type LoweringContext } from './lowering.ts';

/** [.., L] truth values to numbers added to scores [B,H,S,L]. */
const filled = (c: LoweringContext, seen: ValueName, type: DataType, filter: number): ValueName => {
  if (type === DataType.FLOAT16 && filter < -65504) return decline('its mask_filter_value is no float16');
  return c.e.op('Where', [seen, scalar(c, type, 0), scalar(c, type, filter)]);
};

/** Positions 0 .. L - 1 as int64 [1, L]; `length` is int64[1]. */
const positions = ({ e }: LoweringContext, length: ValueName): ValueName =>
  e.unsqueeze(e.op('Range', [e.int64(0), e.squeeze(length, [0]), e.int64(1)]), [0]);

/** j < count[b] as [B, L]. */
export const below = (c: LoweringContext, counts: ValueName, length: ValueName): ValueName =>
  c.e.op('Less', [positions(c, length), c.e.unsqueeze(c.e.cast(counts, DataType.INT64), [1])]);

const counted = (c: LoweringContext, input: number, batch: Dim, length: ValueName): ValueName => {
  const { e } = c;
  const [size] = dimsOf(c, input);
  const value = c.input(input);
  if (size !== undefined && sameDim(size, batch)) return below(c, value, length);
  if (size === undefined || !sameDim(size, mulDims(constDim(2), batch)))
    return decline('its mask is neither one count nor a start and an end for each row of the batch');
  const rows = e.op('Div', [e.length(value, 0), e.int64s([2])]);
  const ends = e.slice(value, 0, 0, rows);
  const starts = e.slice(value, 0, rows);
  const before = below(c, starts, length);
  return e.op('And', [below(c, ends, length), e.op('Not', [before])]);
};

/** The mask in input `input` as a value added to the scores; `length` (int64[1]) is the number of keys. */
export const paddingMask = (
  c: LoweringContext,
  input: number,
  batch: Dim,
  length: ValueName,
  type: DataType,
  filter: number,
): ValueName => {
  const { e } = c;
  const value = c.input(input);
  const rank = dimsOf(c, input).length;
  if (rank === 1) return filled(c, e.unsqueeze(counted(c, input, batch, length), [1, 2]), type, filter);
  if (rank !== 2 && rank !== 3) return decline(`its mask has ${rank} axes`);
  const integer = e.cast(value, DataType.INT64);
  const seen = e.op('Greater', [integer, e.int64(0)]);
  return filled(c, e.unsqueeze(seen, rank === 2 ? [1, 2] : [1]), type, filter);
};
