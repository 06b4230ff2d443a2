/**
 * `speed`: how much faster compiled models run than their originals, against the multiply-adds they save, and where
 * the rest of the time goes. Judges nothing about answers: inputs are made up.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile, type CompileOptions } from '../src/index.ts';
import { columns } from '../src/report/columns.ts';
import { kinds } from './breakdown.ts';
import type { Measured, MeasureRequest } from './measure.ts';
import { spreadOf, spreadText } from '../src/timing/spread.ts';

export interface SpeedRequest {
  readonly models: readonly string[];
  readonly threads: number;
  readonly batches: readonly (readonly [batch: number, pairs: number])[];
  /** Where compiled models go. */
  readonly folder: string;
}

interface Setting {
  readonly name: string;
  readonly says: string;
  readonly options: CompileOptions;
}

const settings: readonly Setting[] = [
  {
    name: 'published',
    says: "PuMer's published ratios: --semantics pumer --prune 0.1 --merge 0.3 --merge-text 0.2 (layers 2,5,8 of 12)",
    options: { semantics: 'pumer', prune: 0.1, merge: 0.3, mergeText: 0.2 },
  },
  { name: 'default', says: 'the default: --semantics safe --keep 0.7', options: {} },
];

const measureScript = fileURLToPath(new URL('./measure.ts', import.meta.url));

const measured = (request: MeasureRequest): Measured => {
  const args = ['--import', import.meta.resolve('tsx'), measureScript, JSON.stringify(request)];
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  if (run.status !== 0)
    throw new Error(`measuring ${request.compiled} ended with ${run.status ?? run.signal ?? 'nothing'}`);
  return JSON.parse(run.stdout) as Measured;
};

const giga = (n: number): string => (n / 1e9).toPrecision(3);
const table = (rows: readonly (readonly string[])[]): string =>
  columns(rows, ['left', ...rows.map(() => 'right' as const)])
    .map((line) => `  ${line}`)
    .join('\n');

const timingTable = ({ timings, multiplyAdds }: Measured): string => {
  const saved = multiplyAdds.original / multiplyAdds.compiled;
  const rows = timings.flatMap(({ batch, original, compiled, fused }) =>
    (
      [
        ['body', compiled],
        ['kernels', fused],
      ] as const
    )
      .filter(([, times]) => times.length > 0)
      .map(([ops, times]) => {
        const ratio = spreadOf(original.map((time, i) => time / (times[i] ?? Number.NaN)));
        return [
          String(batch),
          String(times.length),
          spreadText(spreadOf(original), 1),
          ops,
          spreadText(spreadOf(times), 1),
          spreadText(ratio, 2),
          `${(100 * (ratio.median / saved)).toFixed(0)} %`,
        ];
      }),
  );
  return table([['batch', 'turns', 'original ms', 'reducers on', 'compiled ms', 'speed-up', 'share'], ...rows]);
};

const profileTable = ({ profile }: Measured): string => {
  const [was, is, fused] = [new Map(profile.original), new Map(profile.compiled), new Map(profile.fused)];
  const total = (times: ReadonlyMap<string, number>): number => [...times.values()].reduce((a, b) => a + b, 0);
  const share = (time: number, times: ReadonlyMap<string, number>): string[] =>
    times.size === 0 ? [] : [time.toFixed(1), `${((100 * time) / total(times)).toFixed(0)} %`];
  const row = (name: string, of: (times: ReadonlyMap<string, number>) => number): string[] => [
    name,
    ...[was, is, fused].flatMap((times) => share(of(times), times)),
  ];
  const rows = kinds.map((kind) => row(kind, (times) => times.get(kind) ?? 0));
  const kernels = fused.size === 0 ? [] : ['kernels ms', ''];
  return table([
    [`batch ${profile.batch}`, 'original ms', '', 'body ms', '', ...kernels],
    ...rows,
    row('all nodes', total),
  ]);
};

/** Prints as it goes. */
export const speed = async (request: SpeedRequest, print: (line: string) => void): Promise<void> => {
  mkdirSync(request.folder, { recursive: true });
  for (const path of request.models)
    for (const { name, says, options } of settings) {
      const file = basename(path) === 'model.onnx' ? basename(dirname(path)) : basename(path, '.onnx');
      const compiledPath = join(request.folder, `${file}.${name}.onnx`);
      const result = await compile(path, options);
      result.write(compiledPath);
      const profiled = request.batches.some(([batch]) => batch === 4) ? 4 : (request.batches[0]?.[0] ?? 1);
      const found = measured({
        original: path,
        compiled: compiledPath,
        threads: request.threads,
        batches: request.batches,
        profiled,
      });
      const { original, compiled } = found.multiplyAdds;
      const image = result.report.sites.map((site) => site.image.after ?? '?');
      print('');
      print(`${file} (${(statSync(path).size / 1e6).toFixed(0)} MB), ${says}`);
      print(`  ONNX Runtime ${found.runtime}, CPU, ${request.threads} threads; medians (least-most)`);
      print(
        `  layers ${result.report.sites.map((site) => site.layer).join(',')}: image tokens ${[result.report.tokens.image.before ?? '?', ...image].join(' -> ')}`,
      );
      print(
        `  multiply-adds of MatMul and Gemm, one row: ${giga(original)} G -> ${giga(compiled)} G, ${(original / compiled).toFixed(3)}x less`,
      );
      print(timingTable(found));
      print('  speed-up: median of the ratios within turns; share: speed-up over the multiply-add ratio');
      print('');
      print(profileTable(found));
      print(
        '  profiled runs, medians; reducers: nodes of the body, or kernels; around them: cuts, metrics and masks, products excepted that were fused and renamed',
      );
    }
};

/** The full-size model, or how to make it. */
export const defaultModel = (root: string): string => {
  const path = join(root, 'bench/cache/vilt-b32.onnx');
  if (existsSync(path)) return path;
  throw new Error(`${path} does not exist; make it with \`python bench/make-vilt-b32.py\` or name models yourself`);
};
