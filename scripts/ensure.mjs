/**
 * Installs the dependencies of this checkout where they are missing or not the locked ones, so that `npm test` and
 * `npm run demo` need no step before them. It compares versions, not dates, and does nothing when they agree.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('..', import.meta.url));

/** True where node_modules holds every package of the lock file in the locked version (optional ones left aside). */
export function isInstalled() {
  const written = `${root}node_modules/.package-lock.json`; // npm writes it last, after a complete install
  if (!existsSync(written)) return false;
  const installed = JSON.parse(readFileSync(written, 'utf8')).packages;
  const locked = Object.entries(JSON.parse(readFileSync(`${root}package-lock.json`, 'utf8')).packages);
  return locked.every(([path, { version, optional }]) => {
    if (path === '' || optional) return true;
    return installed[path]?.version === version && existsSync(`${root}${path}/package.json`);
  });
}

export function ensureInstalled() {
  if (isInstalled()) return;
  console.error('Installing dependencies (npm ci) ...');
  // The npm that runs this script, where there is one: a machine may have several.
  const npm = process.env.npm_execpath;
  const [command, first] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  const { status, error } = spawnSync(
    command,
    [...first, 'ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'],
    {
      cwd: root,
      // npm's report goes to stderr: stdout is for what the user asked for.
      stdio: ['ignore', 2, 2],
      shell: process.platform === 'win32' && first.length === 0,
      env: { ...process.env, ONNXRUNTIME_NODE_INSTALL: 'skip' },
    },
  );
  if (status !== 0) {
    console.error(`npm ci failed${error ? `: ${error.message}` : ''}`);
    process.exit(status || 1);
  }
}
