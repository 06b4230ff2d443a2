/**
 * `pumer-compile inspect IN.onnx`: its flags and the request they make.
 */
import type { Command } from 'commander';
import { displayFlags, displayOf, flagsOf, hintFlags, hintsOf, type Display, type InputHints } from './read.ts';

export interface InspectRequest {
  readonly command: 'inspect';
  readonly input: string;
  readonly hints: InputHints;
  readonly display: Display;
}

export const addInspect = (program: Command, run: (request: InspectRequest) => void): void => {
  const inspect = program
    .command('inspect')
    .description('show what the compiler sees in a model, also in one it refuses or has compiled')
    .usage('IN.onnx')
    .argument('<IN.onnx>', 'the model to look at');
  displayFlags(hintFlags(inspect))
    .helpOption('-h, --help', 'this page')
    .action((input: string, _: unknown, command: Command) => {
      const flags = flagsOf(program, command);
      run({ command: 'inspect', input, hints: hintsOf(flags), display: displayOf(flags) });
    });
};
