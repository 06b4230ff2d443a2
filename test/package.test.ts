/**
 * The package as a user gets it: `npm pack`, installed into an empty project of its own outside this checkout, once
 * without onnxruntime-node and once with it. Needs a build (`npm test` makes one before).
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly version: string;
  readonly config: { readonly demo: string };
};
const model = resolve(root, manifest.config.demo);
const MINUTES_2 = 120_000;

/** A user's environment: npm hands this project's settings down to what it runs, and those are not the user's. */
const ours = /^(npm_(config_(onnxruntime|local_prefix)|package_|lifecycle_)|onnxruntime_|init_cwd$)/i;
const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !ours.test(key)));

function npm(cwd: string, ...args: readonly string[]): string {
  const cli = process.env['npm_execpath'];
  const [command, first] = cli?.endsWith('.js') ? [process.execPath, [cli]] : ['npm', []];
  return execFileSync(command, [...first, ...args, '--no-audit', '--no-fund'], {
    cwd,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

describe('npm pack, installed elsewhere', () => {
  let project = '';
  let packed: readonly string[] = [];
  const bin = () => join(project, 'node_modules/pumer-compile/dist/src/cli.js');
  const run = (...args: readonly string[]) =>
    spawnSync(process.execPath, [bin(), ...args], { cwd: project, env, encoding: 'utf8' });

  beforeAll(() => {
    if (!existsSync(join(root, 'dist/src/index.js'))) throw new Error('dist/ is missing: npm run build');
    project = realpathSync(mkdtempSync(join(tmpdir(), 'pumer-package-')));
    writeFileSync(join(project, 'package.json'), '{ "name": "user", "private": true, "type": "module" }');
    // dist/ is built already, and building it here would disturb the tests that run beside this one.
    const report = npm(root, 'pack', '--json', '--ignore-scripts', '--pack-destination', project);
    const [pack] = JSON.parse(report) as [{ filename: string; files: { path: string }[] }];
    packed = pack.files.map((file) => file.path);
    npm(project, 'install', '--prefer-offline', `./${pack.filename}`);
  }, MINUTES_2);

  afterAll(() => {
    if (project !== '') rmSync(project, { recursive: true, force: true });
  });

  const kernelSource =
    /^kernels\/([a-z]+\/([a-z]+\/)?[a-z_0-9-]+\.(cpp|cu|cuh|h|sh)|([a-z]+\/)?CMakeLists\.txt|README\.md)$/;

  test('holds the program, its types, the pages, the licence and the sources of the kernels, and nothing else', () => {
    const odd = packed.filter(
      (path) =>
        !/^dist\/(src|passes)\/.+\.(js|d\.ts)$|^docs\/[a-z-]+\.(md|py|schema\.json)$|^(package\.json|README\.md|LICENSE)$/.test(
          path,
        ) &&
        !kernelSource.test(path) &&
        path !== 'scripts/build-kernels.mjs',
    );
    expect(odd).toEqual([]);
    for (const path of ['dist/src/index.js', 'dist/src/index.d.ts', 'dist/src/cli.js', 'README.md', 'LICENSE']) {
      expect(packed).toContain(path);
    }
  });

  test('holds every file that the kernels are built from, and none that was built', () => {
    const sources = readdirSync(join(root, 'kernels'), { recursive: true, encoding: 'utf8' })
      .map((path) => `kernels/${path.replaceAll('\\', '/')}`)
      .filter((path) => !/^kernels\/(build|tests)/.test(path) && statSync(join(root, path)).isFile());
    expect(sources.length).toBeGreaterThan(10);
    expect(packed.filter((path) => path.startsWith('kernels/')).sort()).toEqual(sources.sort());
    const installed = join(project, 'node_modules');
    for (const header of ['node-addon-api/napi.h', 'node-api-headers/include/node_api.h'])
      expect(existsSync(join(installed, header)), header).toBe(true);
  });

  test('brings no install script and no onnxruntime-node along', () => {
    const lock = JSON.parse(readFileSync(join(project, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { hasInstallScript?: boolean }>;
    };
    expect(Object.keys(lock.packages)).not.toContain('node_modules/onnxruntime-node');
    expect(Object.entries(lock.packages).filter(([, entry]) => entry.hasInstallScript)).toEqual([]);
  });

  test('the program runs', () => {
    const link = join(
      project,
      'node_modules/.bin',
      process.platform === 'win32' ? 'pumer-compile.cmd' : 'pumer-compile',
    );
    const { stdout } = spawnSync(link, ['--version'], {
      cwd: project,
      env,
      encoding: 'utf8',
      shell: process.platform === 'win32',
    });
    expect(stdout.trim()).toBe(manifest.version);
  });

  test('its types stand on their own, without onnxruntime-node', () => {
    writeFileSync(
      join(project, 'use.ts'),
      [
        "import { compile, createSession, DataType, type TensorData } from 'pumer-compile';",
        "const result = await compile('in.onnx', { keep: 0.7 });",
        "await result.write('out.onnx');",
        "const session = await createSession('out.onnx', { ops: 'auto', threads: 1 });",
        "export const ops: 'fused' | 'portable' = session.ops;",
        'const x: TensorData = { dataType: DataType.FLOAT, dims: [1], data: new Float32Array(1) };',
        "export const y: TensorData | undefined = (await session.run(new Map([['x', x]]))).get('y');",
        'export const plan: object = result.plan;',
        'export const report: object = result.report;',
      ].join('\n'),
    );
    mkdirSync(join(project, 'node_modules/@types'), { recursive: true });
    symlinkSync(join(root, 'node_modules/@types/node'), join(project, 'node_modules/@types/node'), 'junction');
    const flags = '--noEmit --strict --module nodenext --target es2022 --types node --skipDefaultLibCheck'.split(' ');
    const tsc = [join(root, 'node_modules/typescript/bin/tsc'), ...flags, 'use.ts'];
    const { stdout } = spawnSync(process.execPath, tsc, { cwd: project, encoding: 'utf8' });
    // Node's own declarations need packages that are not linked here; they are not what is under test.
    expect(stdout.split('\n').filter((line) => line !== '' && !/@types.node/.test(line))).toEqual([]);
  });

  test('compiles without onnxruntime-node and says that the result was not run', { timeout: MINUTES_2 }, () => {
    const { status, stdout, stderr } = run(model, '-o', 'without.onnx', '--keep', '0.7');
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stdout + stderr).toMatch(/not (run|validated)/);
    expect(existsSync(join(project, 'without.onnx'))).toBe(true);
  });

  test('compiles and runs the result with it, to the same bytes; the library agrees', { timeout: MINUTES_2 }, () => {
    symlinkSync(
      join(root, 'node_modules/onnxruntime-node'),
      join(project, 'node_modules/onnxruntime-node'),
      'junction',
    );
    const { status, stdout, stderr } = run(model, '-o', 'with.onnx', '--keep', '0.7');
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(stdout + stderr).not.toMatch(/not (run|validated)/);

    const script = [
      "import { compile, createSession } from 'pumer-compile';",
      `const { plan, report, write } = await compile(${JSON.stringify(model)}, { keep: 0.7 });`,
      "await write('library.onnx');",
      'console.log(typeof plan, typeof report);',
      "const session = await createSession('library.onnx');",
      'console.log(session.ops, session.inputs.length);',
      'await session.release();',
    ].join('\n');
    const library = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: project,
      env: { ...env, PUMER_KERNELS: '' },
      encoding: 'utf8',
    });
    expect(library.stderr).toBe('');
    expect(library.stdout.trim().split('\n')).toEqual(['object object', 'portable 4']);

    const written = readFileSync(join(project, 'with.onnx'));
    for (const other of ['without.onnx', 'library.onnx']) {
      expect(written.equals(readFileSync(join(project, other))), other).toBe(true);
    }
  });
});
