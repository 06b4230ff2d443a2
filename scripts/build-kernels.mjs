/**
 * Builds the fused kernels into kernels/build: the custom-op library (with CUDA where nvcc is found) and the addon that
 * opens sessions with it. Flags: --no-cuda leaves CUDA out, --tests builds the test programs too. Nothing of the package
 * needs this: without it the reducers run on the function's body. Works in a checkout and in an installed package.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = join(root, 'kernels');
const build = join(source, 'build');

const stop = (sentence) => {
  console.error(sentence);
  process.exit(1);
};
const withoutThem = 'Everything works without the kernels; the reducers then run on the function body.';
const cannot = (why) => stop(`The kernels are not built: ${why}. ${withoutThem}`);

const runs = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

const flags = process.argv.slice(2);
const odd = flags.filter((flag) => !['--no-cuda', '--tests'].includes(flag));
if (odd.length > 0) stop(`build:kernels does not know ${odd.join(' ')}: it takes --no-cuda and --tests`);
if (process.platform === 'win32') cannot('they are written for Linux and macOS');
if (!runs('cmake')) cannot('cmake is not installed (it needs cmake 3.18 or later and a C++17 compiler)');
if (!(process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++']).some(runs))
  cannot('no C++ compiler is installed (it needs one for C++17, such as g++)');

// A checkout installs what it lacks; in an installed package both packages are there.
const ensure = join(root, 'scripts', 'ensure.mjs');
if (existsSync(ensure)) (await import(ensure)).ensureInstalled();
const require = createRequire(import.meta.url);
const headers = [dirname(require.resolve('node-addon-api')), require('node-api-headers').include_dir];

/** What CMake noted about this folder the last time. */
const noted = (key) => {
  const cache = join(build, 'CMakeCache.txt');
  if (!existsSync(cache)) return undefined;
  return new RegExp(`^${key}:[A-Z]+=(.*)$`, 'm').exec(readFileSync(cache, 'utf8'))?.[1];
};
const generator = runs('ninja') ? 'Ninja' : 'Unix Makefiles';
// Another generator's files, or those of a checkout that was moved, cannot be gone on with.
const stale = [
  [noted('CMAKE_GENERATOR'), generator],
  [noted('CMAKE_HOME_DIRECTORY'), source],
];
if (stale.some(([was, is]) => was !== undefined && was !== is)) rmSync(build, { recursive: true, force: true });

const cmake = (what, args, stdio) => {
  const { status, stdout, stderr } = spawnSync('cmake', args, { cwd: root, encoding: 'utf8', stdio });
  if (status === 0) return;
  process.stderr.write(`${stdout ?? ''}${stderr ?? ''}`);
  cannot(`${what} failed, see above`);
};

const start = performance.now();
cmake(
  'configuring with CMake',
  [
    ...['-S', source, '-B', build, '-G', generator],
    '-DCMAKE_BUILD_TYPE=Release',
    `-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=${build}`,
    `-DPUMER_NODE_HEADERS=${headers.join(';')}`,
    `-DPUMER_CUDA=${flags.includes('--no-cuda') ? 'OFF' : 'ON'}`,
    `-DPUMER_TESTS=${flags.includes('--tests') ? 'ON' : 'OFF'}`,
  ],
  'pipe',
);
cmake('the compiler', ['--build', build, '--parallel', `${availableParallelism()}`], ['ignore', 2, 2]);

const library = join(build, process.platform === 'darwin' ? 'libpumer_ops.dylib' : 'libpumer_ops.so');
try {
  const { level, cuda } = require(join(build, 'pumer_node.node')).ops(library);
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.error(`kernels built in kernels/build in ${seconds} s: ${level}, ${cuda ? 'CUDA' : 'without CUDA'}`);
} catch (error) {
  cannot(`what was built does not load: ${error.message}`);
}
