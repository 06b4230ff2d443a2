/**
 * Folders for files that nobody asked for. Who makes one removes it; a process that ends early removes those still there.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const there = new Set<string>();

const remove = (path: string): void => {
  rmSync(path, { recursive: true, force: true });
  there.delete(path);
};

export interface TemporaryFolder {
  readonly path: string;
  readonly remove: () => void;
}

/** Throws the file system's own errors. */
export const temporaryFolder = (prefix: string): TemporaryFolder => {
  const path = mkdtempSync(join(tmpdir(), prefix));
  there.add(path);
  return { path, remove: () => remove(path) };
};

export const removeTemporaryFolders = (): void => there.forEach(remove);
