/**
 * The report of a compilation as a table for people: sites, what is left at the end, how the result was tried, sizes
 * and times. Works from figures alone.
 */
import type { AssumedSize } from '../analysis/open-sizes.ts';
import { plainStyle, type Style } from '../diagnostics/style.ts';
import type { Interval } from '../metrics/interval.ts';
import { bytesText, columns, countText, shareText, timeText } from './columns.ts';
import type { CompileSummary, TokenCounts } from './summary.ts';

export interface FileSize {
  readonly file: string;
  readonly bytes: number;
  /** Of the file with external data, 0 where there is none. */
  readonly externalBytes: number;
  readonly externalFile?: string;
}

/** How the result was tried before it was called done. */
export type Validation =
  | {
      readonly status: 'passed';
      readonly inputs: 'synthetic';
      readonly sizes: readonly AssumedSize[];
      readonly outputs: readonly string[];
      readonly runtime: string;
    }
  | {
      readonly status: 'passed';
      readonly inputs: 'data';
      readonly data: string;
      readonly samples: number;
      /** Share of samples with the original's answer; null where no output has answers. */
      readonly agreement: Interval | null;
      /** Accuracy of the original less that of the result; null without labels. */
      readonly drop: Interval | null;
      readonly outputs: readonly string[];
      readonly runtime: string;
    }
  | { readonly status: 'skipped'; readonly reason: string };

export interface Phases {
  readonly read: number;
  readonly compile: number;
  readonly write: number;
  /** 0 where nothing was run. */
  readonly validate: number;
}

export interface CompileReport {
  readonly input: FileSize;
  readonly output: FileSize;
  readonly summary: CompileSummary;
  readonly validation: Validation;
  readonly milliseconds: Phases;
}

const tokensText = ({ before, after, runtime }: TokenCounts): string =>
  `${before ?? '?'} -> ${after ?? '?'}${runtime ? '*' : ''}`;

const sizesText = (sizes: readonly AssumedSize[]): string =>
  sizes.map(({ symbol, size }) => `${symbol} = ${size}`).join(', ');

const siteRows = (summary: CompileSummary): string[] => {
  const head = ['site', 'layer', 'image tokens', 'text tokens', 'work behind it', 'whole model'];
  const rows = summary.sites.map((site, i) => [
    `${i + 1}`,
    `${site.layer}`,
    tokensText(site.image),
    tokensText(site.text),
    shareText(site.behind.left),
    shareText(site.modelLeft),
  ]);
  return columns(
    [head, ...rows],
    head.map(() => 'right'),
  );
};

const leftText = (name: string, { before, after, runtime }: TokenCounts): string =>
  before === null || after === null
    ? `${name} tokens: counted when the model runs`
    : `${after}${runtime ? '*' : ''} of ${before} ${name} tokens (${shareText(after / before)})`;

const workLine = ({ multiplyAdds: work, assumed, sites }: CompileSummary): string => {
  const at = assumed.length === 0 ? '' : `, counted at ${sizesText(assumed)} (assumed)`;
  if (sites.length === 0) return `multiply-adds  ${countText(work.before)}, all left${at}`;
  const times = work.after === 0 ? '' : `, ${(work.before / work.after).toFixed(2)}x less`;
  return `multiply-adds  ${countText(work.before)} -> ${countText(work.after)} (${shareText(work.left)} left${times})${at}`;
};

/** In points of a hundred, with the 95 % interval. */
const intervalText = ({ mean, low, high }: Interval): string => {
  const points = (share: number): string => (100 * share).toFixed(2);
  return `${points(mean)} %${low === null || high === null ? '' : ` (${points(low)} to ${points(high)})`}`;
};

const validationLine = (validation: Validation): string => {
  if (validation.status === 'skipped') return `validation     ${validation.reason}`;
  if (validation.inputs === 'data') {
    const { agreement, drop } = validation;
    const figures = [
      ...(agreement === null ? [] : [`same answer ${intervalText(agreement)}`]),
      ...(drop === null ? [] : [`accuracy lost ${intervalText(drop)}`]),
    ];
    const told = figures.length === 0 ? 'finite' : figures.join(', ');
    return `validation     ${validation.samples} samples of ${validation.data}: ${told}; ONNX Runtime ${validation.runtime}`;
  }
  const at = validation.sizes.length === 0 ? '' : ` (${sizesText(validation.sizes)})`;
  return `validation     ran once on synthetic inputs${at}: shapes as the original's, finite; ONNX Runtime ${validation.runtime}`;
};

const sizeText = ({ bytes, externalBytes, externalFile }: FileSize): string =>
  externalBytes === 0
    ? bytesText(bytes)
    : `${bytesText(bytes)} + ${bytesText(externalBytes)}${externalFile === undefined ? '' : ` in ${externalFile}`}`;

const timeLine = ({ read, compile, write, validate }: Phases): string => {
  const parts: [string, number][] = [
    ['read', read],
    ['compile', compile],
    ['write', write],
    ['validate', validate],
  ];
  const total = parts.reduce((sum, [, ms]) => sum + ms, 0);
  return `time           ${timeText(total)} (${parts.flatMap(([name, ms]) => (ms === 0 ? [] : [`${name} ${timeText(ms)}`])).join(', ')})`;
};

/** Lines joined by newlines, without one at the end. */
export const compileTable = (report: CompileReport, style: Style = plainStyle): string => {
  const { input, output, summary } = report;
  const { sites, tokens } = summary;
  const isDynamic = sites.some((s) => s.image.runtime || s.text.runtime);
  const [head = '', ...rows] = siteRows(summary);
  return [
    style.bold(`${input.file} -> ${output.file}`),
    '',
    ...(sites.length === 0 ? ['no site: the model computes what it did before'] : [style.dim(head), ...rows]),
    ...(isDynamic ? [style.dim('* counted when the model runs; the figures are for the sizes below')] : []),
    '',
    ...(sites.length === 0
      ? []
      : [`tokens left    ${leftText('image', tokens.image)}, ${leftText('text', tokens.text)}`]),
    workLine(summary),
    ...(summary.multiplyAdds.uncounted === 0
      ? []
      : [`               ${summary.multiplyAdds.uncounted} nodes of unknown sizes are left out`]),
    validationLine(report.validation),
    `size           ${sizeText(input)} -> ${sizeText(output)}`,
    timeLine(report.milliseconds),
  ].join('\n');
};
