/**
 * Single flags, from the words commander found to checked values; each throws a UsageError that says what is wrong. Also
 * the flags that several commands share: where tokens come from, and what is shown.
 */
import { Option, type Command } from 'commander';
import * as say from '../diagnostics/messages-cli.ts';
import type { CompileOptions } from '../options.ts';
import { readRatio } from '../reduction/counts.ts';
import { closest } from '../support/suggest.ts';
import { UsageError } from './usage-error.ts';

/** How results are shown. */
export interface Display {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** False where the user asked for no colours. */
  readonly colour: boolean;
}

/** Names of inputs that tell where tokens come from. */
export type InputHints = Pick<CompileOptions, 'textInput' | 'imageInput' | 'lanes'>;

export type Flags = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

export const textOf = (flags: Flags, name: string): string | undefined => {
  const value = flags[name];
  return typeof value === 'string' ? value : undefined;
};

export const ratioOf = (
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

export const wordOf = <T extends string>(
  flags: Flags,
  name: string,
  flag: string,
  words: readonly T[],
): T | undefined => {
  const text = textOf(flags, name);
  if (text === undefined) return undefined;
  const known = words.find((word) => word === text);
  if (known === undefined) throw new UsageError(say.badFlagValue(flag, text, words.join(' or '), closest(text, words)));
  return known;
};

/** A whole number from `least` on. */
export const countOf = (flags: Flags, name: string, flag: string, least = 1): number | undefined => {
  const text = textOf(flags, name);
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text) || Number(text) < least)
    throw new UsageError(say.badFlagValue(flag, text, `a whole number from ${least} on`));
  return Number(text);
};

/** A number above `least`, as people write one. */
export const numberOf = (flags: Flags, name: string, flag: string, range: string, least = 0): number | undefined => {
  const text = textOf(flags, name);
  if (text === undefined) return undefined;
  if (!/^\d{1,7}(\.\d{1,6})?$/.test(text) || Number(text) <= least)
    throw new UsageError(say.badFlagValue(flag, text, range));
  return Number(text);
};

export const layersOf = (flags: Flags): readonly number[] | undefined => {
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

export const displayOf = (flags: Flags): Display => ({
  json: flags['json'] === true,
  quiet: flags['quiet'] === true,
  verbose: flags['verbose'] === true,
  colour: flags['color'] !== false,
});

export const hintsOf = (flags: Flags): InputHints => {
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
export const given = <T extends object>(options: { readonly [K in keyof T]: T[K] | undefined }): Partial<T> =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;

export const belowOne = (v: number): boolean => v >= 0 && v < 1;
export const share = 'a share from 0 up to, not including, 1';

/** Gathers what a flag is given several times. */
export const collect = (value: string, before: readonly string[] | undefined): readonly string[] => [
  ...(before ?? []),
  value,
];

export const hintFlags = (command: Command): Command =>
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

export const displayFlags = (command: Command): Command =>
  command
    .optionsGroup('What is shown:')
    .option('--json', 'one JSON object on stdout and nothing else, errors too')
    .option('-q, --quiet', 'nothing, unless something goes wrong')
    .option('-v, --verbose', 'progress on stderr, line by line')
    .option('--no-color', 'no colours (NO_COLOR and CI work, too)');

/** What was given to a command, before or behind its name. */
export const flagsOf = (program: Command, command: Command): Flags => {
  const above: Flags = program.opts();
  const own: Flags = command.opts();
  return { ...above, ...own, color: above['color'] !== false && own['color'] !== false };
};
