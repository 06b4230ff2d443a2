/** The program as users run it, in a process of its own and an empty folder. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll } from 'vitest';

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

export const models = {
  vilt: file('models/vilt-vqa-tiny/model.onnx'),
  meter: file('models/meter-pumer/model.onnx'),
  visualBert: file('models/visualbert-vqa/model.onnx'),
  clip: file('models/clip-tiny/model.onnx'),
} as const;

const program = ['--import', pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href, file('src/cli.ts')];

/** What a user's shell has, less what would change the output. */
const environment = (extra: Readonly<Record<string, string>>): NodeJS.ProcessEnv => {
  const env: NodeJS.ProcessEnv = { ...process.env, ...extra };
  for (const name of ['NO_COLOR', 'FORCE_COLOR', 'NODE_OPTIONS']) if (!(name in extra)) delete env[name];
  return env;
};

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const folders: string[] = [];

/** An empty folder, removed after the test file. */
export const emptyFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'pumer-cli-'));
  folders.push(folder);
  return folder;
};
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

export const filesIn = (folder: string): string[] => readdirSync(folder).sort();

/** Runs `pumer-compile` with these words in a folder. */
export const cli = (folder: string, words: readonly string[], env: Readonly<Record<string, string>> = {}): Ran => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...program, ...words], {
    cwd: folder,
    encoding: 'utf8',
    env: environment(env),
  });
  return { code: status, stdout, stderr };
};

/** The same, running beside the test. */
export const startCli = (
  folder: string,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcess => spawn(process.execPath, [...program, ...words], { cwd: folder, env: environment(env) });
