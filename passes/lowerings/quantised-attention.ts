/**
 * com.microsoft.QAttention: com.microsoft.Attention with an int8 projection,
 *
 *   [Q K V] = (X - x0) (W - w0) * (xs ws) + b      the rest as in packed-attention
 *
 * Source: ONNX Runtime, ContribOperators.md. Its only masks are counts [B] and raw ones [B,S]; no additive bias.
 */
import { DataType } from '../../src/graph/model.ts';
import { declinable, declineInputs, declineOutputs, decline, type Lowering } from './lowering.ts';
import { attendPacked } from './packed-attention.ts';

export const quantisedAttention: Lowering = {
  op: 'com.microsoft.QAttention',
  streams: [0],
  mask: 5,
  lower: declinable((c) => {
    const { e } = c;
    if (c.type(3) !== DataType.FLOAT) decline('its scales are not float32');
    declineInputs(c, [[8, 'keys and values of the past']]);
    declineOutputs(c, [[1, 'its keys and values']]);
    const points = c.input(7) !== '' ? [c.input(6), c.input(7)] : c.input(6) !== '' ? [c.input(6)] : [];
    const product = e.cast(e.op('MatMulInteger', [c.input(0), c.input(1), ...points]), DataType.FLOAT);
    const projected = e.op('Add', [e.op('Mul', [product, e.op('Mul', [c.input(3), c.input(4)])]), c.input(2)]);
    return [attendPacked(c, projected, { mask: 5 }, DataType.FLOAT)];
  }),
};
