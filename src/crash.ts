/**
 * What is left behind by a bug of ours: which pass broke, and a model with which it breaks again. Weights go along
 * only where they are small.
 */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Diagnostic } from './diagnostics/diagnostic.ts';
import * as say from './diagnostics/messages-cli.ts';
import type { Model } from './graph/model.ts';
import { encodeModel } from './onnx/write.ts';
import { PassError } from './rewrite/pass.ts';
import { toolVersion } from './version.ts';

/** Above this the reproducer is the input itself. */
const mostBytes = 50e6;

const sizeOf = (model: Model): number => [...model.graph.constants.values()].reduce((n, t) => n + t.payload.length, 0);

const reproducer = (error: unknown, input: string): string => {
  if (!(error instanceof PassError)) return say.reproducerInput(input);
  if (sizeOf(error.before) > mostBytes) return say.reproducerInput(input, 'its weights are too large to copy');
  const file = join(tmpdir(), `pumer-compile-${error.pass}-${randomBytes(4).toString('hex')}.onnx`);
  try {
    writeFileSync(file, encodeModel(error.before), { flag: 'wx' });
    return say.reproducerFile(file);
  } catch {
    return say.reproducerInput(input, 'the graph inside the pass could not be written');
  }
};

/** Whatever went wrong outside of any pass went wrong in a file, and that is next best. */
const passOf = (error: unknown): string | undefined => {
  if (error instanceof PassError) return error.pass;
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  return /[\\/]passes[\\/]([\w\\/-]+)\.[jt]s/.exec(stack)?.[1]?.replaceAll('\\', '/');
};

/** Writes the reproducer of an unexpected error to the folder for temporary files and says where. */
export const crashReport = (error: unknown, input: string): Diagnostic => {
  const pass = passOf(error);
  const message = error instanceof Error ? error.message.replace(/^pass [\w-]+: /, '') : String(error);
  return say.internalError({
    message,
    version: toolVersion,
    ...(pass !== undefined && { pass }),
    reproducer: reproducer(error, input),
  });
};
