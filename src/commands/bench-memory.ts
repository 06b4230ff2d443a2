/**
 * Peak memory of one model, measured by the process that runs it and nothing else; and how such processes are started
 * and listened to.
 */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchMemoryRequest } from '../flags/bench.ts';
import { readNpz, tensorOf, writeNpz } from '../runtime/npz.ts';
import { createSession, type ReducerOps } from '../runtime/session.ts';
import type { TensorData } from '../runtime/tensor-data.ts';
import { peakMemory } from '../timing/peak-memory.ts';
import { temporaryFolder } from '../support/temporary-folders.ts';

/** Bytes. */
export interface PeakMemory {
  readonly peak: number;
  /** Before the model was opened: Node, this program and the inputs. */
  readonly before: number;
}

/** How this program is started again. */
export interface Self {
  readonly program: string;
  readonly args: readonly string[];
}

type Feeds = ReadonlyMap<string, TensorData>;

const runs = 3;

/** In the process that measures itself. `maxRss` in kilobytes, as `process.resourceUsage().maxRSS`. */
export const memoryOfModel = async (
  { input, feeds, threads, ops }: BenchMemoryRequest,
  maxRss: () => number,
): Promise<PeakMemory> => {
  const arrays = readNpz(readFileSync(feeds), feeds);
  const tensors = new Map([...arrays].map(([name, array]) => [name, tensorOf(array)]));
  const before = peakMemory(maxRss);
  const session = await createSession(input, { ops, ...(threads !== undefined && { threads }) });
  for (let run = 0; run < runs; run++) await session.run(tensors);
  const peak = peakMemory(maxRss);
  await session.release();
  return { peak, before };
};

/** Feeds of one batch in a folder of their own; `remove` takes it away. */
export const writeFeeds = (feeds: Feeds): { readonly file: string; readonly remove: () => void } => {
  const { path, remove } = temporaryFolder('pumer-bench-');
  const file = join(path, 'feeds.npz');
  try {
    const arrays = [...feeds].map(([name, { dataType, dims, data }]) => {
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      return [name, { dtype: dataType, dims, bytes }] as const;
    });
    writeFileSync(file, writeNpz(new Map(arrays)));
  } catch (error) {
    remove();
    throw error;
  }
  return { file, remove };
};

/** Starts a process that measures itself. Rejects with what it said where it fails. */
export const memoryInProcess = (
  self: Self,
  request: { readonly model: string; readonly feeds: string; readonly threads?: number; readonly ops: ReducerOps },
  signal: AbortSignal,
): Promise<PeakMemory> =>
  new Promise((resolve, reject) => {
    const words = ['bench-memory', request.model, '--feeds', request.feeds, '--ops', request.ops];
    if (request.threads !== undefined) words.push('--threads', String(request.threads));
    execFile(self.program, [...self.args, ...words], { signal, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error === null) resolve(JSON.parse(stdout) as PeakMemory);
      else reject(signal.aborted ? error : new Error(stderr.trim().split('\n')[0] || error.message));
    });
  });
