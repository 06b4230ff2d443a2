/** `npm run build:kernels` where it cannot build: one sentence, that all works without them, and exit code 1. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const script = fileURLToPath(new URL('../scripts/build-kernels.mjs', import.meta.url));

describe.skipIf(process.platform === 'win32')('build:kernels', () => {
  let tools = '';
  beforeAll(() => void (tools = mkdtempSync(join(tmpdir(), 'pumer-tools-'))));
  afterAll(() => rmSync(tools, { recursive: true, force: true }));

  /** Only the programs given can be found. */
  const build = (programs: readonly string[], ...flags: readonly string[]) => {
    rmSync(tools, { recursive: true, force: true });
    tools = mkdtempSync(join(tmpdir(), 'pumer-tools-'));
    for (const name of programs) {
      writeFileSync(join(tools, name), '#!/bin/sh\nexit 0\n');
      chmodSync(join(tools, name), 0o755);
    }
    const env = { PATH: tools };
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...flags], { env, encoding: 'utf8' });
    return { status, stdout, lines: stderr.trim().split('\n') };
  };

  test.each([
    ['without cmake', [], /not built: cmake is not installed.* Everything works without the kernels/],
    [
      'without a compiler',
      ['cmake'],
      /not built: no C\+\+ compiler is installed.* Everything works without the kernels/,
    ],
  ])('%s', (_name, programs, sentence) => {
    const { status, stdout, lines } = build(programs);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(sentence);
  });

  test('with a flag it does not know', () => {
    const { status, lines } = build(['cmake', 'c++'], '--cuda');
    expect(status).toBe(1);
    expect(lines).toEqual(['build:kernels does not know --cuda: it takes --no-cuda and --tests']);
  });
});
