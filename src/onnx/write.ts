/**
 * Writes a Model as ONNX: to files, streamed and put in place whole or not at all, or to bytes in memory. Weights go
 * from where they lie to where they belong as ranges. Never touches a file of the model that was read.
 */
import { basename, dirname, join, resolve } from 'node:path';
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-onnx.ts';
import type { Model } from '../graph/model.ts';
import { SourceError, type FileIdentity, type Slice } from '../support/byte-source.ts';
import { isFileError, isSameFile, joinSlices, statIfAny, writeTogether, type OutputFile } from '../support/files.ts';
import { exportModel } from './export.ts';
import type { ModelOrigin } from './import.ts';
import { marker } from './located.ts';
import { encodeModelProto, type ModelProto } from './proto.ts';
import { placeTensors, type Placement } from './placement.ts';
import { mapChunks } from './tensor-tree.ts';

/** Where tensor data goes. `keep`: as in the input, external data copied to `<name of the output>.data` beside it. */
export type ExternalData = 'keep' | 'inline' | { readonly file: string };

export interface WriteOptions {
  readonly externalData: ExternalData;
}

export interface Written {
  /** Size of the model file. */
  readonly bytes: number;
  /** Size of the file with external data, 0 where there is none. */
  readonly externalBytes: number;
  /** Its bare name, beside the model. */
  readonly externalFile?: string;
}

/** Protobuf's limit, and ONNX Runtime's, for one message. */
const MAX_BYTES = 2 ** 31 - 1;

const sizeOf = (slices: readonly Slice[]): number => slices.reduce((n, s) => n + s.length, 0);

const encode = (proto: ModelProto): readonly Slice[] => {
  const { mark, expand } = marker();
  const slices = expand(encodeModelProto(mapChunks(proto, mark)));
  const size = sizeOf(slices);
  if (size > MAX_BYTES) throw new CompileError(say.modelTooLarge(size));
  return slices;
};

/** What went wrong while bytes were moved, in the user's words; our own errors pass through. */
const explained = (error: unknown, path: string): unknown => {
  if (error instanceof SourceError) return new CompileError(say.fileChanged(error.message), { cause: error });
  if (!isFileError(error)) return error;
  const reason = error.code === 'ENOENT' ? `the folder ${dirname(path)} does not exist` : error.message;
  return new CompileError(say.outputNotWritten(path, reason), { cause: error });
};

const checkTarget = (path: string, inputs: readonly FileIdentity[]): void => {
  const there = statIfAny(path);
  if (there === undefined) return;
  const input = inputs.find((file) => isSameFile(path, file));
  if (input !== undefined) throw new CompileError(say.outputIsInput(path, input.path));
  if (!there.isFile()) throw new CompileError(say.outputNotFile(path));
};

const checkName = (name: string, path: string): void => {
  const refuse = (reason: string): CompileError => new CompileError(say.externalFileName(name, reason));
  if (name === '' || name === '.' || name === '..' || name.includes('\0')) throw refuse('that is no file name');
  if (/[\\/]/.test(name) || /^[A-Za-z]:/.test(name)) throw refuse('it names a folder');
  if (resolve(dirname(path), name) === resolve(path)) throw refuse('that is the output itself');
};

/** The files a model was read from; slices of models built by hand may lie in files, too. */
const inputsOf = (model: Model, slices: readonly Slice[]): readonly FileIdentity[] => [
  ...((model.origin as ModelOrigin | undefined)?.files ?? []),
  ...new Set(slices.flatMap(({ source }) => source.file ?? [])),
];

const place = (model: Model, path: string, where: ExternalData): Placement => {
  const proto = exportModel(model);
  if (where === 'inline') return placeTensors(proto, 'inline');
  if (where === 'keep') return placeTensors(proto, 'keep', `${basename(path)}.data`);
  checkName(where.file, path);
  return placeTensors(proto, 'move', where.file);
};

/**
 * Writes the model to `path` and its external data, if any, beside it. Throws a CompileError, with older outputs left
 * whole and nothing else left behind, where that cannot be done.
 */
export const writeModel = (model: Model, path: string, options: WriteOptions): Written => {
  try {
    const { proto, location, data } = place(model, path, options.externalData);
    const slices = encode(proto);
    const inputs = inputsOf(model, [...slices, ...data]);
    const files: OutputFile[] = [{ path, slices }];
    if (location !== undefined && data.length > 0) files.unshift({ path: join(dirname(path), location), slices: data });
    for (const file of files) checkTarget(file.path, inputs);
    const sizes = writeTogether(files);
    const bytes = sizes.at(-1) ?? 0;
    if (files.length === 1 || location === undefined) return { bytes, externalBytes: 0 };
    return { bytes, externalBytes: sizes[0] ?? 0, externalFile: location };
  } catch (error) {
    throw explained(error, path);
  }
};

/**
 * The model as bytes, complete in itself: external data is taken in, unless `externalData` is 'refer', which leaves
 * the references as they were read.
 */
export const encodeModel = (model: Model, options: { externalData?: 'inline' | 'refer' } = {}): Uint8Array => {
  const exported = exportModel(model);
  const proto = options.externalData === 'refer' ? exported : placeTensors(exported, 'inline').proto;
  try {
    return joinSlices(encode(proto));
  } catch (error) {
    throw error instanceof SourceError ? new CompileError(say.fileChanged(error.message), { cause: error }) : error;
  }
};
