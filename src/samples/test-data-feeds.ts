/**
 * Feeds of ONNX's test data: a folder test_data_set_N with input_0.pb, input_1.pb, ... and often output_0.pb, ..., each
 * one TensorProto, found by its own name or else by its number in the order of the graph.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-samples.ts';
import * as sayFiles from '../diagnostics/messages-onnx.ts';
import { readTensor, type NamedTensor } from '../onnx/read-tensor.ts';
import { isLfsPointer } from '../onnx/sniff.ts';
import { elementsOf, type TensorData } from '../runtime/tensor-data.ts';
import { fileSource, readSlice } from '../support/byte-source.ts';
import { checkFeed, dimsOf, type Feed, type Signature } from './feed.ts';
import type { Arrays, FileCache } from './file-cache.ts';

type Kind = 'input' | 'output';

const numbered = (kind: Kind): RegExp => new RegExp(`^${kind}_(\\d+)\\.pb$`);

/** Files of a kind by their numbers, in order. */
const filesOf = (folder: string, kind: Kind): readonly { readonly number: number; readonly path: string }[] =>
  readdirSync(folder)
    .flatMap((name) => {
      const number = numbered(kind).exec(name)?.[1];
      return number === undefined ? [] : [{ number: Number(number), path: join(folder, name) }];
    })
    .sort((a, b) => a.number - b.number);

export const isTestData = (folder: string): boolean => readdirSync(folder).some((name) => numbered('input').test(name));

const read = (path: string): NamedTensor => {
  const source = fileSource(path);
  const bytes = readSlice({ source, offset: 0, length: source.size });
  if (isLfsPointer(bytes)) throw new CompileError(sayFiles.gitLfsPointer(path));
  return readTensor(bytes, path);
};

const elements = ({ dataType, dims, bytes }: NamedTensor, path: string): TensorData => {
  const data = elementsOf(dataType, bytes);
  if (data === undefined) throw new CompileError(sayFiles.tensorFileUnreadable(path, 'its element type is not read'));
  return { dataType, dims, data };
};

/** Tensors by name. `order` has the names by number, `names` all that may occur. */
const tensorsOf = (folder: string, kind: Kind, names: readonly string[], order: readonly string[]): Arrays => {
  const files = filesOf(folder, kind).map(({ number, path }) => ({ number, path, tensor: read(path) }));
  const known = files.filter(({ tensor }) => names.includes(tensor.name));
  const byName = known.length > 0;
  const unknown = files.find(({ tensor }) => !names.includes(tensor.name));
  if (byName && unknown !== undefined)
    throw new CompileError(say.sampleNumbersUnclear(folder, kind, unknown.tensor.name || unknown.path));
  return new Map(
    files.map(({ number, path, tensor }) => {
      const name = byName ? tensor.name : order[number];
      if (name === undefined) throw new CompileError(say.sampleNumberUnknown(path, order.length, kind));
      return [name, elements(tensor, path)];
    }),
  );
};

/** Checks the folder against the model. Throws a CompileError where it is none of its feeds. */
export const testDataFeed = (name: string, folder: string, signature: Signature, cache: FileCache): Feed => {
  const inputs = [...signature.inputs.keys()];
  // Exporters that list weights as inputs count them or not: the number of files tells.
  const isAll = filesOf(folder, 'input').length === inputs.length;
  const arrays = (kind: Kind): Arrays =>
    cache.of(`${folder} ${kind}`, () =>
      kind === 'input'
        ? tensorsOf(folder, kind, inputs, isAll ? inputs : signature.required)
        : tensorsOf(folder, kind, signature.outputs, signature.outputs),
    );
  const found = arrays('input');
  checkFeed(name, found, signature);
  const recorded = arrays('output');
  return {
    name,
    dims: dimsOf(found),
    inputs: () => arrays('input'),
    ...(recorded.size > 0 && { recorded: { dims: dimsOf(recorded), read: () => arrays('output') } }),
  };
};
