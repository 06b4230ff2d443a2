/**
 * The comparison of two models as text for people: figures by output, accuracy, the worst samples, what was demanded.
 * Works from figures alone.
 */
import { reducersLine } from '../diagnostics/messages-runtime.ts';
import { plainStyle, type Style } from '../diagnostics/style.ts';
import type { AccuracyComparison, Gate, ModelComparison, OutputComparison } from '../metrics/comparison.ts';
import type { Interval } from '../metrics/interval.ts';
import type { Reducers } from '../runtime/kernels.ts';
import { columns, timeText } from './columns.ts';

export interface ValidationReport extends ModelComparison {
  /** Null where the candidate is held against recorded outputs. */
  readonly reference: string | null;
  readonly candidate: string;
  readonly data: {
    readonly path: string;
    readonly samples: number;
    readonly labelled: boolean;
    readonly recorded: boolean;
  };
  /** Rows run together, at most; null where feeds run as they were recorded. */
  readonly batch: number | null;
  /** Version of ONNX Runtime. */
  readonly runtime: string;
  /** What the candidate's reducers run on here; null for a model without. */
  readonly reducers: Reducers | null;
  readonly gates: readonly Gate[];
  readonly milliseconds: number;
}

/** Enough digits to tell errors apart, no more. */
const figure = (value: number): string => {
  if (value === 0) return '0';
  return value >= 1e-3 && value < 1e5 ? value.toPrecision(3) : value.toExponential(2);
};

const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
const points = (share: number): string => (100 * share).toFixed(2);

const around = ({ low, high }: Interval, text: (share: number) => string): string =>
  low === null || high === null ? '' : ` (${text(low)} to ${text(high)})`;

const shareText = (interval: Interval): string => `${percent(interval.mean)}${around(interval, points)}`;

const outputRows = (outputs: readonly OutputComparison[]): string[] => {
  const head = ['output', 'max error', 'mean error', 'max relative', 'norm relative', 'cosine', 'same answer'];
  const rows = outputs.map((one) => [
    one.output,
    figure(one.maxAbsolute),
    figure(one.meanAbsolute),
    figure(one.maxRelative),
    figure(one.normRelative),
    one.cosine.toFixed(6),
    one.agreement === null ? '' : shareText(one.agreement),
  ]);
  return columns(
    [head, ...rows],
    head.map((_, i) => (i === 0 || i === head.length - 1 ? 'left' : 'right')),
  );
};

const notFiniteLines = (outputs: readonly OutputComparison[]): string[] =>
  outputs.flatMap(({ output, notFinite: { reference, candidate, different } }) => {
    const counts = ({ nan, infinite }: { nan: number; infinite: number }): string =>
      `${nan} NaN and ${infinite} infinite`;
    const any = [reference, candidate].some(({ nan, infinite }) => nan + infinite > 0);
    return any
      ? [
          `not finite     ${output}: ${counts(reference)} in the reference, ${counts(candidate)} here, ${different} differ`,
        ]
      : [];
  });

const accuracyLines = (accuracy: AccuracyComparison | null): string[] => {
  if (accuracy === null) return [];
  const { reference, candidate, drop, output } = accuracy;
  if (reference === null || drop === null) return [`accuracy       ${shareText(candidate)} on ${output}`];
  return [
    `accuracy       ${shareText(reference)} -> ${shareText(candidate)} on ${output}`,
    `drop           ${points(drop.mean)} points${around(drop, points)}, sample by sample`,
  ];
};

const worstLines = (outputs: readonly OutputComparison[]): string[] =>
  outputs.flatMap(({ output, worst }) =>
    worst
      .slice(0, 3)
      .map(({ sample, error, sameAnswer }, i) =>
        [
          i === 0 ? 'worst          ' : ' '.repeat(15),
          `${output} on ${sample}: ${error === null ? 'not finite' : figure(error)}`,
          sameAnswer === false ? ', another answer' : '',
        ].join(''),
      ),
  );

const changedLines = (outputs: readonly OutputComparison[]): string[] =>
  outputs.flatMap(({ output, changed }) =>
    changed.length === 0
      ? []
      : [`other answers  ${output} on ${changed.slice(0, 5).join(', ')}${changed.length > 5 ? ', ...' : ''}`],
  );

const fusedLines = ({ fused, reducers }: ValidationReport): string[] => {
  if (reducers === null) return [];
  if (fused === null) return [reducersLine(reducers).replace('reducers: ', 'reducers       ')];
  return fused.map(({ output, maxAbsolute, agreement }) =>
    [
      `fused kernels  ${output}: at most ${figure(maxAbsolute)} from the function body`,
      agreement === null ? '' : `, same answer ${percent(agreement.mean)}`,
    ].join(''),
  );
};

const gateLines = (gates: readonly Gate[], style: Style): string[] => {
  const failed = gates.filter(({ passed }) => !passed);
  if (failed.length > 0)
    return failed.map(({ message }, i) => `${i === 0 ? `${style.red('not met')}        ` : ' '.repeat(15)}${message}`);
  const demanded = gates.filter(({ gate }) => gate !== 'finite').length;
  return [`demands        ${demanded === 0 ? 'none but finite values' : `${demanded} of ${demanded} met`}`];
};

/** Lines joined by newlines, without one at the end. */
export const validationText = (report: ValidationReport, style: Style = plainStyle): string => {
  const { reference, candidate, data, batch, outputs } = report;
  const [head = '', ...rows] = outputRows(outputs);
  const samples = `${data.samples} ${data.samples === 1 ? 'sample' : 'samples'}`;
  return [
    style.bold(`${candidate} against ${reference ?? 'recorded outputs'}`),
    `${samples} of ${data.path}, ${batch === null ? 'run as recorded' : `at most ${batch} at once`}`,
    '',
    style.dim(head),
    ...rows,
    '',
    ...notFiniteLines(outputs),
    ...accuracyLines(report.accuracy),
    ...worstLines(outputs),
    ...changedLines(outputs),
    ...fusedLines(report),
    ...gateLines(report.gates, style),
    `time           ${timeText(report.milliseconds)}, ONNX Runtime ${report.runtime}`,
    ...(outputs.some(({ agreement }) => agreement !== null) ? [style.dim('in brackets: 95 % intervals')] : []),
  ].join('\n');
};
