/**
 * `npm run demo`: the main job on the model that package.json names under config.demo. Arguments after `--` are passed
 * on to the compiler. The build has run before.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { root } from './ensure.mjs';

const model = JSON.parse(readFileSync(`${root}package.json`, 'utf8')).config.demo;
const output = 'out/demo.onnx';
mkdirSync(`${root}out`, { recursive: true });

const args = [model, '-o', output, ...process.argv.slice(2)];
console.log(`$ npx pumer-compile ${args.join(' ')}`);
const { status } = spawnSync(process.execPath, ['dist/src/cli.js', ...args], { cwd: root, stdio: 'inherit' });
if (status === 0) console.log(`\nWritten to ${output}. Next: npx pumer-compile inspect ${output}`);
process.exit(status ?? 1);
