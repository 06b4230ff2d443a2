/**
 * What `bench` found, as data and as text. No figure stands without its spread.
 */
import type { AssumedSize } from '../analysis/open-sizes.ts';
import type { Style } from '../diagnostics/style.ts';
import type { ReducerOps } from '../runtime/session.ts';
import { machineText, type Machine } from '../timing/machine.ts';
import { quartilesText, type MedianInterval, type Spread } from '../timing/spread.ts';
import { columns } from './columns.ts';

export interface BenchedModel {
  /** Told apart where files have the same name. */
  readonly label: string;
  readonly file: string;
  /** Whether it calls reducers, which is what `ops` can make a difference to. */
  readonly reducers: boolean;
}

export interface BenchRow {
  readonly label: string;
  readonly milliseconds: Spread;
  readonly rowsPerSecond: Spread;
  /** First model / this one, within turns; null for the first. */
  readonly speedUp: ({ readonly median: number } & MedianInterval) | null;
  /** Resident bytes of a process of its own; null where they were not measured. */
  readonly peakBytes:
    (Pick<Spread, 'median' | 'least' | 'most'> & { readonly runs: number; readonly before: number }) | null;
}

export interface BenchBatch {
  readonly batch: number;
  readonly turns: number;
  readonly stopped: 'turns' | 'noise' | 'seconds';
  readonly seconds: number;
  readonly rows: readonly BenchRow[];
}

export interface BenchReport {
  readonly machine: Machine;
  /** Inside one operator; null: ONNX Runtime's own choice. */
  readonly threads: number | null;
  /** What runs reducers in this comparison. */
  readonly ops: ReducerOps;
  /** The kernels' instruction set, or why there are none; null where no model calls a reducer. */
  readonly reducers: string | null;
  readonly inputs:
    | { readonly kind: 'synthetic'; readonly sizes: readonly AssumedSize[] }
    | { readonly kind: 'data'; readonly data: string };
  readonly models: readonly BenchedModel[];
  readonly batches: readonly BenchBatch[];
}

/** Three figures or more, and no more decimals than that takes. */
const digitsOf = (value: number): number => Math.min(Math.max(2 - Math.floor(Math.log10(Math.max(value, 1e-3))), 0), 3);

const spreadCell = (spread: Spread): string => quartilesText(spread, digitsOf(spread.median));

const speedUpCell = (found: BenchRow['speedUp']): string =>
  found === null ? '1' : `${found.median.toFixed(2)} (${found.low.toFixed(2)}-${found.high.toFixed(2)})`;

const memoryCell = ({ peakBytes }: BenchRow): string => {
  if (peakBytes === null) return '-';
  const [m, least, most] = [peakBytes.median, peakBytes.least, peakBytes.most].map((bytes) => (bytes / 1e6).toFixed(0));
  return `${m} (${least}-${most})`;
};

const stoppedText = ({ stopped, seconds, turns }: BenchBatch): string =>
  `${turns} turn${turns === 1 ? '' : 's'} in ${seconds.toFixed(1)} s${stopped === 'seconds' ? ' (stopped by time)' : ''}`;

const inputsText = ({ inputs }: BenchReport): string =>
  inputs.kind === 'data'
    ? `from ${inputs.data}`
    : `synthetic${inputs.sizes.length === 0 ? '' : ` (${inputs.sizes.map(({ symbol, size }) => `${symbol} = ${size}`).join(', ')})`}`;

const batchText = (report: BenchReport, batch: BenchBatch, style: Style): string[] => {
  const paired = report.models.length > 1;
  const withMemory = batch.rows.some((row) => row.peakBytes !== null);
  const heads = ['model', 'ms', ...(paired ? ['speed-up'] : []), 'rows/s', ...(withMemory ? ['peak MB'] : [])];
  const rows = batch.rows.map((row) => [
    row.label,
    spreadCell(row.milliseconds),
    ...(paired ? [speedUpCell(row.speedUp)] : []),
    spreadCell(row.rowsPerSecond),
    ...(withMemory ? [memoryCell(row)] : []),
  ]);
  const [head = '', ...lines] = columns([heads, ...rows], ['left', 'right', 'right', 'right', 'right']);
  return [
    '',
    `batch ${batch.batch}, ${stoppedText(batch)}`,
    `  ${style.dim(head)}`,
    ...lines.map((line) => `  ${line}`),
  ];
};

/** Lines joined by newlines, without one at the end. */
export const benchTable = (report: BenchReport, style: Style): string => {
  const { machine, threads, models, batches } = report;
  const sure = batches.flatMap((b) => b.rows.map((row) => row.speedUp?.confidence ?? 1));
  const confidence = Math.min(...sure) >= 0.95 ? '95 %' : `${(100 * Math.min(...sure)).toFixed(0)} %`;
  const calls = models.filter((m) => m.reducers).map((m) => m.label);
  const runs = batches.flatMap((b) => b.rows.flatMap((row) => row.peakBytes?.runs ?? []))[0];
  const facts = columns([
    [style.dim('machine'), `${machineText(machine)}, load ${machine.load.toFixed(2)}`],
    [
      style.dim('run'),
      `CPU, ${threads === null ? "ONNX Runtime's choice of threads" : `${threads} thread${threads === 1 ? '' : 's'}`}`,
    ],
    ...(report.reducers === null ? [] : [[style.dim('reducers'), `${report.reducers} (${calls.join(', ')})`]]),
    [style.dim('inputs'), inputsText(report)],
  ]);
  return [
    ...facts,
    ...batches.flatMap((batch) => batchText(report, batch, style)),
    '',
    style.dim('ms, rows/s: median (quartiles)'),
    ...(models.length > 1
      ? [
          style.dim(
            `speed-up over ${models[0]?.label ?? ''}: median of the ratios within turns (${confidence} interval of that median)`,
          ),
        ]
      : []),
    ...(runs === undefined
      ? []
      : [
          style.dim(`peak MB: resident memory of a process that runs this model alone, median (least-most) of ${runs}`),
        ]),
  ].join('\n');
};
