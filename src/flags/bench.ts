/**
 * `pumer-compile bench A.onnx [B.onnx ...]`: its flags and the request they make; and the hidden command by which it
 * measures memory in a process of its own.
 */
import { Option, type Command } from 'commander';
import * as say from '../diagnostics/messages-cli.ts';
import type { ReducerOps } from '../runtime/session.ts';
import {
  countOf,
  displayFlags,
  displayOf,
  flagsOf,
  numberOf,
  textOf,
  wordOf,
  type Display,
  type Flags,
} from './read.ts';
import { UsageError } from './usage-error.ts';

export interface BenchRequest {
  readonly command: 'bench';
  /** The first model: what the others are compared with, and what errors are about if nothing else is said. */
  readonly input: string;
  readonly models: readonly string[];
  /** Samples to run on; made-up inputs if absent. */
  readonly data?: string;
  readonly batches: readonly number[];
  /** ONNX Runtime's own choice if absent. */
  readonly threads?: number;
  /** Exactly so many turns. */
  readonly turns?: number;
  /** Turns for so long, at each batch size. */
  readonly seconds?: number;
  /** Sizes of made-up inputs that models leave open. */
  readonly text?: number;
  readonly pixels?: number;
  readonly ops: ReducerOps | 'auto';
  readonly memory: boolean;
  readonly display: Display;
}

export interface BenchMemoryRequest {
  readonly command: 'bench-memory';
  readonly input: string;
  /** An .npz file with one batch. */
  readonly feeds: string;
  readonly threads?: number;
  readonly ops: ReducerOps;
}

const batchesOf = (flags: Flags): readonly number[] => {
  const text = textOf(flags, 'batches') ?? '1';
  const parts = text.split(',').map((part) => part.trim());
  if (!parts.every((part) => /^[1-9]\d{0,5}$/.test(part)))
    throw new UsageError(say.badFlagValue('--batches', text, 'batch sizes separated by commas, such as 1,4,16'));
  return [...new Set(parts.map(Number))];
};

const benchRequest = (models: readonly string[], flags: Flags): BenchRequest => {
  const data = textOf(flags, 'data');
  const threads = countOf(flags, 'threads', '--threads');
  const turns = countOf(flags, 'turns', '--turns');
  const seconds = numberOf(flags, 'seconds', '--seconds', 'a number of seconds above 0');
  const text = countOf(flags, 'text', '--text');
  const pixels = countOf(flags, 'pixels', '--pixels');
  if (turns !== undefined && seconds !== undefined)
    throw new UsageError(say.flagsExclude('--turns', '--seconds', 'each says how long to go on'));
  for (const [flag, value] of [
    ['--text', text],
    ['--pixels', pixels],
  ] as const)
    if (data !== undefined && value !== undefined)
      throw new UsageError(say.flagsExclude('--data', flag, 'samples have their own sizes'));
  return {
    command: 'bench',
    input: models[0] ?? '',
    models,
    batches: batchesOf(flags),
    ...(data !== undefined && { data }),
    ...(threads !== undefined && { threads }),
    ...(turns !== undefined && { turns }),
    ...(seconds !== undefined && { seconds }),
    ...(text !== undefined && { text }),
    ...(pixels !== undefined && { pixels }),
    ops: wordOf(flags, 'ops', '--ops', ['auto', 'fused', 'portable']) ?? 'auto',
    memory: flags['memory'] !== false,
    display: displayOf(flags),
  };
};

const benchHelp = `
Every turn runs each model once, in an order that changes, so what slows the machine for a while slows all of them. The
speed-up is the median of the ratios within turns. With neither --turns nor --seconds, turns go on until no such median
is further off than 1 %, for 20 seconds at each batch size.

Examples:
  pumer-compile bench vilt.onnx faster.onnx                           time and memory on made-up inputs
  pumer-compile bench vilt.onnx faster.onnx --data samples --batches 1,4,16 --threads 2
  pumer-compile bench vilt.onnx vilt.onnx                             how much two runs of one model differ here`;

export const addBench = (program: Command, run: (request: BenchRequest | BenchMemoryRequest) => void): void => {
  const bench = program
    .command('bench')
    .description('time models side by side, in turns, with their peak memory')
    .usage('A.onnx [B.onnx ...]')
    .argument('<MODELS...>', 'models; the others are compared with the first')
    .option('--data <DIR>', 'samples to run on: .npz files or test_data_set folders (default: made-up inputs)')
    .option('--batches <LIST>', 'batch sizes, such as 1,4,16 (default: 1)')
    .option('--threads <N>', "threads inside one operator (default: ONNX Runtime's choice)")
    .option('--turns <N>', 'exactly so many turns, after two to warm up')
    .option('--seconds <S>', 'turns for so long, at each batch size')
    .option('--text <N>', 'text tokens of made-up inputs, where the model leaves them open (default: 40)')
    .option('--pixels <N>', 'height and width of made-up pictures, where the model leaves them open (default: 384)')
    .option('--ops <HOW>', 'what reducers run on: auto, fused (the kernels) or portable (the body) (default: auto)')
    .option('--no-memory', 'leave out peak memory, which takes three processes for each model and batch size');
  displayFlags(bench)
    .helpOption('-h, --help', 'this page')
    .addHelpText('after', benchHelp)
    .action((models: string[], _: unknown, command: Command) => run(benchRequest(models, flagsOf(program, command))));
  program
    .command('bench-memory', { hidden: true })
    .argument('<MODEL>')
    .requiredOption('--feeds <FILE>')
    .option('--threads <N>')
    .addOption(new Option('--ops <HOW>').choices(['fused', 'portable']).default('portable'))
    .action((input: string, flags: Flags) => {
      const threads = countOf(flags, 'threads', '--threads');
      run({
        command: 'bench-memory',
        input,
        feeds: textOf(flags, 'feeds') ?? '',
        ...(threads !== undefined && { threads }),
        ops: flags['ops'] === 'fused' ? 'fused' : 'portable',
      });
    });
};
