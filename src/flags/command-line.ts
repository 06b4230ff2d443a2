/**
 * The command line as data: what is asked for, or a UsageError that says what is wrong with it. Looks at words only:
 * no file is opened here, except to tell a mistyped command from a model. One file beside this a command.
 */
import { existsSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import * as say from '../diagnostics/messages-cli.ts';
import { closest } from '../support/suggest.ts';
import { toolVersion } from '../version.ts';
import { addCalibrate, type CalibrateRequest } from './calibrate.ts';
import { addBench, type BenchMemoryRequest, type BenchRequest } from './bench.ts';
import { addCompile, type CompileRequest } from './compile.ts';
import { addInspect, type InspectRequest } from './inspect.ts';
import { UsageError } from './usage-error.ts';
import { addValidate, type ValidateRequest } from './validate.ts';

/** Help or the version: text for stdout. */
export interface TextRequest {
  readonly command: 'text';
  readonly text: string;
}

export type Request =
  | CompileRequest
  | InspectRequest
  | CalibrateRequest
  | ValidateRequest
  | BenchRequest
  | BenchMemoryRequest
  | TextRequest;

const makeProgram = (run: (request: Request) => void): Command => {
  const program = new Command('pumer-compile')
    .description(
      'Compiles an ONNX vision-language model into a faster one: prunes and merges tokens where text and image meet.',
    )
    .enablePositionalOptions()
    .version(toolVersion, '-V, --version', 'the version')
    .helpOption('-h, --help', 'this page')
    .helpCommand(false);
  addCompile(program, run);
  addInspect(program, run);
  addCalibrate(program, run);
  addValidate(program, run);
  addBench(program, run);
  return program;
};

const commands = ['compile', 'inspect', 'calibrate', 'validate', 'bench'];

/** A first word that is neither a command nor a file, but close to a command. */
const mistypedCommand = (words: readonly string[]): string | undefined => {
  const [first = ''] = words;
  if (commands.includes(first) || !/^[a-z-]+$/i.test(first) || first.startsWith('-') || existsSync(first))
    return undefined;
  return closest(first, commands);
};

/** What commander has to say, in our form. */
const usageError = (error: CommanderError): UsageError => {
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n');
  const suggestion = /Did you mean (?:one of )?([^?]*)\?/.exec(rest.join(' '))?.[1];
  return new UsageError(say.usage(first, suggestion));
};

/** Whether JSON is asked for, told even where the command line is wrong. */
export const wantsJson = (words: readonly string[]): boolean => words.includes('--json');

/** `words` are the arguments without program and script, `width` the columns help may take. Throws a UsageError. */
export const parseCommandLine = (words: readonly string[], width: number): Request => {
  const suggestion = mistypedCommand(words);
  if (suggestion !== undefined) throw new UsageError(say.commandUnknown(words[0] ?? '', suggestion));
  let request: Request | undefined;
  let text = '';
  const program = makeProgram((found) => (request = found));
  for (const command of [program, ...program.commands])
    command.exitOverride().configureOutput({
      writeOut: (written) => (text += written),
      writeErr: () => undefined,
      getOutHelpWidth: () => width,
    });
  try {
    program.parse(words[0] === 'compile' ? words.slice(1) : words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw usageError(error);
    return { command: 'text', text };
  }
  return request ?? { command: 'text', text };
};
