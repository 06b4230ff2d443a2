/**
 * Where tensors with data outside the model file have it: locations are checked (inside the model's folder, there,
 * long enough) and nothing is read.
 */
import { posix, resolve, sep, win32 } from 'node:path';
import { openSync, closeSync } from 'node:fs';
import { CompileError } from '../diagnostics/diagnostic.ts';
import {
  externalDataMalformed,
  externalDataMissing,
  externalDataOutside,
  externalDataTooShort,
  externalDataUnreadable,
  externalDataWithoutFolder,
  gitLfsPointer,
} from '../diagnostics/messages-onnx.ts';
import { fileSource, readSlice, type ByteSource, type Slice } from '../support/byte-source.ts';
import { statIfAny } from '../support/files.ts';
import { isLfsPointer } from './sniff.ts';
import { rawLength } from './tensor-data.ts';
import type { TensorProto } from './proto.ts';

const wholeNumber = (text: string | undefined): number | undefined => {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  return Number(text);
};

const isInside = (location: string): boolean => {
  if (posix.isAbsolute(location) || win32.isAbsolute(location) || /^[A-Za-z]:/.test(location)) return false;
  const parts = location.split(sep === '\\' ? /[\\/]/ : '/');
  let depth = 0;
  for (const part of parts) {
    if (part === '..') depth--;
    else if (part !== '' && part !== '.') depth++;
    if (depth < 0) return false;
  }
  return depth > 0;
};

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A function that locates one tensor's external data. `folder` undefined: there is none (a model given as bytes). */
export const externalDataIn = (folder: string | undefined, model: string): ((tensor: TensorProto) => Slice) => {
  const files = new Map<string, ByteSource>();

  const open = (location: string, name: string): ByteSource => {
    const known = files.get(location);
    if (known !== undefined) return known;
    if (location === '' || location.includes('\0') || location.startsWith('*/'))
      throw new CompileError(externalDataMalformed(name, model, `its location is '${location.replaceAll('\0', ' ')}'`));
    if (!isInside(location)) throw new CompileError(externalDataOutside(name, location, model));
    if (folder === undefined) throw new CompileError(externalDataWithoutFolder(name, location));
    const path = resolve(folder, location);
    const unreadable = (reason: string): CompileError =>
      new CompileError(externalDataUnreadable(name, location, model, reason));
    try {
      const stats = statIfAny(path);
      if (stats === undefined) throw new CompileError(externalDataMissing(name, location, model));
      if (!stats.isFile()) throw unreadable('it is not a regular file');
      closeSync(openSync(path, 'r'));
      const source = fileSource(path, stats);
      files.set(location, source);
      return source;
    } catch (error) {
      if (error instanceof CompileError) throw error;
      throw unreadable(reasonOf(error));
    }
  };

  return (tensor) => {
    const name = tensor.name ?? '';
    const entries = new Map((tensor.externalData ?? []).map((e) => [e.key ?? '', e.value ?? '']));
    const location = entries.get('location');
    if (location === undefined) throw new CompileError(externalDataMalformed(name, model, 'it names no location'));
    const source = open(location, name);
    const number = (key: 'offset' | 'length'): number | undefined => {
      const text = entries.get(key);
      const value = wholeNumber(text);
      if (text !== undefined && value === undefined)
        throw new CompileError(externalDataMalformed(name, model, `its ${key} is '${text}'`));
      return value;
    };
    const offset = number('offset') ?? 0;
    const length = number('length') ?? rawLength(tensor) ?? Math.max(source.size - offset, 0);
    if (offset + length > source.size) {
      const start = readSlice({ source, offset: 0, length: Math.min(source.size, 64) });
      if (isLfsPointer(start)) throw new CompileError(gitLfsPointer(source.name));
      throw new CompileError(externalDataTooShort(name, location, model, { offset, length, size: source.size }));
    }
    return { source, offset, length };
  };
};
