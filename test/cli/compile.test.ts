/** `pumer-compile IN -o OUT` as users run it: what it prints, what it writes, what it leaves alone. */
import { once } from 'node:events';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { compileFile } from '../../src/commands/compile.ts';
import { storedPlan } from '../../src/compile.ts';
import { CompileError } from '../../src/diagnostics/diagnostic.ts';
import { diagnosticText } from '../../src/diagnostics/render.ts';
import { parseCommandLine } from '../../src/flags/command-line.ts';
import type { CompileRequest } from '../../src/flags/compile.ts';
import { UsageError } from '../../src/flags/usage-error.ts';
import { readModel } from '../../src/onnx/read.ts';
import { writeModel } from '../../src/onnx/write.ts';
import { cli, emptyFolder, filesIn, models, startCli } from './run-cli.ts';

const older = 'an older output';
const folderWithOlder = (): string => {
  const folder = emptyFolder();
  writeFileSync(join(folder, 'out.onnx'), older);
  return folder;
};
const olderIn = (folder: string): string => readFileSync(join(folder, 'out.onnx'), 'utf8');

describe('a model that compiles', () => {
  test('a table on stdout, nothing on stderr, one file, twice the same bytes', () => {
    const folder = folderWithOlder();
    const first = cli(folder, [models.vilt, '-o', 'out.onnx']);
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(/site +layer +image tokens +text tokens/);
    expect(first.stdout).toMatch(/1 +1 +101 -> 71 +40 -> 40/);
    expect(first.stdout).toMatch(/35 of 101 image tokens \(35 %\)/);
    expect(first.stdout).toMatch(
      /multiply-adds +68.57 M -> [\d.]+ M \(73 % left.*batch = 1, sequence = 40 \(assumed\)/,
    );
    expect(first.stdout).toMatch(/ran once on synthetic inputs \(batch = 2, sequence = 12\)/);
    expect(first.stdout).not.toContain('\u001b');
    expect(filesIn(folder)).toEqual(['out.onnx']);

    const second = cli(folder, ['compile', models.vilt, '-q', '-o', 'again.onnx', '--no-validate']);
    expect(second).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(readFileSync(join(folder, 'again.onnx')).equals(readFileSync(join(folder, 'out.onnx')))).toBe(true);
  });

  test('--json: one object on stdout, nothing on stderr', () => {
    const folder = emptyFolder();
    const ran = cli(folder, [models.vilt, '-o', 'out.onnx', '--json', '--semantics', 'pumer']);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    const told = JSON.parse(ran.stdout) as Record<string, unknown>;
    const bytes = readFileSync(join(folder, 'out.onnx')).length;
    expect(told).toMatchObject({
      schema_version: 1,
      command: 'compile',
      ok: true,
      input: { file: models.vilt, externalBytes: 0 },
      output: { file: 'out.onnx', bytes, externalBytes: 0 },
      plan: { schema_version: 1, semantics: 'pumer' },
      report: {
        layers: 6,
        tokens: { text: { before: 40, after: 21, runtime: true } },
        multiplyAdds: { before: 68570080, uncounted: 0 },
      },
      validation: { status: 'passed', inputs: 'synthetic', outputs: ['logits'] },
      diagnostics: [],
    });
    const { sites } = told['report'] as { sites: { layer: number; modelLeft: number }[] };
    expect(sites.map((s) => s.layer)).toEqual([1, 2, 4]);
    const { left } = (told['report'] as { multiplyAdds: { left: number } }).multiplyAdds;
    expect(sites.at(-1)?.modelLeft).toBeCloseTo(left, 12);
  });

  test('-v tells each step on stderr, --no-validate is told on stdout', () => {
    const ran = cli(emptyFolder(), [
      models.vilt,
      '-o',
      'out.onnx',
      '-v',
      '--no-validate',
      '--layers',
      '3',
      '--keep',
      '0.5',
    ]);
    expect(ran.code).toBe(0);
    expect(
      ran.stderr
        .trim()
        .split('\n')
        .map((line) => /\] (\w+)/.exec(line)?.[1]),
    ).toEqual(['reading', 'compiling', 'reducers', 'writing']);
    expect(ran.stdout).toContain('not validated: --no-validate was given');
    expect(ran.stdout).toMatch(/1 +3 +101 -> 5\d/);
  });

  test('notes go to stderr with their file', () => {
    const ran = cli(emptyFolder(), [models.visualBert, '-o', 'out.onnx', '--semantics', 'pumer', '--no-validate']);
    expect(ran.code).toBe(0);
    expect(ran.stderr).toMatch(
      /^note text-lane-fixed: .*visualbert-vqa\/model.onnx: the text tokens keep their length/,
    );
  });

  test('the plan it stores makes the same file again', () => {
    const folder = emptyFolder();
    const flags = ['--prune', '0.1', '--merge', '0.2', '--merge-text', '0.1', '--layers', '1,3', '--no-validate', '-q'];
    expect(cli(folder, [models.vilt, '-o', 'out.onnx', ...flags])).toEqual({ code: 0, stdout: '', stderr: '' });
    const plan = storedPlan(readModel(join(folder, 'out.onnx'))) ?? '';
    expect(JSON.parse(plan)).toMatchObject({
      sites: [{ layer: 1, prune: 0.1, merge: 0.2, mergeText: 0.1 }, { layer: 3 }],
    });
    writeFileSync(join(folder, 'plan.json'), plan);
    expect(cli(folder, [models.vilt, '-o', 'again.onnx', '--plan', 'plan.json', '--no-validate', '-q']).code).toBe(0);
    expect(readFileSync(join(folder, 'again.onnx')).equals(readFileSync(join(folder, 'out.onnx')))).toBe(true);
  });

  test('--ops inline, --saliency recompute and a file for the weights', () => {
    const folder = emptyFolder();
    const flags = ['--ops', 'inline', '--saliency', 'recompute', '--external-data', 'weights.bin'];
    const ran = cli(folder, [models.vilt, '-o', 'out.onnx', ...flags]);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).toMatch(/size .* in weights.bin/);
    expect(filesIn(folder)).toEqual(['out.onnx', 'weights.bin']);
    expect(readModel(join(folder, 'out.onnx')).functions).toEqual([]);
  });

  test('--keep 1 --merge-text 0 has no site', () => {
    const folder = emptyFolder();
    const ran = cli(folder, [models.vilt, '-o', 'out.onnx', '--keep', '1', '--merge-text', '0', '--no-validate']);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).toContain('no site');
    expect(storedPlan(readModel(join(folder, 'out.onnx')))).toBeUndefined();
  });

  test('weights outside stay outside, and the files of the input are never touched', () => {
    const folder = emptyFolder();
    writeModel(readModel(models.vilt), join(folder, 'in.onnx'), { externalData: { file: 'out.onnx.data' } });
    const before = [readFileSync(join(folder, 'in.onnx')), readFileSync(join(folder, 'out.onnx.data'))] as const;
    // `keep` would put the result's weights where the input's are.
    const clash = cli(folder, ['in.onnx', '-o', 'out.onnx', '-q']);
    expect(clash.code).toBe(2);
    expect(clash.stderr).toMatch(/^error output-is-input: /);
    expect(cli(folder, ['in.onnx', '-o', 'out.onnx.data', '-q']).code).toBe(2);
    expect(filesIn(folder)).toEqual(['in.onnx', 'out.onnx.data']);

    expect(cli(folder, ['in.onnx', '-o', 'other.onnx', '-q'])).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(filesIn(folder)).toEqual(['in.onnx', 'other.onnx', 'other.onnx.data', 'out.onnx.data']);
    expect(readFileSync(join(folder, 'in.onnx')).equals(before[0])).toBe(true);
    expect(readFileSync(join(folder, 'out.onnx.data')).equals(before[1])).toBe(true);
  });
});

describe('what is refused leaves no trace', () => {
  test.each<[what: string, words: readonly string[], code: number, says: RegExp]>([
    [
      'two towers',
      [models.clip, '-o', 'out.onnx'],
      1,
      /^error no-cross-modal-layer: .*clip-tiny\/model.onnx has \d+ attention layers/,
    ],
    ['an unknown input', [models.vilt, '-o', 'out.onnx', '--text-input', 'input_idz'], 2, /did you mean input_ids\?/],
    ['a folder as output', [models.vilt, '-o', '.'], 2, /^error output-not-file: /],
  ])('%s', (_, words, code, says) => {
    const folder = folderWithOlder();
    const ran = cli(folder, words);
    expect(ran).toMatchObject({ code, stdout: '' });
    expect(ran.stderr).toMatch(says);
    expect(olderIn(folder)).toBe(older);
    expect(filesIn(folder)).toEqual(['out.onnx']);
  });

  // The same without a process each: OUT is the older output, HERE its folder.
  test.each<[what: string, line: string, kind: typeof UsageError | typeof CompileError, says: RegExp]>([
    ['a missing model', 'none.onnx -o OUT', CompileError, /^error model-missing: none.onnx/],
    ['a folder', 'HERE -o OUT', CompileError, /^error model-is-folder: /],
    ['a layer that is none', 'VILT -o OUT --layers 6', CompileError, /^error layer-out-of-range: .*0, 1, 2, 3, 4, 5/],
    ['an unknown embeddings input', 'VILT -o OUT --lanes x=text:*', UsageError, /inputs: input_ids, attention_mask/],
    [
      'a missing plan',
      'VILT -o OUT --plan none.json',
      UsageError,
      /^error plan-unreadable: none.json .*does not exist/,
    ],
    ['a plan that is none', 'VILT -o OUT --plan OUT', UsageError, /^error plan-unreadable: .*not JSON/],
    ['an output folder that is none', 'VILT -o HERE/none/out.onnx', UsageError, /^error output-folder-missing: /],
    ['a folder for the weights', 'VILT -o OUT --external-data a/b', CompileError, /^error external-file-name: /],
  ])('%s', async (_, line, kind, says) => {
    const folder = folderWithOlder();
    const words = line
      .split(' ')
      .map((w) => w.replace('OUT', join(folder, 'out.onnx')).replace('HERE', folder).replace('VILT', models.vilt));
    const request = parseCommandLine(words, 100) as CompileRequest;
    const watch = { progress: () => undefined, signal: new AbortController().signal };
    const error: unknown = await compileFile(request, watch).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(kind);
    expect(diagnosticText((error as UsageError | CompileError).diagnostic)).toMatch(says);
    expect(olderIn(folder)).toBe(older);
    expect(filesIn(folder)).toEqual(['out.onnx']);
  });

  test('--json says so on stdout, and nothing on stderr', () => {
    const folder = folderWithOlder();
    const refused = cli(folder, [models.clip, '-o', 'out.onnx', '--json']);
    expect(refused).toMatchObject({ code: 1, stderr: '' });
    expect(JSON.parse(refused.stdout)).toMatchObject({
      schema_version: 1,
      command: 'compile',
      ok: false,
      exit_code: 1,
      error: { code: 'no-cross-modal-layer', severity: 'error', at: { file: models.clip } },
    });
    const mistyped = cli(folder, [models.clip, '-o', 'out.onnx', '--json', '--kepp', '1']);
    expect(mistyped).toMatchObject({ code: 2, stderr: '' });
    expect(JSON.parse(mistyped.stdout)).toMatchObject({
      ok: false,
      exit_code: 2,
      error: { fix: 'did you mean --keep?' },
    });
  });

  test('the input as output, by whatever name', () => {
    const folder = emptyFolder();
    writeFileSync(join(folder, 'in.onnx'), readFileSync(models.vilt));
    symlinkSync('in.onnx', join(folder, 'link.onnx'));
    for (const output of ['./in.onnx', 'link.onnx']) {
      const ran = cli(folder, ['in.onnx', '-o', output]);
      expect(ran.code).toBe(2);
      expect(ran.stderr).toMatch(/^error output-is-input: /);
    }
    expect(readFileSync(join(folder, 'in.onnx')).equals(readFileSync(models.vilt))).toBe(true);
    expect(filesIn(folder)).toEqual(['in.onnx', 'link.onnx']);
  });

  test('a compiled model', () => {
    const folder = emptyFolder();
    expect(cli(folder, [models.vilt, '-o', 'out.onnx', '-q', '--no-validate', '--ops', 'inline']).code).toBe(0);
    const ran = cli(folder, ['out.onnx', '-o', 'twice.onnx']);
    expect(ran.code).toBe(1);
    expect(ran.stderr).toMatch(/^error already-compiled: out.onnx already holds token reductions/);
    expect(filesIn(folder)).toEqual(['out.onnx']);
  });
});

describe.skipIf(process.platform === 'win32')('an interrupt', () => {
  test.each(['reading', 'compiling', 'writing'])('while %s', async (step) => {
    const folder = folderWithOlder();
    const running = startCli(folder, [models.vilt, '-o', 'out.onnx', '-v']);
    running.stderr?.on('data', (text: Buffer) => {
      if (text.toString().includes(`] ${step}`)) running.kill('SIGINT');
    });
    const [code] = (await once(running, 'exit')) as [number | null];
    expect(code).toBe(130);
    expect(olderIn(folder)).toBe(older);
    expect(filesIn(folder)).toEqual(['out.onnx']);
  });
});
