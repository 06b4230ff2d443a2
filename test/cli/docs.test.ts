/** docs/cli.md: its examples run, its plan is one, and it knows every flag and every field of the report. */
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { compileFile, type CompileFileResult } from '../../src/commands/compile.ts';
import { parseCommandLine } from '../../src/flags/command-line.ts';
import type { CompileRequest } from '../../src/flags/compile.ts';
import { inspectModel } from '../../src/commands/inspect.ts';
import { readModel } from '../../src/onnx/read.ts';
import { parsePlan } from '../../src/reduction/plan.ts';
import { validateFiles } from '../../src/commands/validate.ts';
import { emptyFolder, models } from './run-cli.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(join(root, 'docs/cli.md'), 'utf8');
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``, 'g'))].map((m) => m[1] ?? '');
const examples = blocks('sh').flatMap((block) =>
  [...block.matchAll(/^npx pumer-compile (.*)$/gm)].map((m) => m[1] ?? ''),
);

const here = (path: string): string => join(root, path);

const unwatched = { progress: () => undefined, signal: new AbortController().signal };

const compiled = (request: CompileRequest, folder: string): Promise<CompileFileResult> =>
  compileFile(
    { ...request, input: here(request.input), output: join(folder, basename(request.output)), validate: false },
    unwatched,
  );

const demo = (): Promise<CompileFileResult> =>
  compiled(parseCommandLine((examples[0] ?? '').split(' '), 100) as CompileRequest, emptyFolder());

describe('the examples', () => {
  test('are there', () => {
    expect(examples.length).toBeGreaterThan(6);
  });

  test.each(examples)('%s', async (line) => {
    const request = parseCommandLine(line.split(' '), 100);
    if (request.command === 'compile') {
      const { report } = await compiled(request, emptyFolder());
      expect(report.summary.sites.length).toBeGreaterThan(0);
      expect(report.summary.multiplyAdds.left).toBeLessThan(1);
    } else if (request.command === 'inspect') {
      expect(
        inspectModel(readModel(here(request.input)), request.input, request.hints).attentions.length,
      ).toBeGreaterThan(0);
    } else if (request.command === 'validate') {
      const report = await validateFiles(
        { ...request, input: here(request.input), data: here(request.data) },
        unwatched,
      );
      expect(report.gates.filter(({ passed }) => !passed)).toEqual([]);
    } else throw new Error('an example that does nothing');
  });
});

test('the figures it prints are those of the model', async () => {
  const { report } = await demo();
  for (const { layer, image, behind, modelLeft } of report.summary.sites)
    expect(page).toMatch(
      new RegExp(
        `${layer} +${image.before} -> ${image.after} +40 -> 40 +${(100 * behind.left).toFixed(0)} % +${(100 * modelLeft).toFixed(0)} %`,
      ),
    );
});

test('the plan is one', () => {
  const [plan = ''] = blocks('json');
  expect(parsePlan(plan)).toEqual(JSON.parse(plan));
});

test('every flag is told', () => {
  const help = parseCommandLine(['--help'], 100) as { text: string };
  const flags = [...help.text.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map((m) => m[1] ?? '');
  expect(flags.length).toBeGreaterThan(18);
  expect(flags.filter((flag) => !page.includes(flag))).toEqual([]);
});

test('every field of the report is told', async () => {
  const { report } = await demo();
  const [site] = report.summary.sites;
  const fields = [
    ...Object.keys(report.summary),
    ...Object.keys(site ?? {}),
    ...Object.keys(report.summary.multiplyAdds),
    ...Object.keys(report),
  ];
  const seen = inspectModel(readModel(models.vilt), 'in.onnx', {});
  for (const part of [seen, seen.inputs[0], seen.attentions[0], seen.layers[0], seen.reads[0]])
    fields.push(...Object.keys(part ?? {}));
  const told = new Set(page.match(/\w+/g));
  expect(fields.filter((field) => field !== 'summary' && !told.has(field))).toEqual([]);
});
