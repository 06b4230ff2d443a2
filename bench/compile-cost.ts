/**
 * `compile-cost`: time and memory of compiling a large file with the built program, run by node itself, against
 * copying that file. Copies and compilations take turns, the file is in the page cache, outputs are removed at once.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { columns } from '../src/report/columns.ts';
import { median, spreadOf, spreadText } from '../src/timing/spread.ts';

export interface CostRequest {
  readonly models: readonly string[];
  readonly runs: number;
  readonly folder: string;
  /** The built program. */
  readonly program: string;
}

interface Ran {
  readonly seconds: number;
  /** Peak resident memory in MB (10^6 bytes), where the system tells. */
  readonly peak: number;
  readonly stdout: string;
}

const timeTool = '/usr/bin/time';
const hasTimeTool =
  existsSync(timeTool) && spawnSync(timeTool, ['-v', 'true'], { encoding: 'utf8' }).stderr.includes('Maximum resident');

/** The largest VmHWM seen while a process lives: what can be had without /usr/bin/time, and only on Linux. */
const watchedPeak = (pid: number): (() => number) => {
  let peak = Number.NaN;
  const look = (): void => {
    try {
      const kib = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
      if (kib !== undefined) peak = (Number(kib) * 1024) / 1e6;
    } catch {
      // Gone, or no such file system: the last figure stands.
    }
  };
  const timer = setInterval(look, 5);
  return () => {
    clearInterval(timer);
    return peak;
  };
};

const ran = (command: string, args: readonly string[]): Promise<Ran> =>
  new Promise((resolve, reject) => {
    const [program, all] = hasTimeTool ? [timeTool, ['-v', command, ...args]] : [command, [...args]];
    const start = performance.now();
    const child = spawn(program, all, { stdio: ['ignore', 'pipe', 'pipe'] });
    const peak = watchedPeak(child.pid ?? 0);
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    child.on('error', reject);
    child.on('close', (code) => {
      const seconds = (performance.now() - start) / 1000;
      const watched = peak();
      const kib = /Maximum resident set size \(kbytes\): (\d+)/.exec(stderr)?.[1];
      if (code !== 0) reject(new Error(`${command} ${args.join(' ')} ended with ${code ?? 'a signal'}: ${stderr}`));
      else resolve({ seconds, peak: kib === undefined ? watched : (Number(kib) * 1024) / 1e6, stdout });
    });
  });

type Stage = 'read' | 'compile' | 'write' | 'validate';
const stages: readonly Stage[] = ['read', 'compile', 'write', 'validate'];

const stageTimes = (runs: readonly Ran[]): string => {
  const told = runs.map(({ stdout }) => (JSON.parse(stdout) as { milliseconds: Record<Stage, number> }).milliseconds);
  return stages.map((stage) => `${stage} ${median(told.map((t) => t[stage])).toFixed(0)}`).join(', ');
};

/** Prints as it goes. */
export const compileCost = async (request: CostRequest, print: (line: string) => void): Promise<void> => {
  mkdirSync(request.folder, { recursive: true });
  for (const path of request.models) {
    const out = join(request.folder, `${basename(path, '.onnx')}.cost.onnx`);
    const copy = `${out}.copy`;
    const measure = async (target: string, command: string, args: readonly string[]): Promise<Ran> => {
      try {
        return await ran(command, args);
      } finally {
        for (const file of [target, `${target}.data`]) rmSync(file, { force: true });
      }
    };
    const copying = (): Promise<Ran> => measure(copy, 'cp', [path, copy]);
    const compiling = (...flags: readonly string[]): Promise<Ran> =>
      measure(out, process.execPath, [request.program, 'compile', path, '-o', out, '--json', ...flags]);

    await copying(); // fills the page cache
    await compiling('--no-validate');
    const runs: Record<'cp' | 'plain' | 'validated', Ran[]> = { cp: [], plain: [], validated: [] };
    for (let run = 0; run < request.runs; run++) {
      runs.cp.push(await copying());
      runs.plain.push(await compiling('--no-validate'));
    }
    for (let run = 0; run < Math.min(request.runs, 3); run++) runs.validated.push(await compiling());

    const row = (name: string, list: readonly Ran[]): string[] => [
      name,
      String(list.length),
      spreadText(spreadOf(list.map((r) => r.seconds)), 2),
      spreadText(spreadOf(list.map((r) => r.peak)), 0),
    ];
    print('');
    print(`${basename(path)} (${(statSync(path).size / 1e6).toFixed(0)} MB); medians (least-most)`);
    const rows = [
      ['', 'runs', 'seconds', 'peak MB'],
      row('cp', runs.cp),
      row('compile --no-validate', runs.plain),
      row('compile', runs.validated),
    ];
    for (const line of columns(rows, ['left', 'right', 'right', 'right'])) print(`  ${line}`);
    const beyond = median(runs.plain.map((r) => r.seconds)) - 2 * median(runs.cp.map((r) => r.seconds));
    print(`  compile --no-validate, less twice the time of cp: ${beyond.toFixed(2)} s (limit 0.5 s)`);
    print(`  stages in ms: ${stageTimes(runs.plain)} (--no-validate); ${stageTimes(runs.validated)}`);
    print(
      `  peak memory ${hasTimeTool ? `by ${timeTool} -v` : 'by /proc/PID/status, every 5 ms'}; limit 250 MB for --no-validate`,
    );
  }
};
