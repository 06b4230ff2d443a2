/**
 * Opens an ONNX model: a file or bytes in memory to the compiler's Model, with weights located and never loaded.
 * Refuses by name what is no model; knows nothing of what is done with one.
 */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-onnx.ts';
import type { Model } from '../graph/model.ts';
import {
  fileSource,
  memorySource,
  readSlice,
  SourceError,
  type ByteSource,
  type FileIdentity,
} from '../support/byte-source.ts';
import { isFileError } from '../support/files.ts';
import { externalDataIn } from './external-data.ts';
import { importModel } from './import.ts';
import { markLarge } from './located.ts';
import { decodeModelProto, isSlice, withFields, type ModelProto } from './proto.ts';
import { messages } from './schema.ts';
import { isLfsPointer, isOrtFormat, looksLike } from './sniff.ts';
import { EXTERNAL } from './tensor-data.ts';
import { mapChunks, mapTensors } from './tensor-tree.ts';
import { Cursor, nextField, WireError, type Field } from './wire.ts';

export interface ReadOptions {
  /** The folder of external data, for a model given as bytes. */
  readonly baseDir?: string;
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const openModel = (path: string): ByteSource => {
  let stats;
  try {
    stats = statSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw new CompileError(say.modelMissing(path));
    throw new CompileError(say.modelUnreadable(path, reasonOf(error)), { cause: error });
  }
  if (stats.isDirectory()) throw new CompileError(say.modelIsFolder(path));
  if (!stats.isFile()) throw new CompileError(say.modelNotFile(path));
  return fileSource(path, stats);
};

/** Refuses what is recognised as something else. */
const checkKind = (source: ByteSource, file: string): void => {
  if (source.size === 0) throw new CompileError(say.modelEmpty(file));
  const start = readSlice({ source, offset: 0, length: Math.min(source.size, 512) });
  if (isLfsPointer(start)) throw new CompileError(say.gitLfsPointer(file));
  if (isOrtFormat(start)) throw new CompileError(say.ortFormat(file));
  const kind = looksLike(start);
  if (kind !== undefined) throw new CompileError(say.notOnnx(file, kind.what, kind.fix));
};

const LENGTH_DELIMITED = 2;
const modelFields = new Map(
  Object.values(messages['ModelProto']?.fields ?? {}).map(({ id, type }) => [
    id,
    type === 'int64' ? 0 : LENGTH_DELIMITED,
  ]),
);

/**
 * Reads the fields of the outermost message only, and tells a damaged model from something that never was one: the
 * former begins like a model and breaks off later.
 */
const checkOutline = (source: ByteSource, file: string): void => {
  const opened = source.open();
  const cursor = new Cursor(source, opened);
  const seen = new Set<number>();
  const other = new CompileError(say.notOnnx(file));
  try {
    while (cursor.pos < source.size) {
      const { number, wireType }: Field = nextField(cursor, source.size);
      const wanted = modelFields.get(number);
      if (wanted !== undefined && wanted !== wireType) throw other;
      seen.add(number);
    }
  } catch (error) {
    // Writers put the IR version first, so a cut model still has it.
    if (error instanceof WireError) throw seen.has(1) ? damaged(file, error) : other;
    throw error;
  } finally {
    opened.close();
  }
  if (![1, 7, 8].some((number) => seen.has(number))) throw other;
};

const damaged = (file: string, error: unknown): CompileError =>
  new CompileError(
    error instanceof WireError
      ? say.damagedModel(file, `a part of it ${error.message}`, error.offset)
      : say.damagedModel(file, reasonOf(error)),
    { cause: error },
  );

/** The decoded model, with its large data as slices. */
const decode = (source: ByteSource, file: string): ModelProto => {
  const decoded = ({ bytes, chunkOf }: ReturnType<typeof markLarge>): ModelProto => {
    let proto;
    try {
      proto = decodeModelProto(bytes);
    } catch (error) {
      throw damaged(file, error);
    }
    return mapChunks(proto, (chunk) => (isSlice(chunk) ? chunk : chunkOf(chunk)));
  };
  try {
    return decoded(markLarge(source));
  } catch (error) {
    throw error instanceof WireError ? damaged(file, error) : error;
  }
};

/**
 * Reads a model from a path, or from bytes (whose external data lies in `baseDir`). Throws a CompileError where it is
 * no valid ONNX model or a file of external data is missing or too short.
 */
export const readModel = (source: string | Uint8Array, options: ReadOptions = {}): Model => {
  const isPath = typeof source === 'string';
  const file = isPath ? source : 'the model';
  const bytes = isPath ? openModel(source) : memorySource(file, source);
  try {
    checkKind(bytes, file);
    checkOutline(bytes, file);
    const files = new Map<string, FileIdentity>();
    if (bytes.file !== undefined) files.set(bytes.file.path, bytes.file);
    const locate = externalDataIn(isPath ? dirname(source) : options.baseDir, file);
    const proto = mapTensors(decode(bytes, file), (tensor) => {
      if (tensor.dataLocation !== EXTERNAL) return tensor;
      const external = locate(tensor);
      if (external.source.file !== undefined) files.set(external.source.file.path, external.source.file);
      return withFields(tensor, { external });
    });
    return importModel(proto, [...files.values()], file);
  } catch (error) {
    if (error instanceof SourceError) throw new CompileError(say.fileChanged(error.message), { cause: error });
    if (!isFileError(error)) throw error;
    throw new CompileError(say.modelUnreadable(file, reasonOf(error)), { cause: error });
  }
};
