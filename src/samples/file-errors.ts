/** Errors of the file system while samples are read, as ours. */
import { CompileError } from '../diagnostics/diagnostic.ts';
import { fileChanged } from '../diagnostics/messages-onnx.ts';
import { dataUnreadable } from '../diagnostics/messages-samples.ts';
import { SourceError } from '../support/byte-source.ts';
import { isFileError } from '../support/files.ts';

/** What `step` gives. Throws a CompileError file-changed, data-unreadable in the place of the file system's errors. */
export const heedFiles = <T>(path: string, step: () => T): T => {
  try {
    return step();
  } catch (error) {
    if (error instanceof SourceError) throw new CompileError(fileChanged(error.message), { cause: error });
    if (!isFileError(error)) throw error;
    throw new CompileError(dataUnreadable(error.path ?? path, error.message), { cause: error });
  }
};
