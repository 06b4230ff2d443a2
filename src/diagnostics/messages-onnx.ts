/**
 * What is said about model files: reading them, their external data, their graphs' wiring and writing them out again.
 * One builder per code; knows no bytes and no file system, callers pass names and figures in.
 */
import type { Diagnostic, Place } from './diagnostic.ts';

const error = (code: string, at: Place, message: string, fix?: string): Diagnostic => ({
  code,
  severity: 'error',
  message,
  at,
  ...(fix === undefined ? {} : { fix }),
});

const nodeLabel = (name: string, op: string): string => (name === '' ? `a ${op} node` : `node '${name}' (${op})`);

// Files that cannot be read as a model.

export const modelMissing = (file: string): Diagnostic =>
  error('model-missing', { file }, `${file} does not exist`, 'check the path');

export const modelIsFolder = (file: string): Diagnostic =>
  error('model-is-folder', { file }, `${file} is a folder, not a model`, 'name the .onnx file inside it');

export const modelNotFile = (file: string): Diagnostic =>
  error('model-not-file', { file }, `${file} is not a regular file`, 'save the model to a file first');

export const modelUnreadable = (file: string, reason: string): Diagnostic =>
  error('model-unreadable', { file }, `${file} cannot be read: ${reason}`);

export const modelEmpty = (file: string): Diagnostic =>
  error('model-empty', { file }, `${file} is empty`, 'export or download the model again');

export const gitLfsPointer = (file: string): Diagnostic =>
  error(
    'git-lfs-pointer',
    { file },
    `${file} is a Git LFS pointer, not the file itself`,
    'run "git lfs pull" in its repository, or download the file itself',
  );

export const ortFormat = (file: string): Diagnostic =>
  error(
    'ort-format',
    { file },
    `${file} is in ONNX Runtime's own .ort format, which cannot be compiled`,
    'use the .onnx file it was made from',
  );

/** `looksLike` names what the file seems to be, with an article, where that is known. */
export const notOnnx = (file: string, looksLike?: string, fix?: string): Diagnostic =>
  error(
    'not-onnx',
    { file },
    looksLike === undefined ? `${file} is not an ONNX model` : `${file} is ${looksLike}, not an ONNX model`,
    fix ?? 'export the model to ONNX, or name another file',
  );

export const damagedModel = (file: string, reason: string, offset?: number): Diagnostic =>
  error(
    'damaged-model',
    { file },
    `${file} is damaged: ${reason}${offset === undefined ? '' : ` (at byte ${offset})`}`,
    'export or download the model again',
  );

export const modelWithoutGraph = (file: string): Diagnostic =>
  error('model-without-graph', { file }, `${file} holds no graph`, 'export or download the model again');

export const modelWithoutIrVersion = (file: string): Diagnostic =>
  error('model-without-ir-version', { file }, `${file} does not say which IR version it is of`, 'export it again');

export const fileChanged = (reason: string): Diagnostic =>
  error('file-changed', {}, `an input changed during the run: ${reason}`, 'run again once nothing writes to it');

// Data of tensors.

const tensorLabel = (tensor: string): string => (tensor === '' ? 'a tensor without a name' : `tensor '${tensor}'`);

export const externalDataMissing = (tensor: string, location: string, model: string): Diagnostic =>
  error(
    'external-data-missing',
    { file: model, value: tensor },
    `${model} keeps ${tensorLabel(tensor)} in '${location}', which does not exist beside it`,
    `copy ${location} into the folder of ${model}`,
  );

export const externalDataUnreadable = (tensor: string, location: string, model: string, reason: string): Diagnostic =>
  error(
    'external-data-unreadable',
    { file: model, value: tensor },
    `${model} keeps ${tensorLabel(tensor)} in '${location}', which cannot be read: ${reason}`,
  );

export const externalDataOutside = (tensor: string, location: string, model: string): Diagnostic =>
  error(
    'external-data-outside',
    { file: model, value: tensor },
    `${model} keeps ${tensorLabel(tensor)} in '${location}', which is not inside the model's folder`,
    'move the data beside the model and save the model with a relative location',
  );

export const externalDataTooShort = (
  tensor: string,
  location: string,
  model: string,
  range: { readonly offset: number; readonly length: number; readonly size: number },
): Diagnostic =>
  error(
    'external-data-too-short',
    { file: model, value: tensor },
    `${tensorLabel(tensor)} of ${model} lies at bytes ${range.offset} to ${range.offset + range.length} of '${location}', which has ${range.size}`,
    'the data file is cut short or belongs to another model: export or download both again',
  );

export const externalDataMalformed = (tensor: string, model: string, reason: string): Diagnostic =>
  error(
    'external-data-malformed',
    { file: model, value: tensor },
    `${tensorLabel(tensor)} of ${model} says in no usable way where its data lies: ${reason}`,
    'export the model again',
  );

export const externalDataWithoutFolder = (tensor: string, location: string): Diagnostic =>
  error(
    'external-data-without-folder',
    { value: tensor },
    `${tensorLabel(tensor)} lies in '${location}', and a model given as bytes has no folder to look in`,
    'pass the path of the model, or the folder of its data as baseDir',
  );

export const tensorUnreadable = (tensor: string, reason: string): Diagnostic =>
  error('tensor-unreadable', { value: tensor }, `the data of ${tensorLabel(tensor)} cannot be read: ${reason}`);

export const tensorFileUnreadable = (file: string, reason: string): Diagnostic =>
  error(
    'tensor-file-unreadable',
    { file },
    `${file} cannot be read as a tensor: ${reason}`,
    'write it with onnx.numpy_helper.from_array(array, name).SerializeToString()',
  );

// Wiring.

export const domainNotImported = (domain: string, file: string, node: { name: string; op: string }): Diagnostic =>
  error(
    'domain-not-imported',
    { file, node: node.name },
    `${nodeLabel(node.name, node.op)} is of domain '${domain}', which the model does not import`,
    'the model is not valid ONNX: export it again, or add the domain to its opset imports',
  );

export const undefinedValue = (value: string, file: string, node?: { name: string; op: string }): Diagnostic =>
  error(
    'undefined-value',
    { file, value, ...(node === undefined ? {} : { node: node.name }) },
    node === undefined
      ? `output '${value}' of the graph is made by nothing`
      : `${nodeLabel(node.name, node.op)} reads '${value}', which nothing makes`,
    'the model is not valid ONNX: export it again',
  );

export const duplicateValue = (value: string, file: string, node: { name: string; op: string }): Diagnostic =>
  error(
    'duplicate-value',
    { file, value, node: node.name },
    `${nodeLabel(node.name, node.op)} makes '${value}', which something else makes too`,
    'the model is not valid ONNX: export it again',
  );

export const graphCycle = (value: string, file: string, node: { name: string; op: string }): Diagnostic =>
  error(
    'graph-cycle',
    { file, value, node: node.name },
    `${nodeLabel(node.name, node.op)} reads '${value}', which depends on the node itself`,
    'the model is not valid ONNX: export it again',
  );

// Writing.

export const outputIsInput = (output: string, input: string): Diagnostic =>
  error(
    'output-is-input',
    { file: output },
    output === input
      ? `${output} is a file of the model being compiled and is not overwritten`
      : `${output} is ${input}, a file of the model being compiled, and is not overwritten`,
    'choose another name for the output',
  );

export const outputNotFile = (output: string): Diagnostic =>
  error('output-not-file', { file: output }, `${output} exists and is not a regular file`, 'choose another name');

export const outputNotWritten = (output: string, reason: string): Diagnostic =>
  error('output-not-written', { file: output }, `${output} cannot be written: ${reason}`);

export const externalFileName = (name: string, reason: string): Diagnostic =>
  error(
    'external-file-name',
    { file: name },
    `external data cannot go to '${name}': ${reason}`,
    'give a bare file name; the file is written beside the output',
  );

export const modelTooLarge = (bytes: number): Diagnostic =>
  error(
    'model-too-large',
    {},
    `the model takes ${(bytes / 2 ** 30).toFixed(2)} GiB in one file; the format allows 2 GiB`,
    'keep the weights outside: --external-data FILE',
  );
