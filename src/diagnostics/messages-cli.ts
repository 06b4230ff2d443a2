/**
 * What the command line says: flags it cannot use, files it will not touch, runs that show a fault, bugs of our own.
 * One builder per code, sorted by code; knows no terminal, callers pass names and figures in.
 */
import { error, warning, type Diagnostic } from './diagnostic.ts';

const seeHelp = 'see pumer-compile --help';
const didYouMean = (suggestion: string | undefined, otherwise: string): { fix: string } => ({
  fix: suggestion === undefined ? otherwise : `did you mean ${suggestion}?`,
});

// The command line itself (exit code 2).

export const badFlagValue = (flag: string, value: string, expected: string, suggestion?: string): Diagnostic =>
  error('bad-flag-value', `${flag} takes ${expected}, found "${value}"`, didYouMean(suggestion, seeHelp));

export const commandUnknown = (name: string, suggestion: string): Diagnostic =>
  error('command-unknown', `there is no command "${name}", and no file of that name`, didYouMean(suggestion, seeHelp));

export const dataMissing = (): Diagnostic =>
  error('data-not-given', 'no sample data are given', { fix: 'add --data DIR; docs/data.md says what may lie there' });

export const flagsExclude = (one: string, other: string, why: string): Diagnostic =>
  error('flags-exclude', `${one} cannot be given together with ${other}: ${why}`, { fix: 'leave one of them out' });

export const flagsTogether = (one: string, other: string): Diagnostic =>
  error('flags-together', `${one} must be given together with ${other}`, { fix: `give both, or use --keep` });

export const inputMissing = (): Diagnostic =>
  error('model-not-given', 'no model is given', { fix: 'pumer-compile IN.onnx -o OUT.onnx' });

export const inputNameUnknown = (
  flag: string,
  name: string,
  inputs: readonly string[],
  suggestion?: string,
): Diagnostic =>
  error('input-unknown', `${flag} names "${name}", which is no input of the model`, {
    notes: [`inputs: ${inputs.join(', ')}`],
    ...(suggestion !== undefined && { fix: `did you mean ${suggestion}?` }),
  });

export const outputFolderMissing = (output: string, folder: string): Diagnostic =>
  error('output-folder-missing', `${output} cannot be written: the folder ${folder} does not exist`, {
    at: { file: output },
    fix: 'make the folder, or choose another place for the output',
  });

export const outputMissing = (suggestion: string): Diagnostic =>
  error('output-not-given', 'no output file is given', { fix: `add -o ${suggestion}` });

export const planUnreadable = (file: string, reason: string): Diagnostic =>
  error('plan-unreadable', `${file} cannot be used as a plan: ${reason}`, {
    at: { file },
    fix: 'docs/cli.md shows what a plan looks like; pumer-compile inspect prints the plan of a compiled model',
  });

export const usage = (message: string, suggestion?: string): Diagnostic =>
  error('usage', message, didYouMean(suggestion, seeHelp));

// Bugs of our own (exit code 70).

export const internalError = (found: {
  readonly message: string;
  readonly pass?: string;
  readonly version: string;
  readonly reproducer: string;
}): Diagnostic =>
  error(
    'internal-error',
    `a bug in pumer-compile ${found.version}${found.pass === undefined ? '' : `, in pass ${found.pass}`}: ${found.message}`,
    {
      notes: ['this is no fault of your model or your command; nothing was written to the output', found.reproducer],
      fix: 'please report it with the lines above',
    },
  );

export const reproducerFile = (file: string): string => `reproducer: ${file} (the graph as it went into the pass)`;

export const reproducerInput = (file: string, why?: string): string =>
  `reproducer: ${file} itself, with the same flags${why === undefined ? '' : ` (${why})`}`;

// The run of the result.

export const notValidatedByChoice = (): string => 'not validated: --no-validate was given';

export const notValidatedOriginal = (reason: string): Diagnostic =>
  warning('not-validated', 'not validated: the original model does not run on synthetic inputs either', {
    notes: [reason],
    fix: 'run the result on inputs of your own before you rely on it',
  });

export const notValidatedRuntime = (reason: string, fix?: string): Diagnostic =>
  warning(
    'not-validated',
    `not validated: the result was not run, because ${reason}`,
    fix === undefined ? {} : { fix },
  );

export const validationFailed = (what: string, notes: readonly string[] = []): Diagnostic =>
  error('validation-failed', `the compiled model ${what}, and the original does not: nothing is written`, {
    notes,
    fix: 'please report it: this is most likely a bug in pumer-compile; other --layers or --ops inline may get around it',
  });

export const compiledNotRun = (reason: string): Diagnostic =>
  validationFailed('does not run in ONNX Runtime', [reason]);

export const compiledShape = (output: string, found: string, expected: string): Diagnostic =>
  validationFailed(`gives output "${output}" the shape ${found} instead of ${expected}`);

export const compiledNotFinite = (output: string): Diagnostic =>
  validationFailed(`has values in output "${output}" that are not finite where the original's are`);

export const compiledOutputs = (found: string, expected: string): Diagnostic =>
  validationFailed(`has outputs ${found} instead of ${expected}`);
