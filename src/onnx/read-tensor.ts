/**
 * A tensor in a file of its own, as ONNX's test data has them (input_0.pb): one bare TensorProto.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import { tensorFileUnreadable } from '../diagnostics/messages-onnx.ts';
import type { DataType } from '../graph/model.ts';
import { decodeTensorProto, type TensorProto } from './proto.ts';
import { EXTERNAL, importTensor, rawLength } from './tensor-data.ts';

export interface NamedTensor {
  /** Empty where the file does not say. */
  readonly name: string;
  readonly dataType: DataType;
  readonly dims: readonly number[];
  /** Little-endian, packed, row-major. */
  readonly bytes: Uint8Array;
}

/** `file` is what messages call it. Throws CompileError tensor-file-unreadable, tensor-unreadable. */
export const readTensor = (bytes: Uint8Array, file: string): NamedTensor => {
  const refuse = (reason: string, cause?: unknown): CompileError =>
    new CompileError(tensorFileUnreadable(file, reason), { cause });
  let proto: TensorProto;
  try {
    proto = decodeTensorProto(bytes);
  } catch (error) {
    throw refuse('it is no TensorProto', error);
  }
  if ((proto.dataType ?? 0) === 0) throw refuse('it is no TensorProto with an element type');
  if (proto.dataLocation === EXTERNAL) throw refuse('its data lies in another file');
  const { dataType, dims, payload } = importTensor(proto);
  const length = rawLength(proto);
  if (length === undefined) throw refuse('only tensors of numbers and booleans are read');
  const data = payload.read();
  if (data.length !== length) throw refuse(`it holds ${data.length} bytes where its shape needs ${length}`);
  return { name: proto.name ?? '', dataType, dims, bytes: data };
};
