/**
 * One build of the kernels on many releases of ONNX Runtime: `npm run kernels-releases [VERSION ...]`. Installs each
 * release of onnxruntime-node in a folder for temporary files, opens compiled models on its library with the kernels and
 * without, and prints how many reducers ran on kernels and how far the outputs are apart (relative to the largest). No
 * test: it downloads some 100 MB a release.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile, type CompileOptions } from '../../src/index.ts';
import { readModel } from '../../src/onnx/read.ts';
import { columns } from '../../src/report/columns.ts';
import { addonBackend, type Addon } from '../../src/runtime/addon.ts';
import { findKernels, kernelsFolder } from '../../src/runtime/kernels.ts';
import { libraryIn } from '../../src/runtime/onnxruntime-node.ts';
import { openWith } from '../../src/runtime/session.ts';
import { numbersOf, type TensorData } from '../../src/runtime/tensor-data.ts';
import { syntheticInputs } from '../../src/validate/synthetic-inputs.ts';

const releases = '1.16.3 1.17.3 1.18.0 1.19.2 1.20.1 1.21.1 1.22.0 1.23.2 1.24.3 1.26.0 1.27.0 1.29.0 1.30.0'.split(
  ' ',
);

/** Models that the oldest release reads: IR 8. */
const cases: readonly (readonly [string, CompileOptions])[] = [
  ['vilt-vqa-tiny', { keep: 0.5, mergeText: 0.2 }],
  ['vilt-pumer', { semantics: 'pumer', prune: 0.1, merge: 0.3, mergeText: 0.2 }],
];

type Outputs = ReadonlyMap<string, TensorData>;

const install = (version: string): string => {
  const folder = join(tmpdir(), 'pumer-releases', version);
  const found = join(folder, 'node_modules', 'onnxruntime-node');
  if (existsSync(found)) return found;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "private": true }');
  const args = ['install', `onnxruntime-node@${version}`, '--ignore-scripts', '--no-audit', '--no-fund'];
  const { status, stderr } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`npm ${args.join(' ')}: ${stderr}`);
  return found;
};

const largestGap = (a: Outputs, b: Outputs): number => {
  let gap = 0;
  for (const [name, expected] of b) {
    const values = numbersOf(expected);
    const found = numbersOf(a.get(name) as TensorData);
    const scale = Math.max(...values.map(Math.abs));
    gap = Math.max(gap, ...found.map((v, i) => Math.abs(v - (values[i] ?? NaN)) / scale));
  }
  return gap;
};

/** In a process of its own, for a process holds one ONNX Runtime. Prints one row as JSON. */
const one = async (library: string): Promise<void> => {
  const { kernels, reason } = findKernels(kernelsFolder(), library);
  if (kernels === undefined) {
    console.log(JSON.stringify([...Array<string>(1 + 3 * cases.length).fill('-'), reason.message]));
    return;
  }
  const addon = createRequire(import.meta.url)(join(kernels.library, '..', 'pumer_node.node')) as Addon;
  const cells: string[] = [];
  for (const [name, options] of cases) {
    const source = fileURLToPath(new URL(`../../models/${name}/model.onnx`, import.meta.url));
    const bytes = (await compile(source, options)).bytes();
    const made = syntheticInputs(readModel(source), { batch: 2, text: 12, pixels: 384, regions: 36 });
    if ('cannot' in made) throw new Error(made.cannot);
    const run = async (ops: string | undefined): Promise<{ outputs: Outputs; kernelRuns: number }> => {
      const session = await openWith(addonBackend(addon, library, ops), bytes, { threads: 1, profile: true });
      const outputs = await session.run(made.feeds);
      const kernelRuns = session.profile().filter((node) => node.op === 'TokenReduce').length;
      await session.release();
      return { outputs, kernelRuns };
    };
    const [fused, body] = [await run(kernels.library), await run(undefined)];
    cells.push(`${fused.kernelRuns}`, `${body.kernelRuns}`, largestGap(fused.outputs, body.outputs).toExponential(1));
  }
  console.log(JSON.stringify([addon.runtime(library), ...cells]));
};

const tried = (version: string): readonly string[] => {
  const failure = (why: string): readonly string[] => [...Array<string>(1 + 3 * cases.length).fill('?'), why];
  const library = libraryIn(install(version));
  if (library === undefined) return failure('no library for this platform');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [...process.execArgv, fileURLToPath(import.meta.url), '--library', library],
    { encoding: 'utf8' },
  );
  if (status !== 0) return failure(`fails: ${stderr.trim().split('\n').slice(0, 8).join(' ')}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as string[];
};

/** Prints the table; whether every release ran the kernels, to the body's outputs, or refused them in words. */
const all = (versions: readonly string[]): boolean => {
  const rows = versions.map((version) => [version, ...tried(version)]);
  const heads = cases.flatMap(([name]) => [`${name}: on kernels`, 'on the body', 'apart by']);
  console.log(columns([['onnxruntime-node', 'library', ...heads], ...rows]).join('\n'));
  return rows.every(([, , ...cells]) =>
    cases.every((_case, i) => {
      const [fused = '', body = '', gap = ''] = cells.slice(3 * i);
      return fused === '-' || (Number(fused) > 0 && body === '0' && Number(gap) < 1e-5);
    }),
  );
};

const words = process.argv.slice(2);
if (words[0] === '--library') await one(words[1] ?? '');
else if (!all(words.length === 0 ? releases : words)) process.exitCode = 1;
