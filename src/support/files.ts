/**
 * Files on the way out: several of them written beside their final names and put in place together, or not at all.
 * Streams slices through one buffer and never holds a file whole. Throws the file system's own errors.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, linkSync, openSync, renameSync, rmSync, statSync, writeSync, type Stats } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { FileIdentity, OpenSource, ByteSource, Slice } from './byte-source.ts';

/** Small enough to stay in a core's cache between reading and writing. */
const BUFFER = 512 << 10;

export interface OutputFile {
  readonly path: string;
  /** Its contents, one after the other. */
  readonly slices: readonly Slice[];
}

/** Whether an operation on files failed, and not our code. */
export const isFileError = (error: unknown): error is NodeJS.ErrnoException =>
  error instanceof Error && typeof (error as NodeJS.ErrnoException).errno === 'number';

/** What lies at `path`, or undefined where nothing does. */
export const statIfAny = (path: string): Stats | undefined => statSync(path, { throwIfNoEntry: false });

/** Whether `path` is that file, by whatever name or link. */
export const isSameFile = (path: string, file: FileIdentity): boolean => {
  const there = statIfAny(path);
  return there !== undefined && there.ino === file.ino && there.dev === file.dev;
};

/** Hands out each source opened once; closes them all at the end. */
const openSources = (): { of: (source: ByteSource) => OpenSource; close: () => void } => {
  // Only files are kept open: sources in memory may be many and large.
  const opened = new Map<ByteSource, OpenSource>();
  return {
    of: (source) => {
      const known = opened.get(source);
      if (known !== undefined) return known;
      const fresh = source.open();
      if (source.file !== undefined) opened.set(source, fresh);
      return fresh;
    },
    close: () => opened.forEach((one) => one.close()),
  };
};

const writeAll = (fd: number, bytes: Uint8Array): void => {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done, bytes.length - done);
};

/** Streams slices to an open file; returns the bytes written. */
const stream = (fd: number, slices: readonly Slice[]): number => {
  const buffer = new Uint8Array(BUFFER);
  const sources = openSources();
  let held = 0;
  let total = 0;
  try {
    for (const { source, offset, length } of slices) {
      if (length === 0) continue;
      const opened = sources.of(source);
      for (let done = 0; done < length;) {
        const some = Math.min(length - done, BUFFER - held);
        opened.fill(buffer.subarray(held, held + some), offset + done);
        held += some;
        done += some;
        if (held === BUFFER) {
          writeAll(fd, buffer);
          held = 0;
        }
      }
      total += length;
    }
    writeAll(fd, buffer.subarray(0, held));
  } finally {
    sources.close();
  }
  return total;
};

/** All slices one after the other, in memory. */
export const joinSlices = (slices: readonly Slice[]): Uint8Array => {
  const bytes = new Uint8Array(slices.reduce((n, s) => n + s.length, 0));
  const sources = openSources();
  let at = 0;
  try {
    for (const { source, offset, length } of slices) {
      if (length > 0) sources.of(source).fill(bytes.subarray(at, at + length), offset);
      at += length;
    }
  } finally {
    sources.close();
  }
  return bytes;
};

const temporaryFor = (path: string): string =>
  join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);

const remove = (path: string): void => rmSync(path, { force: true });

/** A second name for an older file, by which it can be put back; undefined where there is none or no links are had. */
const setAside = (path: string): string | undefined => {
  if (statIfAny(path) === undefined) return undefined;
  const aside = temporaryFor(path);
  try {
    linkSync(path, aside);
    return aside;
  } catch {
    return undefined;
  }
};

/**
 * Writes the files and returns their sizes in bytes. They appear under their names, in the order given, only once all
 * of them are written whole; on any failure what was there before stays, and nothing else is left behind.
 */
export const writeTogether = (files: readonly OutputFile[]): number[] => {
  const temporaries = files.map((file) => temporaryFor(file.path));
  const asides: (string | undefined)[] = [];
  let placed = 0;
  try {
    const sizes = files.map((file, i) => {
      const fd = openSync(temporaries[i] as string, 'wx');
      try {
        return stream(fd, file.slices);
      } finally {
        closeSync(fd);
      }
    });
    // The last rename either happens or not, so only the files before it need a way back.
    for (const file of files.slice(0, -1)) asides.push(setAside(file.path));
    files.forEach((file, i) => {
      renameSync(temporaries[i] as string, file.path);
      placed = i + 1;
    });
    return sizes;
  } catch (error) {
    files.slice(0, placed).forEach((file, i) => {
      const aside = asides[i];
      if (aside === undefined) remove(file.path);
      else renameSync(aside, file.path);
    });
    throw error;
  } finally {
    [...temporaries, ...asides].forEach((path) => path !== undefined && remove(path));
  }
};
