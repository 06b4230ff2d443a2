/**
 * `npm run bench -- speed|reducer|compile-cost|latency-model [MODEL...]`: benchmarks, never run as tests. Figures mean something only on a
 * machine that does nothing else; the load is printed with them.
 *
 *   --threads N      threads of ONNX Runtime (speed, reducer, latency-model; 2)
 *   --batches LIST   batch sizes and pairs of runs, such as 1:15,4:11,16:7 (speed)
 *   --runs N         copies and compilations (compile-cost; 5), pairs of runs (reducer; 40)
 *   --plans N        random plans (latency-model; 20)
 *   --seed N         of their ratios (latency-model; 1)
 *   --effort WORD    plans timed for the model: quick, default or thorough (latency-model; default)
 *   --folder DIR     where compiled models go (bench/cache)
 */
import { existsSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compileCost } from './compile-cost.ts';
import { latencyModel } from './latency-model.ts';
import { reducerAlone } from './reducer.ts';
import { defaultModel, speed } from './speed.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

const options = {
  threads: { type: 'string', default: '2' },
  batches: { type: 'string', default: '1:15,4:11,16:7' },
  runs: { type: 'string' },
  plans: { type: 'string', default: '20' },
  seed: { type: 'string', default: '1' },
  effort: { type: 'string', default: 'default' },
  folder: { type: 'string', default: join(root, 'bench/cache') },
} as const;

const count = (flag: string, text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${flag} takes whole numbers from 1 on, found "${text}"`);
  return value;
};

const print = (line: string): void => {
  console.log(line);
};

const machine = (): string => {
  const [cpu] = cpus();
  return `${cpu?.model.trim() ?? 'unknown processor'}, ${cpus().length} cores, Node ${process.version}, load ${loadavg()
    .map((load) => load.toFixed(2))
    .join(' ')}`;
};

const main = async (): Promise<void> => {
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const [command, ...given] = positionals;
  const missing = given.find((path) => !existsSync(path));
  if (missing !== undefined) throw new Error(`${missing} does not exist`);
  const models = (): readonly string[] => (given.length > 0 ? given : [defaultModel(root)]);
  if (command === 'speed') {
    const batches = values.batches.split(',').map((item) => {
      const [batch = '', pairs = '7'] = item.split(':');
      return [count('--batches', batch), count('--batches', pairs)] as const;
    });
    const request = { models: models(), threads: count('--threads', values.threads), batches, folder: values.folder };
    print(machine());
    await speed(request, print);
  } else if (command === 'compile-cost') {
    const program = join(root, 'dist/src/cli.js');
    if (!existsSync(program)) throw new Error(`${program} does not exist; run \`npm run build\` first`);
    const request = { models: models(), runs: count('--runs', values.runs ?? '5'), folder: values.folder, program };
    print(machine());
    await compileCost(request, print);
  } else if (command === 'reducer') {
    print(machine());
    const threads = count('--threads', values.threads);
    await reducerAlone({ threads, batches: [1, 4, 16], runs: count('--runs', values.runs ?? '40') }, print);
  } else if (command === 'latency-model') {
    const effort = (['quick', 'default', 'thorough'] as const).find((word) => word === values.effort);
    if (effort === undefined) throw new Error(`--effort takes quick, default or thorough, found "${values.effort}"`);
    print(machine());
    for (const model of models()) {
      const [threads, plans] = [count('--threads', values.threads), count('--plans', values.plans)];
      const seed = count('--seed', values.seed);
      await latencyModel({ model, threads, plans, seed, effort, folder: values.folder }, print);
    }
  } else throw new Error('usage: npm run bench -- speed|reducer|compile-cost|latency-model [MODEL...]');
};

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
