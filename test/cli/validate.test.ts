/** `pumer-compile validate` as users run it: what it prints, and the exit codes that scripts rely on. */
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { folderWith, samplesFile, smallOnnx } from '../validate/small-models.ts';
import { cli, startCli } from './run-cli.ts';

const folder = folderWith({
  'a.onnx': smallOnnx(),
  'b.onnx': smallOnnx({ bias: [0, 0, 1] }),
  'x.npz': samplesFile(
    [
      [4, 0, 0],
      [0.5, 0, 0],
    ],
    [0, 0],
  ),
});
const gold = fileURLToPath(new URL('../../golden/vilt-pumer-identity', import.meta.url));
const vilt = fileURLToPath(new URL('../../models/vilt-pumer/model.onnx', import.meta.url));

describe('validate', () => {
  test('a report on stdout, nothing on stderr', () => {
    const ran = cli(folder, ['validate', 'a.onnx', 'b.onnx', '--data', 'x.npz']);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(ran.stdout).toMatch(/^b\.onnx against a\.onnx\n2 samples of x\.npz/);
    expect(ran.stdout).toMatch(/drop +50\.00 points/);
    expect(ran.stdout).toMatch(/other answers +logits on x\.npz\[1\]/);
  });

  test('a demand that is not met: exit code 1, and all the figures', () => {
    const words = ['validate', 'a.onnx', 'b.onnx', '--data', 'x.npz', '--max-drop', '0.1'];
    const ran = cli(folder, words);
    expect(ran.code).toBe(1);
    expect(ran.stdout).toMatch(/not met +output "logits": accuracy falls by 50 points, at most 10 points/);
    expect(ran.stderr).toMatch(/^error validation-gate: b\.onnx/);

    const quiet = cli(folder, [...words, '-q']);
    expect(quiet).toMatchObject({ code: 1, stdout: '' });
    expect(quiet.stderr).toContain('accuracy falls by 50 points');

    const json = cli(folder, [...words, '--json']);
    expect(json).toMatchObject({ code: 1, stderr: '' });
    expect(JSON.parse(json.stdout)).toMatchObject({
      schema_version: 1,
      command: 'validate',
      ok: false,
      exit_code: 1,
      error: { code: 'validation-gate' },
      samples: 2,
      outputs: [{ output: 'logits', maxAbsolute: 1, agreement: { mean: 0.5 }, changed: ['x.npz[1]'] }],
      accuracy: { drop: { mean: 0.5 } },
      gates: [
        { gate: 'finite', passed: true },
        { gate: 'max-drop', passed: false, found: 0.5, limit: 0.1 },
      ],
    });
  });

  test('one model against recorded outputs', () => {
    const ran = cli(folder, ['validate', vilt, '--data', gold, '--atol', '1e-4', '--json']);
    expect(ran).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(ran.stdout)).toMatchObject({ ok: true, reference: null, data: { samples: 1, recorded: true } });
  });

  test.each<[what: string, words: readonly string[], code: number, says: RegExp]>([
    ['no data', ['a.onnx', 'b.onnx'], 2, /^error data-not-given/],
    ['data that are not there', ['a.onnx', 'b.onnx', '--data', 'none'], 1, /^error data-missing: none does not exist/],
    ['a missing model', ['a.onnx', 'c.onnx', '--data', 'x.npz'], 1, /^error model-missing: c\.onnx/],
    ['an output that is none', ['a.onnx', 'b.onnx', '--data', 'x.npz', '--tol', 'x:1'], 2, /^error output-unknown/],
  ])('%s', (_, words, code, says) => {
    const ran = cli(folder, ['validate', ...words]);
    expect(ran).toMatchObject({ code, stdout: '' });
    expect(ran.stderr).toMatch(says);
  });

  test.skipIf(process.platform === 'win32')('an interrupt', async () => {
    const running = startCli(folder, ['validate', 'a.onnx', 'b.onnx', '--data', join(folder, 'x.npz'), '-v']);
    running.stderr?.on('data', (text: Buffer) => {
      if (text.toString().includes('] loading')) running.kill('SIGINT');
    });
    const [code] = (await once(running, 'exit')) as [number | null];
    expect(code).toBe(130);
  });
});
