/** The command line as data: every flag, every way to get one wrong. No process is started here. */
import { describe, expect, test } from 'vitest';
import type { Diagnostic } from '../../src/diagnostics/diagnostic.ts';
import { parseCommandLine } from '../../src/flags/command-line.ts';
import type { CompileRequest } from '../../src/flags/compile.ts';
import { UsageError } from '../../src/flags/usage-error.ts';
import { toolVersion } from '../../src/version.ts';

const parse = (line: string): ReturnType<typeof parseCommandLine> =>
  parseCommandLine(line === '' ? [] : line.split(' '), 100);

const compile = (flags: string): CompileRequest => {
  const request = parse(`in.onnx -o out.onnx ${flags}`.trim());
  if (request.command !== 'compile') throw new Error(`not compile but ${request.command}`);
  return request;
};

const refusal = (line: string): Diagnostic => {
  try {
    parse(line);
  } catch (error) {
    if (error instanceof UsageError) return error.diagnostic;
    throw error;
  }
  throw new Error(`nothing is wrong with: ${line}`);
};

describe('what is asked for', () => {
  test('nothing but a model and an output', () => {
    expect(compile('')).toEqual({
      command: 'compile',
      input: 'in.onnx',
      output: 'out.onnx',
      options: {},
      validate: true,
      display: { json: false, quiet: false, verbose: false, colour: true },
    });
    expect(parse('compile in.onnx -o out.onnx')).toEqual(compile(''));
    expect(parse('--output=out.onnx in.onnx')).toEqual(compile(''));
  });

  test.each([
    ['--keep .5', { keep: 0.5 }],
    ['--keep 1', { keep: 1 }],
    ['--prune 0.1 --merge 0.3', { prune: 0.1, merge: 0.3 }],
    ['--merge-text 0', { mergeText: 0 }],
    ['--layers 8,2,5,2', { layers: [8, 2, 5] }],
    ['--semantics pumer', { semantics: 'pumer' }],
    ['--ops inline', { ops: 'inline' }],
    ['--saliency recompute', { saliency: 'recompute' }],
    ['--outputs refuse', { outputs: 'refuse' }],
    ['--text-input ids --image-input pixels', { textInput: 'ids', imageInput: 'pixels' }],
    ['--external-data keep', { externalData: 'keep' }],
    ['--external-data inline', { externalData: 'inline' }],
    ['--external-data weights.bin', { externalData: { file: 'weights.bin' } }],
  ])('%s', (flags, options) => {
    expect(compile(flags).options).toEqual(options);
  });

  test('lanes of inputs that are embeddings', () => {
    expect(compile('--lanes a=image:577,text:* --lanes b=c=other:3').options.lanes).toEqual(
      new Map([
        ['a', [{ lane: 'image', length: 577 }, { lane: 'text' }]],
        ['b=c', [{ lane: 'other', length: 3 }]],
      ]),
    );
  });

  test('a plan, no run, and forms of output', () => {
    expect(compile('--plan plan.json').planFile).toBe('plan.json');
    expect(compile('--no-validate').validate).toBe(false);
    expect(compile('--json -q -v --no-color').display).toEqual({
      json: true,
      quiet: true,
      verbose: true,
      colour: false,
    });
  });

  test('inspect, with its flags before or after', () => {
    const display = { json: true, quiet: false, verbose: false, colour: false };
    const wanted = { command: 'inspect', input: 'in.onnx', hints: { textInput: 'ids' }, display };
    expect(parse('inspect in.onnx --json --no-color --text-input ids')).toEqual(wanted);
    expect(parse('--json --no-color inspect in.onnx --text-input ids')).toEqual(wanted);
  });

  test('validate, with one model or two', () => {
    const display = { json: false, quiet: true, verbose: false, colour: true };
    expect(parse('validate a.onnx --data gold -q')).toEqual({
      command: 'validate',
      input: 'a.onnx',
      data: 'gold',
      gates: { tolerances: new Map() },
      display,
    });
    const demands = '--atol 1e-4 --tol logits:1e-3 --tol a:b:0.1,0.2 --min-agreement .99 --max-drop 0';
    const how = '--output-name logits --batch 16 --threads 2 --limit 100';
    expect(parse(`validate a.onnx b.onnx --data x.npz ${demands} ${how} -q`)).toEqual({
      command: 'validate',
      input: 'a.onnx',
      other: 'b.onnx',
      data: 'x.npz',
      gates: {
        tolerance: { absolute: 1e-4, relative: 0 },
        tolerances: new Map([
          ['logits', { absolute: 1e-3, relative: 0 }],
          ['a:b', { absolute: 0.1, relative: 0.2 }],
        ]),
        minAgreement: 0.99,
        maxDrop: 0,
      },
      outputName: 'logits',
      batch: 16,
      threads: 2,
      limit: 100,
      display,
    });
    const { text } = parse('validate --help') as { text: string };
    for (const part of ['Examples:', 'Exit codes:', '--tol', 'test_data_set']) expect(text).toContain(part);
    expect(text.split('\n').filter((line) => line.length > 121)).toEqual([]);
  });

  test('help that teaches, and the version', () => {
    const help = parse('--help');
    expect(help).toMatchObject({ command: 'text' });
    const { text } = help as { text: string };
    for (const part of ['0.7 x 0.7 x 0.7 = 34 %', 'Exit codes:', 'Examples:', '--merge-text', 'inspect'])
      expect(text).toContain(part);
    expect(text.split('\n').filter((line) => line.length > 121)).toEqual([]);
    expect(parse('inspect --help')).toMatchObject({
      command: 'text',
      text: expect.stringContaining('inspect') as string,
    });
    expect(parse('--version')).toEqual({ command: 'text', text: `${toolVersion}\n` });
  });
});

describe('what is wrong', () => {
  test.each<[line: string, code: string, says: RegExp]>([
    ['', 'model-not-given', /pumer-compile IN.onnx -o OUT.onnx/],
    ['in.onnx', 'output-not-given', /-o in.pumer.onnx/],
    ['in.onnx -o', 'usage', /argument missing/],
    ['in.onnx other.onnx -o out.onnx', 'usage', /too many arguments/],
    ['inspect', 'usage', /missing required argument/],
    ['inspct in.onnx', 'command-unknown', /did you mean inspect\?/],
    ['in.onnx -o out.onnx --kepe 1', 'usage', /did you mean --keep\?/],
    ['in.onnx -o out.onnx --merge-txt 1', 'usage', /did you mean --merge-text\?/],
    ['in.onnx -o out.onnx --keep 0', 'bad-flag-value', /--keep takes a share above 0 and at most 1, found "0"/],
    ['in.onnx -o out.onnx --keep 1.1', 'bad-flag-value', /--keep/],
    ['in.onnx -o out.onnx --keep 70%', 'bad-flag-value', /did you mean 0.7\?/],
    ['in.onnx -o out.onnx --keep abc', 'bad-flag-value', /"abc"/],
    ['in.onnx -o out.onnx --keep=-0.5', 'bad-flag-value', /"-0.5"/],
    ['in.onnx -o out.onnx --keep 0.12345678901234567', 'bad-flag-value', /--keep/],
    ['in.onnx -o out.onnx --merge-text 1', 'bad-flag-value', /from 0 up to, not including, 1/],
    ['in.onnx -o out.onnx --prune 0.1', 'flags-together', /--prune must be given together with --merge/],
    ['in.onnx -o out.onnx --merge 0.1', 'flags-together', /--merge must be given together with --prune/],
    ['in.onnx -o out.onnx --prune 0.1 --merge 0.1 --keep 1', 'flags-exclude', /--keep/],
    ['in.onnx -o out.onnx --plan p.json --layers 1', 'flags-exclude', /--plan .*--layers/],
    ['in.onnx -o out.onnx --plan p.json --semantics safe', 'flags-exclude', /--semantics/],
    ['in.onnx -o out.onnx --layers 2;5', 'bad-flag-value', /such as 2,5,8/],
    ['in.onnx -o out.onnx --layers 2,-5', 'bad-flag-value', /--layers/],
    ['in.onnx -o out.onnx --semantics puma', 'bad-flag-value', /safe or pumer.*did you mean pumer\?/],
    ['in.onnx -o out.onnx --ops Inline', 'bad-flag-value', /did you mean inline\?/],
    ['in.onnx -o out.onnx --saliency recomputed', 'bad-flag-value', /did you mean recompute\?/],
    ['in.onnx -o out.onnx --outputs restor', 'bad-flag-value', /did you mean restore\?/],
    ['in.onnx -o out.onnx --external-data KEEP', 'bad-flag-value', /did you mean keep\?/],
    ['in.onnx -o out.onnx --lanes embeds', 'bad-flag-value', /inputs_embeds=image:577,text:\*/],
    ['in.onnx -o out.onnx --lanes embeds=imgae:3', 'bad-flag-value', /did you mean image\?/],
    ['in.onnx -o out.onnx --lanes embeds=image:*,text:*', 'bad-flag-value', /--lanes/],
    ['in.onnx -o out.onnx --lanes embeds=image:0', 'bad-flag-value', /--lanes/],
    ['validate', 'usage', /missing required argument/],
    ['validate a.onnx b.onnx', 'data-not-given', /--data/],
    ['validate a.onnx b.onnx c.onnx --data d', 'usage', /too many arguments/],
    ['validat a.onnx --data d', 'command-unknown', /did you mean validate\?/],
    ['validate a.onnx --data d --atol -1', 'bad-flag-value', /--atol takes a number from 0 on/],
    ['validate a.onnx --data d --rtol x', 'bad-flag-value', /--rtol/],
    ['validate a.onnx --data d --tol 1e-3', 'bad-flag-value', /logits:1e-3/],
    ['validate a.onnx --data d --tol logits:1,2,3', 'bad-flag-value', /--tol/],
    ['validate a.onnx --data d --tol logits:1,', 'bad-flag-value', /--tol/],
    ['validate a.onnx --data d --min-agreement 99', 'bad-flag-value', /--min-agreement/],
    ['validate a.onnx --data d --max-drop 1%', 'bad-flag-value', /did you mean 0.01\?/],
    ['validate a.onnx --data d --batch 0', 'bad-flag-value', /a whole number from 1 on/],
    ['validate a.onnx --data d --limt 1', 'usage', /did you mean --limit\?/],
  ])('%s', (line, code, says) => {
    const found = refusal(line);
    expect(found.code).toBe(code);
    expect(`${found.message} ${found.fix ?? ''}`).toMatch(says);
    expect(found.severity).toBe('error');
  });
});
