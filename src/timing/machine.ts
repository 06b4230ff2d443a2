/**
 * What times were taken on, for beside the figures: without it they mean nothing.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';

export interface Machine {
  readonly processor: string;
  /** That this process may use. */
  readonly cores: number;
  readonly node: string;
  readonly onnxRuntime: string;
  /** Processes running or waiting, mean of the last minute before anything was timed; 0 where the system does not tell. */
  readonly load: number;
}

/** Now; `node` is its version, which only the command line knows. */
export const machineHere = (node: string, onnxRuntime: string): Machine => ({
  processor: cpus()[0]?.model.trim() ?? 'unknown processor',
  cores: availableParallelism(),
  node,
  onnxRuntime,
  load: loadavg()[0] ?? 0,
});

/** Without the load: what stays the same from run to run. */
export const machineText = ({ processor, cores, node, onnxRuntime }: Machine): string =>
  `${processor}, ${cores} core${cores === 1 ? '' : 's'}, Node ${node.replace(/^v/, '')}, ONNX Runtime ${onnxRuntime}`;

/** Whether others take time from `threads` threads (all cores if absent). */
export const isBusy = ({ cores, load }: Machine, threads = cores): boolean => load > Math.max(cores - threads, 0) + 0.5;
