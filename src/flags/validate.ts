/**
 * `pumer-compile validate A.onnx B.onnx --data DIR`: its flags and the request they make.
 */
import { Option, type Command } from 'commander';
import * as say from '../diagnostics/messages-cli.ts';
import {
  collect,
  countOf,
  displayFlags,
  displayOf,
  flagsOf,
  given,
  ratioOf,
  textOf,
  type Display,
  type Flags,
} from './read.ts';
import { UsageError } from './usage-error.ts';

/** An element passes where |B - A| <= absolute + relative * |A|. */
export interface ToleranceFlags {
  readonly absolute: number;
  readonly relative: number;
}

/** What must hold; figures are told either way. */
export interface GateFlags {
  /** Of every output that has none of its own. */
  readonly tolerance?: ToleranceFlags;
  readonly tolerances: ReadonlyMap<string, ToleranceFlags>;
  readonly minAgreement?: number;
  readonly maxDrop?: number;
}

export interface ValidateRequest {
  readonly command: 'validate';
  /** The reference; where `other` is absent the model that is held against recorded outputs. */
  readonly input: string;
  readonly other?: string;
  readonly data: string;
  readonly gates: GateFlags;
  readonly outputName?: string;
  /** Rows run together, at most. */
  readonly batch?: number;
  readonly threads?: number;
  readonly limit?: number;
  readonly display: Display;
}

const toleranceText = 'a number from 0 on, such as 1e-3';

/** 0.001, 1e-3; undefined for what is no number from 0 on. */
const readTolerance = (text: string): number | undefined => {
  const value = Number(text);
  return text.trim() === '' || !Number.isFinite(value) || value < 0 ? undefined : value;
};

const toleranceOf = (flags: Flags, name: string, flag: string): number | undefined => {
  const text = textOf(flags, name);
  if (text === undefined) return undefined;
  const value = readTolerance(text);
  if (value === undefined) throw new UsageError(say.badFlagValue(flag, text, toleranceText));
  return value;
};

const tolerancesOf = (flags: Flags): ReadonlyMap<string, ToleranceFlags> => {
  const all = flags['tol'];
  const found = new Map<string, ToleranceFlags>();
  for (const text of Array.isArray(all) ? (all as readonly string[]) : []) {
    // Names may hold colons themselves.
    const at = text.lastIndexOf(':');
    const [absolute, relative, ...rest] = text
      .slice(at + 1)
      .split(',')
      .map(readTolerance);
    const isTold = text.slice(at + 1).includes(',');
    if (at <= 0 || absolute === undefined || (isTold && relative === undefined) || rest.length > 0)
      throw new UsageError(
        say.badFlagValue('--tol', text, 'an output with its tolerance, such as logits:1e-3, or logits:1e-3,1e-2'),
      );
    found.set(text.slice(0, at), { absolute, relative: relative ?? 0 });
  }
  return found;
};

const gatesOf = (flags: Flags): GateFlags => {
  const absolute = toleranceOf(flags, 'atol', '--atol');
  const relative = toleranceOf(flags, 'rtol', '--rtol');
  const tolerance =
    absolute === undefined && relative === undefined ? undefined : { absolute: absolute ?? 0, relative: relative ?? 0 };
  const share = (v: number): boolean => v >= 0 && v <= 1;
  const minAgreement = ratioOf(flags, 'minAgreement', '--min-agreement', share, 'a share from 0 to 1, such as 0.99');
  const maxDrop = ratioOf(flags, 'maxDrop', '--max-drop', share, 'a share from 0 to 1, such as 0.01');
  return {
    tolerances: tolerancesOf(flags),
    ...(tolerance !== undefined && { tolerance }),
    ...(minAgreement !== undefined && { minAgreement }),
    ...(maxDrop !== undefined && { maxDrop }),
  };
};

const validateRequest = (input: string, other: string | undefined, flags: Flags): ValidateRequest => {
  const data = textOf(flags, 'data');
  if (data === undefined || data === '') throw new UsageError(say.dataMissing());
  return {
    command: 'validate',
    input,
    data,
    gates: gatesOf(flags),
    ...given<Pick<ValidateRequest, 'other' | 'outputName' | 'batch' | 'threads' | 'limit'>>({
      other,
      outputName: textOf(flags, 'outputName'),
      batch: countOf(flags, 'batch', '--batch'),
      threads: countOf(flags, 'threads', '--threads'),
      limit: countOf(flags, 'limit', '--limit'),
    }),
    display: displayOf(flags),
  };
};

const validateHelp = `
An element is within its tolerance where |B - A| <= ATOL + RTOL * |A|. Without tolerances nothing is demanded of the
figures, except that B is finite where A is.

Examples:
  pumer-compile validate vilt.onnx faster.onnx --data samples/                   what the compiled model does differently
  pumer-compile validate vilt.onnx faster.onnx --data samples/ --max-drop 0.01   exit code 1 where accuracy falls by more
  pumer-compile validate vilt.onnx again.onnx --data samples/ --atol 1e-4        two models that should be the same
  pumer-compile validate vilt.onnx --data gold/ --atol 1e-4 --rtol 1e-3          against recorded outputs

Exit codes:
  0 done   1 a demand is not met, or models or data cannot be used   2 the command line   70 a bug of ours
  130 interrupted`;

export const addValidate = (program: Command, run: (request: ValidateRequest) => void): void => {
  const validate = program
    .command('validate')
    .description('compare two models on the same samples, or one with recorded outputs')
    .usage('A.onnx [B.onnx] --data DIR')
    .argument('<A.onnx>', 'the model to hold the other against')
    .argument('[B.onnx]', 'the model that is tried; without it A is tried against recorded outputs')
    .option('--data <DIR>', 'samples: .npz files, or test_data_set folders (docs/data.md)')
    .optionsGroup('What is demanded (exit code 1 where it is not met):')
    .option('--atol <T>', 'absolute tolerance of every output')
    .option('--rtol <T>', 'relative tolerance of every output')
    .addOption(
      new Option(
        '--tol <NAME:T>',
        'tolerance of one output in place of both: logits:1e-3, or absolute and relative: logits:1e-3,1e-2',
      ).argParser(collect),
    )
    .option('--min-agreement <A>', 'share of samples that must get the answer of A')
    .option('--max-drop <D>', 'what may be lost of the accuracy on labels, such as 0.01')
    .optionsGroup('How it is run:')
    .option('--output-name <NAME>', 'the output with the answers, where it is not the only one')
    .option('--batch <N>', 'rows run together, at most (default: 8; recorded data: as recorded)')
    .option('--threads <N>', 'threads of ONNX Runtime (default: its own choice)')
    .option('--limit <N>', 'use the first N samples only');
  displayFlags(validate)
    .helpOption('-h, --help', 'this page')
    .addHelpText('after', validateHelp)
    .action((input: string, other: string | undefined, _: unknown, command: Command) => {
      run(validateRequest(input, other, flagsOf(program, command)));
    });
};
