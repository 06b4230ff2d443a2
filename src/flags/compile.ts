/**
 * `pumer-compile IN.onnx -o OUT.onnx`: its flags, its help, and the request they make.
 */
import type { Command } from 'commander';
import * as say from '../diagnostics/messages-cli.ts';
import type { CompileOptions } from '../options.ts';
import { budgetFlags, calibrateFlagsOf, hasBudget, type CalibrateFlags } from './calibrate.ts';
import {
  belowOne,
  displayFlags,
  displayOf,
  given,
  hintFlags,
  hintsOf,
  layersOf,
  ratioOf,
  share,
  textOf,
  wordOf,
  type Display,
  type Flags,
} from './read.ts';
import { UsageError } from './usage-error.ts';

export interface CompileRequest {
  readonly command: 'compile';
  readonly input: string;
  readonly output: string;
  readonly options: CompileOptions;
  readonly planFile?: string;
  /** Samples: the result is run on them instead of made-up inputs. */
  readonly data?: string;
  /** Where a budget is given: the plan is chosen on the samples first. */
  readonly calibration?: CalibrateFlags;
  readonly validate: boolean;
  readonly display: Display;
}

const externalOf = (flags: Flags): CompileOptions['externalData'] => {
  const text = textOf(flags, 'externalData');
  if (text === undefined || text === 'keep' || text === 'inline') return text;
  const slip = (['keep', 'inline'] as const).find((word) => word === text.toLowerCase());
  if (slip !== undefined)
    throw new UsageError(say.badFlagValue('--external-data', text, 'keep, inline or a file name', slip));
  return { file: text };
};

/** What a calibration decides by itself. */
const ratioFlags = [
  ['keep', '--keep'],
  ['prune', '--prune'],
  ['mergeText', '--merge-text'],
  ['plan', '--plan'],
] as const;

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
  const data = textOf(flags, 'data');
  const calibration = calibrateFlagsOf(flags);
  const calibrates = hasBudget(calibration.budget);
  if (calibrates && data === undefined) throw new UsageError(say.dataMissing());
  for (const [name, flag] of ratioFlags)
    if (calibrates && (name in options || (name === 'plan' && planFile !== undefined)))
      throw new UsageError(say.flagsExclude('a budget', flag, 'the calibration chooses the ratios'));
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
    ...(data !== undefined && { data }),
    ...(calibrates && { calibration }),
    validate: flags['validate'] !== false,
    display,
  };
};

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
  pumer-compile vilt.onnx -o faster.onnx --data samples/ --max-drop 0.01
                                                              ratios chosen on your samples: at most 0.01 lost
  pumer-compile inspect vilt.onnx                             lanes, layers, and why a layer cannot be shortened

Exit codes:
  0 done   1 the model is refused or damaged, nothing is written   2 the command line   70 a bug of ours
  130 interrupted`;

/** The default command: its flags belong to the program itself. */
export const addCompile = (program: Command, run: (request: CompileRequest) => void): void => {
  program
    .usage('IN.onnx -o OUT.onnx [--keep 0.7]')
    .argument('[IN.onnx]', 'the model to compile')
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
    .option('--data <DIR>', 'samples to run the result on, and to choose ratios on where a limit below is given');
  budgetFlags(program)
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
    .addHelpText('after', compileHelp)
    .action((input: string | undefined, flags: Flags) => run(compileRequest(input, flags)));
};
