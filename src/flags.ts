/**
 * The command line as data: what is asked for, or a UsageError that says what is wrong with it. Looks at words only:
 * no file is opened here, except to tell a mistyped command from a model.
 */
import { existsSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import type { Diagnostic } from './diagnostics/diagnostic.ts';
import * as say from './diagnostics/messages-cli.ts';
import type { CompileOptions } from './options.ts';
import { readRatio } from './reduction/counts.ts';
import { closest } from './support/suggest.ts';
import { toolVersion } from './version.ts';

/** The command line cannot be used as it is. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly diagnostic: Diagnostic;
  constructor(diagnostic: Diagnostic) {
    super(diagnostic.message);
    this.diagnostic = diagnostic;
  }
}

/** How results are shown. */
export interface Display {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** False where the user asked for no colours. */
  readonly colour: boolean;
}

export interface CompileRequest {
  readonly command: 'compile';
  readonly input: string;
  readonly output: string;
  readonly options: CompileOptions;
  readonly planFile?: string;
  readonly validate: boolean;
  readonly display: Display;
}

export interface InspectRequest {
  readonly command: 'inspect';
  readonly input: string;
  readonly hints: Pick<CompileOptions, 'textInput' | 'imageInput' | 'lanes'>;
  readonly display: Display;
}

/** Help or the version: text for stdout. */
export interface TextRequest {
  readonly command: 'text';
  readonly text: string;
}

export type Request = CompileRequest | InspectRequest | TextRequest;

type Flags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

const textOf = (flags: Flags, name: string): string | undefined => {
  const value = flags[name];
  return typeof value === 'string' ? value : undefined;
};

const ratioOf = (
  flags: Flags,
  name: string,
  flag: string,
  isOk: (v: number) => boolean,
  range: string,
): number | undefined => {
  const text = textOf(flags, name);
  if (text === undefined) return undefined;
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(text)?.[1];
  const ratio = readRatio(text);
  if (ratio === undefined || !isOk(Number(text)))
    throw new UsageError(say.badFlagValue(flag, text, range, percent && `${Number(percent) / 100}`));
  return Number(text);
};

const wordOf = <T extends string>(flags: Flags, name: string, flag: string, words: readonly T[]): T | undefined => {
  const text = textOf(flags, name);
  if (text === undefined) return undefined;
  const known = words.find((word) => word === text);
  if (known === undefined) throw new UsageError(say.badFlagValue(flag, text, words.join(' or '), closest(text, words)));
  return known;
};

const layersOf = (flags: Flags): readonly number[] | undefined => {
  const text = textOf(flags, 'layers');
  if (text === undefined) return undefined;
  const parts = text.split(',').map((part) => part.trim());
  if (!parts.every((part) => /^\d{1,6}$/.test(part)))
    throw new UsageError(say.badFlagValue('--layers', text, 'layer numbers separated by commas, such as 2,5,8'));
  return [...new Set(parts.map(Number))];
};

const lanes = ['text', 'image', 'other'] as const;
type LaneSegment = { readonly lane: (typeof lanes)[number]; readonly length?: number };

const lanesOf = (flags: Flags): CompileOptions['lanes'] => {
  const given = flags['lanes'];
  if (!Array.isArray(given)) return undefined;
  const found = new Map<string, readonly LaneSegment[]>();
  for (const text of given as readonly string[]) {
    const refuse = (suggestion?: string): UsageError =>
      new UsageError(
        say.badFlagValue(
          '--lanes',
          text,
          'an input and its tokens in order, such as inputs_embeds=image:577,text:*',
          suggestion,
        ),
      );
    const at = text.lastIndexOf('=');
    if (at <= 0) throw refuse();
    const segments = text
      .slice(at + 1)
      .split(',')
      .map((part): LaneSegment => {
        const [name = '', length = '', ...rest] = part.split(':');
        const lane = lanes.find((l) => l === name);
        if (lane === undefined) throw refuse(closest(name, lanes));
        if (rest.length > 0 || !/^(\*|[1-9]\d{0,8})$/.test(length)) throw refuse();
        return length === '*' ? { lane } : { lane, length: Number(length) };
      });
    // One run at most can take what is left.
    if (segments.filter((s) => s.length === undefined).length > 1) throw refuse();
    found.set(text.slice(0, at), segments);
  }
  return found;
};

const externalOf = (flags: Flags): CompileOptions['externalData'] => {
  const text = textOf(flags, 'externalData');
  if (text === undefined || text === 'keep' || text === 'inline') return text;
  const slip = (['keep', 'inline'] as const).find((word) => word === text.toLowerCase());
  if (slip !== undefined)
    throw new UsageError(say.badFlagValue('--external-data', text, 'keep, inline or a file name', slip));
  return { file: text };
};

const displayOf = (flags: Flags): Display => ({
  json: flags['json'] === true,
  quiet: flags['quiet'] === true,
  verbose: flags['verbose'] === true,
  colour: flags['color'] !== false,
});

const hintsOf = (flags: Flags): InspectRequest['hints'] => {
  const textInput = textOf(flags, 'textInput');
  const imageInput = textOf(flags, 'imageInput');
  const embeddings = lanesOf(flags);
  return {
    ...(textInput !== undefined && { textInput }),
    ...(imageInput !== undefined && { imageInput }),
    ...(embeddings !== undefined && { lanes: embeddings }),
  };
};

/** Drops what was not given: an absent option is not an undefined one. */
const given = <T extends object>(options: { readonly [K in keyof T]: T[K] | undefined }): Partial<T> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;

const belowOne = (v: number): boolean => v >= 0 && v < 1;
const share = 'a share from 0 up to, not including, 1';

const compileRequest = (input: string | undefined, flags: Flags): CompileRequest => {
  const planFile = textOf(flags, 'plan');
  const options = given<CompileOptions>({
    keep: ratioOf(flags, 'keep', '--keep', (v) => v > 0 && v <= 1, 'a share above 0 and at most 1'),
    prune: ratioOf(flags, 'prune', '--prune', belowOne, share),
    merge: ratioOf(flags, 'merge', '--merge', belowOne, share),
    mergeText: ratioOf(flags, 'mergeText', '--merge-text', belowOne, share),
    layers: layersOf(flags),
    semantics: wordOf(flags, 'semantics', '--semantics', ['safe', 'pumer']),
    ops: wordOf(flags, 'ops', '--ops', ['function', 'inline']),
    saliency: wordOf(flags, 'saliency', '--saliency', ['probs', 'recompute']),
    outputs: wordOf(flags, 'outputs', '--outputs', ['restore', 'refuse']),
    externalData: externalOf(flags),
    ...hintsOf(flags),
  });
  if ((options.prune === undefined) !== (options.merge === undefined))
    throw new UsageError(
      options.prune === undefined ? say.flagsTogether('--merge', '--prune') : say.flagsTogether('--prune', '--merge'),
    );
  if (options.prune !== undefined && options.keep !== undefined)
    throw new UsageError(say.flagsExclude('--keep', '--prune and --merge', 'both say how many image tokens leave'));
  for (const [name, flag] of Object.entries({
    keep: '--keep',
    prune: '--prune',
    mergeText: '--merge-text',
    layers: '--layers',
    semantics: '--semantics',
  }))
    if (planFile !== undefined && name in options)
      throw new UsageError(say.flagsExclude('--plan', flag, 'the plan says it already'));
  if (input === undefined) throw new UsageError(say.inputMissing());
  const output = textOf(flags, 'output');
  if (output === undefined || output === '')
    throw new UsageError(say.outputMissing(input.replace(/(\.onnx)?$/, '.pumer.onnx')));
  const display = displayOf(flags);
  return {
    command: 'compile',
    input,
    output,
    options,
    ...(planFile !== undefined && { planFile }),
    validate: flags['validate'] !== false,
    display,
  };
};

const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [...(before ?? []), value];

const hintFlags = (command: Command): Command =>
  command
    .optionsGroup('Where tokens come from (found by itself where it is unique):')
    .option('--text-input <NAME>', 'the input with token ids')
    .option('--image-input <NAME>', 'the input with the picture or its features')
    .addOption(
      new Option(
        '--lanes <NAME=LANES>',
        'an input that holds embeddings already: its tokens in order, such as inputs_embeds=image:577,text:*',
      ).argParser(collect),
    );

const displayFlags = (command: Command): Command =>
  command
    .optionsGroup('What is shown:')
    .option('--json', 'one JSON object on stdout and nothing else, errors too')
    .option('-q, --quiet', 'nothing, unless something goes wrong')
    .option('-v, --verbose', 'progress on stderr, line by line')
    .option('--no-color', 'no colours (NO_COLOR and CI work, too)');

const compileHelp = `
How --keep adds up:
  --keep 0.7 at the default three sites keeps 0.7 x 0.7 x 0.7 = 34 % of the image tokens at the end. Layers before the
  first site run at full length, so a 12-layer model keeps about two thirds of its multiply-adds. --keep 0.8 leaves
  51 % of the tokens, --keep 0.5 leaves 13 %. The table printed at the end has your model's own figures.

Examples:
  pumer-compile vilt.onnx -o faster.onnx                      three sites, 70 % of the image tokens kept at each
  pumer-compile vilt.onnx -o faster.onnx --keep 0.8           gentler
  pumer-compile vilt.onnx -o faster.onnx --layers 4,8         choose the layers yourself
  pumer-compile vilt.onnx -o faster.onnx --semantics pumer --prune 0.1 --merge 0.3 --merge-text 0.2
                                                              a checkpoint trained with PuMer, its published ratios
  pumer-compile inspect vilt.onnx                             lanes, layers, and why a layer cannot be shortened

Exit codes:
  0 done   1 the model is refused or damaged, nothing is written   2 the command line   70 a bug of ours
  130 interrupted`;

const makeProgram = (run: (request: Request) => void): Command => {
  const program = new Command('pumer-compile')
    .description(
      'Compiles an ONNX vision-language model into a faster one: prunes and merges tokens where text and image meet.',
    )
    .usage('IN.onnx -o OUT.onnx [--keep 0.7]')
    .argument('[IN.onnx]', 'the model to compile')
    .enablePositionalOptions()
    .option('-o, --output <FILE>', 'where the result goes; never the input')
    .optionsGroup('How much is removed, at each site:')
    .option(
      '--keep <R>',
      'share of image tokens kept, above 0 and at most 1; adds up over sites (see below) (default: 0.7)',
    )
    .option('--prune <P>', 'share of image tokens pruned, with --merge instead of --keep')
    .option('--merge <M>', 'share of image tokens merged, with --prune')
    .option('--merge-text <T>', 'share of text tokens merged (default: 0, with --semantics pumer 0.2)')
    .option('--layers <LIST>', 'cross-modal layers that become sites, from 0 (default: three, as 2,5,8 of 12)')
    .option(
      '--semantics <RULES>',
      'safe: for ordinary checkpoints; pumer: for those trained with PuMer (default: safe)',
    )
    .option('--plan <FILE>', 'a plan (JSON) instead of the flags above')
    .optionsGroup('How it is written:')
    .option(
      '--ops <FORM>',
      'function: reducers a kernel may replace; inline: standard operators only (default: function)',
    )
    .option(
      '--saliency <SOURCE>',
      'probs: read the attention; recompute: leave it to be fused on GPUs (default: probs)',
    )
    .option(
      '--outputs <HOW>',
      'restore: outputs with a token axis get their full length back; refuse (default: restore)',
    )
    .option(
      '--external-data <WHERE>',
      'keep: weights stay inside or outside as they are; inline; or a file name (default: keep)',
    )
    .option('--no-validate', 'do not run the result once before it is called done');
  displayFlags(hintFlags(program))
    .version(toolVersion, '-V, --version', 'the version')
    .helpOption('-h, --help', 'this page')
    .helpCommand(false)
    .addHelpText('after', compileHelp)
    .action((input: string | undefined, flags: Flags) => run(compileRequest(input, flags)));
  const inspect = program
    .command('inspect')
    .description('show what the compiler sees in a model, also in one it refuses or has compiled')
    .usage('IN.onnx')
    .argument('<IN.onnx>', 'the model to look at');
  displayFlags(hintFlags(inspect))
    .helpOption('-h, --help', 'this page')
    .action((input: string, _: unknown, command: Command) => {
      const above: Flags = program.opts();
      const own: Flags = command.opts();
      const flags = { ...above, ...own, color: above['color'] !== false && own['color'] !== false };
      run({ command: 'inspect', input, hints: hintsOf(flags), display: displayOf(flags) });
    });
  return program;
};

const commands = ['compile', 'inspect'];

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
