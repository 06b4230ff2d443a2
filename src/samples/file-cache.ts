/**
 * Decoded sample files, the few that were used last: a set may be larger than memory, and whoever runs it goes through
 * it file by file.
 */
import type { TensorData } from '../runtime/tensor-data.ts';

export type Arrays = ReadonlyMap<string, TensorData>;

export interface FileCache {
  /** What `decode` gives for a file, kept for as long as there is room. */
  readonly of: (file: string, decode: () => Arrays) => Arrays;
}

const sizeOf = (arrays: Arrays): number => [...arrays.values()].reduce((sum, { data }) => sum + data.byteLength, 0);

/** Keeps at most `bytes` of arrays, and always the file used last. */
export const fileCache = (bytes = 768e6): FileCache => {
  const kept = new Map<string, Arrays>();
  let held = 0;
  return {
    of: (file, decode) => {
      const known = kept.get(file);
      if (known !== undefined) {
        // A Map lists what was entered last at the end.
        kept.delete(file);
        kept.set(file, known);
        return known;
      }
      const arrays = decode();
      held += sizeOf(arrays);
      kept.set(file, arrays);
      for (const [oldest, old] of kept) {
        if (held <= bytes || oldest === file) break;
        kept.delete(oldest);
        held -= sizeOf(old);
      }
      return arrays;
    },
  };
};
