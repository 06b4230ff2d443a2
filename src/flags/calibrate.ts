/**
 * `pumer-compile calibrate IN.onnx --data DIR -o plan.json`: its flags and the request they make; and the flags of a
 * budget, which compiling on data shares.
 */
import type { Command } from 'commander';
import * as say from '../diagnostics/messages-cli.ts';
import { metricNames, type MetricName } from '../metrics/built-in.ts';
import type { Semantics } from '../reduction/plan.ts';
import {
  countOf,
  numberOf,
  displayFlags,
  displayOf,
  flagsOf,
  given,
  hintFlags,
  hintsOf,
  layersOf,
  ratioOf,
  textOf,
  wordOf,
  type Display,
  type Flags,
  type InputHints,
} from './read.ts';
import { UsageError } from './usage-error.ts';

/** What a plan must keep to; at least one of them. */
export interface BudgetFlags {
  readonly maxDrop?: number;
  readonly minAgreement?: number;
  readonly minSpeedup?: number;
  readonly maxLatencyMs?: number;
}

export const efforts = ['quick', 'default', 'thorough'] as const;

/** How a calibration is done: shared by `calibrate` and `compile --data`. */
export interface CalibrateFlags {
  readonly budget: BudgetFlags;
  readonly metric?: MetricName;
  /** The output that is scored. */
  readonly outputName?: string;
  readonly effort: (typeof efforts)[number];
  readonly seed: number;
  readonly threads?: number;
  /** Rows of the batch that latency is measured at. */
  readonly batch: number;
  /** At most so many samples. */
  readonly limit?: number;
}

export interface CalibrateRequest extends CalibrateFlags {
  readonly command: 'calibrate';
  readonly input: string;
  readonly data: string;
  readonly output: string;
  readonly hints: InputHints;
  readonly semantics: Semantics;
  readonly layers?: readonly number[];
  readonly latencyTable?: string;
  readonly resume: boolean;
  readonly display: Display;
}

const budgetOf = (flags: Flags): BudgetFlags =>
  given<BudgetFlags>({
    maxDrop: ratioOf(flags, 'maxDrop', '--max-drop', (v) => v >= 0 && v <= 1, 'a share from 0 to 1, such as 0.01'),
    minAgreement: ratioOf(flags, 'minAgreement', '--min-agreement', (v) => v >= 0 && v <= 1, 'a share from 0 to 1'),
    minSpeedup: numberOf(flags, 'minSpeedup', '--min-speedup', 'a factor above 1, such as 1.5', 1),
    maxLatencyMs: numberOf(flags, 'maxLatencyMs', '--max-latency-ms', 'milliseconds above 0'),
  });

export const calibrateFlagsOf = (flags: Flags): CalibrateFlags => {
  const metric = wordOf(flags, 'metric', '--metric', metricNames);
  const outputName = textOf(flags, 'outputName');
  const threads = countOf(flags, 'threads', '--threads');
  const limit = countOf(flags, 'limit', '--limit', 2);
  return {
    budget: budgetOf(flags),
    ...(metric !== undefined && { metric }),
    ...(outputName !== undefined && { outputName }),
    effort: wordOf(flags, 'effort', '--effort', efforts) ?? 'default',
    seed: countOf(flags, 'seed', '--seed', 0) ?? 0,
    ...(threads !== undefined && { threads }),
    batch: countOf(flags, 'batch', '--batch') ?? 1,
    ...(limit !== undefined && { limit }),
  };
};

/** Whether any limit is set. */
export const hasBudget = (budget: BudgetFlags): boolean => Object.keys(budget).length > 0;

export const budgetFlags = (command: Command): Command =>
  command
    .optionsGroup('What a plan must keep to (together or alone):')
    .option('--max-drop <D>', 'what may be lost of the metric, a mean over samples, such as 0.01')
    .option('--min-agreement <A>', 'share of samples that must get the answer of the unreduced model')
    .option('--min-speedup <S>', 'how many times faster, at least')
    .option('--max-latency-ms <MS>', 'time of one run at --batch rows, at most')
    .optionsGroup('How it is calibrated:')
    .option('--metric <NAME>', 'accuracy, top1, kl or cosine (default: accuracy with labels, else top1)')
    .option('--output-name <NAME>', 'the output that is scored, where it is not the only one')
    .option('--effort <HOW>', 'quick, default or thorough (default: default)')
    .option('--seed <N>', 'of the halves and the search; the same seed gives the same plan (default: 0)')
    .option('--threads <N>', 'threads of ONNX Runtime (default: its own choice)')
    .option('--batch <N>', 'rows of the runs that are timed (default: 1)')
    .option('--limit <N>', 'use the first N samples only');

const calibrateHelp = `
Half of the samples chooses the plan, the other half judges it: the figures of the report are of the judging half.

Examples:
  pumer-compile calibrate vilt.onnx --data samples/ -o plan.json                      at most 0.01 lost (--max-drop 0.01)
  pumer-compile calibrate vilt.onnx --data samples/ -o plan.json --min-speedup 1.5    the best plan that is 1.5x faster
  pumer-compile calibrate vilt.onnx --data samples/ -o plan.json --resume             go on where Ctrl+C ended it
  pumer-compile vilt.onnx -o faster.onnx --plan plan.json                             compile with it

Exit codes:
  0 done   1 refused, or the budget is not kept: the nearest plan is written and named   2 the command line
  70 a bug of ours   130 interrupted: the best plan so far is written`;

const defaultBudget: BudgetFlags = { maxDrop: 0.01 };

const calibrateRequest = (input: string, flags: Flags): CalibrateRequest => {
  const data = textOf(flags, 'data');
  if (data === undefined || data === '') throw new UsageError(say.dataMissing());
  const output = textOf(flags, 'output');
  if (output === undefined || output === '') throw new UsageError(say.outputMissing('plan.json'));
  const layers = layersOf(flags);
  const latencyTable = textOf(flags, 'latencyTable');
  const calibration = calibrateFlagsOf(flags);
  return {
    command: 'calibrate',
    input,
    data,
    output,
    hints: hintsOf(flags),
    semantics: wordOf(flags, 'semantics', '--semantics', ['safe', 'pumer']) ?? 'safe',
    ...(layers !== undefined && { layers }),
    ...calibration,
    budget: hasBudget(calibration.budget) ? calibration.budget : defaultBudget,
    ...(latencyTable !== undefined && { latencyTable }),
    resume: flags['resume'] === true,
    display: displayOf(flags),
  };
};

export const addCalibrate = (program: Command, run: (request: CalibrateRequest) => void): void => {
  const command = program
    .command('calibrate')
    .description('choose the ratios of every site on your data, against a budget, and write a plan')
    .usage('IN.onnx --data DIR -o plan.json [--max-drop 0.01]')
    .argument('<IN.onnx>', 'the model to calibrate')
    .option('--data <DIR>', 'samples: a folder of .npz files, one .npz, or test_data_set_* folders')
    .option('-o, --output <FILE>', 'where the plan goes');
  budgetFlags(command)
    .option('--semantics <RULES>', 'safe or pumer (default: safe)')
    .option('--layers <LIST>', 'only these layers may become sites (default: all that can)')
    .option('--latency-table <FILE>', 'times measured before, instead of measuring: "latency" of an earlier plan')
    .option('--resume', 'go on from the state beside the plan');
  displayFlags(hintFlags(command))
    .helpOption('-h, --help', 'this page')
    .addHelpText('after', calibrateHelp)
    .action((input: string, _: unknown, own: Command) => run(calibrateRequest(input, flagsOf(program, own))));
};
