/** docs/calibrate.md: its examples are commands, every flag and every field is told. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { parseCommandLine } from '../../src/flags/command-line.ts';
import { report } from '../calibrate/made-up-report.ts';

const page = readFileSync(fileURLToPath(new URL('../../docs/calibrate.md', import.meta.url)), 'utf8');

test('the examples are commands', () => {
  const examples = [...page.matchAll(/^npx pumer-compile (.*)$/gm)].map((m) => m[1] ?? '');
  expect(examples.map((example) => parseCommandLine(example.split(' '), 100).command)).toEqual([
    'calibrate',
    'compile',
    'compile',
  ]);
});

test('every flag is told', () => {
  const { text } = parseCommandLine(['calibrate', '--help'], 100) as { text: string };
  const flags = [...text.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map((m) => m[1] ?? '');
  expect(flags.length).toBeGreaterThan(12);
  // What every command has is on the page of the command line.
  const everywhere = new Set(['--help', '--json', '--quiet', '--verbose', '--no-color']);
  expect(flags.filter((flag) => !everywhere.has(flag) && !page.includes(flag))).toEqual([]);
});

test('every field of the report is told', () => {
  const [missed, where] = [{ limit: 0, wanted: 0, found: 0, where: 0 }, report.samples];
  const { chosen, closed, sites, controls, latency, search, seconds } = report;
  const parts = [report, missed, where, chosen, chosen.measured, latency, search, seconds, closed[0], sites[0]];
  const fields = [...parts, ...controls].flatMap((part) => Object.keys(part ?? {}));
  const words = new Set(page.match(/\w+/g));
  expect(fields.filter((field) => !words.has(field))).toEqual([]);
});
