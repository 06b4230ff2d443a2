/**
 * Names of inputs on the command line, held against the model's.
 */
import * as say from '../diagnostics/messages-cli.ts';
import { UsageError } from '../flags/usage-error.ts';
import type { Model } from '../graph/model.ts';
import type { CompileOptions } from '../options.ts';
import { closest } from '../support/suggest.ts';

/** Input names on the command line must be names of inputs. Throws a UsageError. */
export const checkInputNames = (
  model: Model,
  options: Pick<CompileOptions, 'textInput' | 'imageInput' | 'lanes'>,
): void => {
  const inputs = model.graph.inputs.filter((i) => !model.graph.constants.has(i.name)).map((i) => i.name);
  const named: [string, string | undefined][] = [
    ['--text-input', options.textInput],
    ['--image-input', options.imageInput],
    ...[...(options.lanes?.keys() ?? [])].map((name): [string, string] => ['--lanes', name]),
  ];
  for (const [flag, name] of named)
    if (name !== undefined && !inputs.includes(name))
      throw new UsageError(say.inputNameUnknown(flag, name, inputs, closest(name, inputs)));
};
