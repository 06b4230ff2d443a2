/**
 * Labels in one of two forms, whatever a file has: class numbers int32 [rows], or scores float64 [rows, classes], such
 * as VQA's soft scores.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-samples.ts';
import { DataType } from '../graph/model.ts';
import { numbersOf, type TensorData } from '../runtime/tensor-data.ts';

const floats: ReadonlySet<DataType> = new Set([DataType.FLOAT, DataType.DOUBLE, DataType.FLOAT16, DataType.BFLOAT16]);

const classNumbers = (file: string, tensor: TensorData, rows: number): TensorData => {
  const numbers = numbersOf(tensor);
  const odd = numbers.find((v) => v < 0 || v > 0x7fffffff);
  if (odd !== undefined) throw new CompileError(say.labelsUnusable(file, `hold ${odd}, which is no class number`));
  return { dataType: DataType.INT32, dims: [rows], data: Int32Array.from(numbers) };
};

/**
 * Of one feed. `inOne`: the array is a single entry of a stack, where one row's labels may come without their axis.
 * Throws a CompileError labels-unusable.
 */
export const labelsOf = (file: string, tensor: TensorData, inOne = false): TensorData => {
  const isFloat = floats.has(tensor.dataType);
  const dims = isFloat && inOne && tensor.dims.length === 1 ? [1, ...tensor.dims] : tensor.dims;
  const [rows = 1, classes = 1] = dims;
  if (!isFloat && (dims.length <= 1 || (dims.length === 2 && classes === 1))) return classNumbers(file, tensor, rows);
  if (dims.length !== 2 || classes < 2)
    throw new CompileError(
      say.labelsUnusable(file, `are ${isFloat ? 'floating point' : 'integers'} [${tensor.dims.join(', ')}]`),
    );
  const scores = Float64Array.from(numbersOf(tensor));
  if (scores.some((v) => !Number.isFinite(v)))
    throw new CompileError(say.labelsUnusable(file, 'hold scores that are not finite'));
  return { dataType: DataType.DOUBLE, dims, data: scores };
};
