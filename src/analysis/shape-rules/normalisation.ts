/**
 * Normalisations, plain and fused with additions or embeddings: the shape of what is normalised, and statistics.
 */
import { DataType } from '../../graph/model.ts';
import { intOf } from '../../graph/tensors.ts';
import { dimsOf, factsOf, gap, hasInput, normalAxis, one, typeOf, type ShapeRule } from './context.ts';
import type { Dim } from '../dim.ts';

/** LayerNormalization, RMSNormalization: statistics keep the axes before `axis`. */
export const layerNorm: ShapeRule = (c) => {
  const dims = dimsOf(c, 0);
  const axis = normalAxis(intOf(c.node, 'axis', -1), dims.length);
  const statistics = {
    dataType: intOf(c.node, 'stash_type', DataType.FLOAT),
    dims: dims.map((d, i) => (i < axis ? d : one)),
  };
  return [{ dataType: typeOf(c, 0), dims }, statistics, statistics];
};

/** SkipLayerNormalization: the fourth output is the sum that was normalised, which is the residual stream. */
export const skipLayerNorm: ShapeRule = (c) => {
  const dims = dimsOf(c, 0);
  const dataType = typeOf(c, 0);
  const statistics = { dataType: DataType.FLOAT, dims: dims.map((d, i) => (i < dims.length - 1 ? d : one)) };
  return [{ dataType, dims }, statistics, statistics, { dataType, dims }];
};

/** BatchNormalization: further outputs are per channel. */
export const batchNorm: ShapeRule = (c) => {
  const per = hasInput(c, 3) ? factsOf(c, 3) : undefined;
  return [
    { dataType: typeOf(c, 0), dims: dimsOf(c, 0) },
    ...c.node.outputs.slice(1).map(() => per && { dataType: per.dataType, ...(per.dims && { dims: per.dims }) }),
  ];
};

/** com.microsoft GroupNorm, SkipGroupNorm: a second output repeats the sum. */
export const groupNorm: ShapeRule = (c) => {
  const facts = { dataType: typeOf(c, 0), dims: dimsOf(c, 0) };
  return [facts, facts];
};

/** com.microsoft EmbedLayerNormalization: [B, S] ids and a word table [V, C] give [B, S, C] and token counts [B]. */
export const embedLayerNorm: ShapeRule = (c) => {
  const ids = dimsOf(c, 0);
  const table = dimsOf(c, 2);
  const [batch] = ids;
  const width = table[1];
  if (batch === undefined || width === undefined) return gap('its operands have too few axes');
  const embedded = { dataType: typeOf(c, 2), dims: [...ids, width] as readonly Dim[] };
  return [embedded, { dataType: DataType.INT32, dims: [batch] }, embedded];
};
