/**
 * Bytes that lie somewhere (a file, memory, behind a function) and are read in ranges. Files are opened on demand and
 * checked to be the ones first seen, so no handle outlives a call. Knows no format; throws plain Errors.
 */
import { closeSync, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs';

export interface OpenSource {
  /** Fills `target` with the bytes from `offset` on. Throws a SourceError where there are not that many. */
  readonly fill: (target: Uint8Array, offset: number) => void;
  readonly close: () => void;
}

export interface ByteSource {
  /** What a user would call it: a path as it was given. */
  readonly name: string;
  readonly size: number;
  /** Set where the bytes lie in a file. */
  readonly file?: FileIdentity;
  readonly open: () => OpenSource;
}

export interface FileIdentity {
  readonly path: string;
  readonly dev: number;
  readonly ino: number;
}

/** A run of bytes in a source. */
export interface Slice {
  readonly source: ByteSource;
  readonly offset: number;
  readonly length: number;
}

/** A source is not what it was when it was first seen, or ends too early. */
export class SourceError extends Error {
  override readonly name = 'SourceError';
}

const nothing = (): void => {};

const changed = (seen: Stats, now: Stats): boolean =>
  seen.size !== now.size || seen.mtimeMs !== now.mtimeMs || seen.ino !== now.ino || seen.dev !== now.dev;

/** The file at `path`, which must exist. Throws the file system's own errors. */
export const fileSource = (path: string, seen: Stats = statSync(path)): ByteSource => ({
  name: path,
  size: seen.size,
  file: { path, dev: seen.dev, ino: seen.ino },
  open: () => {
    const fd = openSync(path, 'r');
    const close = (): void => closeSync(fd);
    if (changed(seen, fstatSync(fd))) {
      close();
      throw new SourceError(`${path} was changed while it was in use`);
    }
    return { fill: (target, offset) => fillFrom(fd, path, target, offset), close };
  },
});

const fillFrom = (fd: number, path: string, target: Uint8Array, offset: number): void => {
  for (let done = 0; done < target.length;) {
    const got = readSync(fd, target, done, target.length - done, offset + done);
    if (got === 0) throw new SourceError(`${path} ends at ${offset + done}, earlier than expected`);
    done += got;
  }
};

/** Bytes made when they are needed and not kept. */
export const lazySource = (name: string, size: number, make: () => Uint8Array): ByteSource => ({
  name,
  size,
  open: () => {
    const bytes = make();
    if (bytes.length !== size) throw new SourceError(`${name} has ${bytes.length} bytes, not ${size}`);
    return { fill: (target, offset) => target.set(bytes.subarray(offset, offset + target.length)), close: nothing };
  },
});

export const memorySource = (name: string, bytes: Uint8Array): ByteSource =>
  lazySource(name, bytes.length, () => bytes);

export const sliceOf = (bytes: Uint8Array): Slice => ({
  source: memorySource('memory', bytes),
  offset: 0,
  length: bytes.length,
});

/** The bytes of a slice, in memory. */
export const readSlice = ({ source, offset, length }: Slice): Uint8Array => {
  const bytes = new Uint8Array(length);
  const opened = source.open();
  try {
    opened.fill(bytes, offset);
  } finally {
    opened.close();
  }
  return bytes;
};
