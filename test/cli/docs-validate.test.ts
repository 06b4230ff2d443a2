/** docs/validate.md and docs/data.md: the examples run in their order, every flag and field is told, links lead somewhere. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { compileFile } from '../../src/commands/compile.ts';
import { parseCommandLine } from '../../src/flags/command-line.ts';
import { validationText, type ValidationReport } from '../../src/report/validation.ts';
import { validateFiles } from '../../src/commands/validate.ts';
import { emptyFolder } from './run-cli.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(join(root, 'docs/validate.md'), 'utf8');
const unwatched = { progress: () => undefined, signal: new AbortController().signal };

const examples = [...page.matchAll(/^npx pumer-compile (.*)$/gm)].map((m) => m[1] ?? '');

test('the examples run, and print what the page says', async () => {
  const folder = emptyFolder();
  const place = (path: string): string => (/^(models|golden)\//.test(path) ? join(root, path) : join(folder, path));
  const reports: ValidationReport[] = [];
  for (const example of examples) {
    const request = parseCommandLine(example.split(' '), 100);
    if (request.command === 'compile') {
      const { input, output } = request;
      await compileFile({ ...request, input: place(input), output: place(output), validate: false }, unwatched);
    } else if (request.command === 'validate') {
      const { input, other, data } = request;
      const files = { input: place(input), ...(other !== undefined && { other: place(other) }), data: place(data) };
      reports.push(await validateFiles({ ...request, ...files }, unwatched));
    } else throw new Error(`an example that does nothing: ${example}`);
  }
  expect(reports).toHaveLength(2);
  const last = reports.at(-1) as ValidationReport;
  expect(last.gates.every(({ passed }) => passed)).toBe(true);
  // The head of the table and what stands in front of each line are those of the report.
  const told = validationText(last).split('\n');
  expect(page).toContain(told.find((line) => line.startsWith('output ')));
  for (const line of told.slice(5))
    if (/^\w/.test(line) && !line.startsWith('in brackets')) expect(page).toContain(line.slice(0, 15).trim());

  const fields = [last, last.data, ...last.outputs, last.outputs[0]?.notFinite, ...last.gates].flatMap((part) =>
    Object.keys(part ?? {}),
  );
  const words = new Set(page.match(/\w+/g));
  expect(fields.filter((field) => !words.has(field))).toEqual([]);
});

test('every flag is told', () => {
  const { text } = parseCommandLine(['validate', '--help'], 100) as { text: string };
  const flags = [...text.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map((m) => m[1] ?? '');
  expect(flags.length).toBeGreaterThan(12);
  expect(flags.filter((flag) => flag !== '--help' && !page.includes(flag))).toEqual([]);
});

test.each(['validate.md', 'data.md', 'calibrate.md', 'accuracy.md', 'quantise.md', 'semantics.md'])(
  'the links of %s',
  (name) => {
    const text = readFileSync(join(root, 'docs', name), 'utf8');
    for (const [, file = '', anchor] of text.matchAll(/\]\(([\w.-]+\.md)(?:#([\w-]+))?\)/g)) {
      const target = readFileSync(join(root, 'docs', file), 'utf8');
      const anchors = [...target.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) =>
        title
          .toLowerCase()
          .replaceAll(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      );
      if (anchor !== undefined) expect(anchors).toContain(anchor);
    }
  },
);
