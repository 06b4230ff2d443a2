/**
 * Compiles src/ and passes/ into dist/, installing dependencies first where they are missing. What is left in dist/ of
 * sources that are gone is removed; nothing else is, so processes that run from dist/ are not disturbed.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, rmSync } from 'node:fs';
import { ensureInstalled, root } from './ensure.mjs';

ensureInstalled();

const dist = `${root}dist/`;
const tsc = `${root}node_modules/typescript/bin/tsc`;
// An incremental build trusts its record, so the record goes where what it records is gone.
if (!existsSync(`${dist}src`)) rmSync(`${dist}.tsbuildinfo`, { force: true });
const { status } = spawnSync(process.execPath, [tsc, '-p', `${root}tsconfig.build.json`], {
  cwd: root,
  stdio: ['ignore', 2, 2],
});
if (status !== 0) process.exit(status ?? 1);

for (const name of readdirSync(dist, { recursive: true })) {
  if (!/\.(js|ts)$/.test(name)) continue;
  const source = name.replace(/(\.d)?\.(js|ts)$/, '.ts');
  if (!existsSync(`${root}${source}`)) rmSync(`${dist}${name}`);
}
if (existsSync(`${dist}src/cli.js`)) chmodSync(`${dist}src/cli.js`, 0o755); // npx in the checkout runs it as a program
