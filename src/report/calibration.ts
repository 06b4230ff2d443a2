/**
 * The report of a calibration: what the chosen plan, its neighbours on the front, the default and the controls lose on
 * the held-out half, what they cost, and how that was found. Figures first, then the same as a table for people.
 */
import type { Diagnostic } from '../diagnostics/diagnostic.ts';
import type { Style } from '../diagnostics/style.ts';
import { plainStyle } from '../diagnostics/style.ts';
import type { MeanFigure } from '../metrics/interval.ts';
import type { ReductionPlan } from '../reduction/plan.ts';
import type { Quartiles } from '../timing/spread.ts';
import { columns, shareText, timeText } from './columns.ts';

/** What is lost on the held-out half. */
export interface HeldOut {
  /** Of the metric: the unreduced model's score minus this one's, so that more is worse. */
  readonly drop: MeanFigure;
  /** Share of samples with the unreduced model's answer. */
  readonly agreement: MeanFigure;
}

export interface PlanFigures extends HeldOut {
  readonly plan: ReductionPlan;
  /** Share of the multiply-adds left, the reducers' own left out. */
  readonly multiplyAddsLeft: number;
  readonly predictedSpeedup: number;
  /** Compiled and timed in turns with the original; only for the chosen plan. */
  readonly measured?: {
    readonly original: Quartiles;
    readonly compiled: Quartiles;
    /** Compiled / original of the same turn. */
    readonly ratio: Quartiles;
    readonly speedup: Quartiles;
  };
}

export type ControlName =
  'random pruning' | 'strided pruning' | 'average pooling' | 'random saliency' | 'smaller images';

/** Another way to spend the same work. */
export type ControlFigures =
  | (HeldOut & {
      readonly control: ControlName;
      readonly multiplyAddsLeft: number;
      /** Its drop minus the plan's, paired sample by sample: below 0 where the control loses less. */
      readonly against: MeanFigure;
      readonly why?: undefined;
    })
  | { readonly control: ControlName; readonly why: string };

/** A layer, or one lane of it, that stays as it is in every plan. */
export interface ClosedLane {
  readonly layer: number;
  readonly what: 'layer' | 'image' | 'text';
  readonly why: Diagnostic;
}

/** A limit of the budget that is not kept. */
export interface Missed {
  readonly limit: 'max-drop' | 'min-agreement' | 'min-speedup' | 'max-latency-ms';
  readonly wanted: number;
  readonly found: number;
  /** Seen on the samples that choose, on those that judge, or on the clock. */
  readonly where: 'choosing' | 'judging' | 'measured';
}

export interface CalibrationReport {
  readonly model: string;
  readonly data: string;
  readonly samples: { readonly choosing: number; readonly judging: number; readonly labelled: boolean };
  readonly metric: string;
  /** Mean score of the unreduced model on the samples that judge; null where the metric compares with it. */
  readonly unreduced: number | null;
  readonly budget: Readonly<Partial<Record<Missed['limit'], number>>>;
  readonly missed: readonly Missed[];
  readonly interrupted: boolean;
  /** What no plan touches, and why. */
  readonly closed: readonly ClosedLane[];
  /** Image tokens entering and leaving each site of the chosen plan. */
  readonly sites: readonly {
    readonly layer: number;
    readonly prune: number;
    readonly merge: number;
    readonly mergeText: number;
    readonly image: { readonly before: number; readonly after: number };
    readonly text: { readonly before: number; readonly after: number };
  }[];
  readonly chosen: PlanFigures;
  /** From the slowest to the fastest. */
  readonly front: readonly PlanFigures[];
  /** What compiling without a calibration does; null where interrupted before it was judged. */
  readonly uncalibrated: PlanFigures | null;
  readonly controls: readonly ControlFigures[];
  readonly latency: {
    readonly machine: string;
    readonly threads: number | null;
    readonly batch: number;
    readonly timedPlans: number;
    /** Error of predictions for plans left out of the fit, as shares: median and largest. */
    readonly error: { readonly median: number; readonly largest: number };
  };
  readonly search: {
    readonly effort: string;
    readonly seed: number;
    readonly plans: number;
    /** Runs of one sample under one plan. */
    readonly evaluations: number;
    readonly evaluationsPerMinute: number;
  };
  readonly seconds: Readonly<Record<'latency' | 'search' | 'judging', number>>;
}

const decimal = (value: number, digits = 4): string => value.toFixed(digits);
const meanText = ({ mean, low, high }: MeanFigure): string =>
  `${decimal(mean)} (${low === null || high === null ? 'one sample' : `${decimal(low)} to ${decimal(high)}`})`;
const speedText = (speedup: number): string => `${speedup.toFixed(2)}x`;

/** Whether the control loses less than the plan, beyond what chance explains. */
export const controlWins = (control: ControlFigures): boolean =>
  control.why === undefined && control.against.high !== null && control.against.high < 0;

const siteLines = (report: CalibrationReport): string[] => {
  const head = ['layer', 'prune', 'merge', 'merge text', 'image tokens', 'text tokens'];
  const rows = report.sites.map(({ layer, prune, merge, mergeText, image, text }) => [
    `${layer}`,
    `${prune}`,
    `${merge}`,
    `${mergeText}`,
    `${image.before} -> ${image.after}`,
    `${text.before} -> ${text.after}`,
  ]);
  return columns(
    [head, ...rows],
    head.map(() => 'right'),
  );
};

const isSame = (a: ReductionPlan, b: ReductionPlan): boolean => JSON.stringify(a.sites) === JSON.stringify(b.sites);

const figureLines = (report: CalibrationReport): string[] => {
  const head = ['', 'multiply-adds', 'speed-up', `${report.metric} lost (95 %)`, 'agreement (95 %)'];
  const row = (name: string, f: PlanFigures): string[] => [
    name,
    shareText(f.multiplyAddsLeft),
    `${speedText(f.predictedSpeedup)} predicted`,
    meanText(f.drop),
    meanText(f.agreement),
  ];
  const { chosen } = report;
  const rows = [
    row('chosen plan', chosen),
    ...(report.uncalibrated === null ? [] : [row('default (--keep 0.7)', report.uncalibrated)]),
    ...report.controls.flatMap((c) =>
      c.why === undefined
        ? [[c.control, shareText(c.multiplyAddsLeft), '', meanText(c.drop), meanText(c.agreement)]]
        : [],
    ),
    ...report.front.filter((f) => !isSame(f.plan, chosen.plan)).map((f, i) => row(`front ${i + 1}`, f)),
  ];
  return columns([head, ...rows], ['left', 'right', 'right', 'right', 'right']);
};

const limitText = ({ limit, wanted, found, where }: Missed): string =>
  `--${limit} ${wanted} is not kept: ${decimal(found, limit === 'max-latency-ms' ? 2 : 4)} ${
    where === 'judging' ? 'on the held-out half' : where === 'choosing' ? 'on the choosing half' : 'measured'
  }`;

/** One line for each kind of reason, with the first of its sentences: they differ in names only. */
const closedLines = (closed: readonly ClosedLane[]): string[] => {
  const isAlike = (a: ClosedLane, b: ClosedLane): boolean => a.what === b.what && a.why.code === b.why.code;
  const firsts = closed.filter((one, i) => closed.findIndex((other) => isAlike(one, other)) === i);
  return firsts.map((first) => {
    const { what, why } = first;
    const alike = closed.filter((other) => isAlike(first, other));
    const layers = `layer${alike.length === 1 ? '' : 's'} ${alike.map((c) => c.layer).join(', ')}`;
    return `not open       ${what === 'layer' ? layers : `${what} of ${layers}`}: ${why.message}`;
  });
};

/** What a limit that is not kept is called, for messages. */
export const missedText = (missed: readonly Missed[]): string => missed.map(limitText).join('; ');

/** Lines joined by newlines, without one at the end. */
export const calibrationTable = (report: CalibrationReport, style: Style = plainStyle): string => {
  const { samples, chosen, latency, search, seconds } = report;
  const measured = chosen.measured;
  const wins = report.controls.filter(controlWins).map((c) => c.control);
  const [siteHead = '', ...sites] = siteLines(report);
  const [head = '', ...figures] = figureLines(report);
  const of = report.unreduced === null ? '' : `, ${report.metric} ${decimal(report.unreduced)} unreduced`;
  return [
    style.bold(`${report.model} on ${report.data}`),
    `${samples.choosing} samples choose, ${samples.judging} others judge${of}`,
    '',
    ...(sites.length === 0 ? ['the chosen plan removes nothing'] : [style.dim(siteHead), ...sites]),
    '',
    style.dim(head),
    ...figures,
    '',
    ...report.controls.flatMap((c) => (c.why === undefined ? [] : [`not tried      ${c.control}: ${c.why}`])),
    ...closedLines(report.closed),
    ...(measured === undefined
      ? []
      : [
          `measured       ${decimal(measured.original.median, 2)} ms -> ${decimal(measured.compiled.median, 2)} ms, ${speedText(measured.speedup.median)} (quartiles ${speedText(measured.speedup.low)} to ${speedText(measured.speedup.high)}) at batch ${latency.batch}`,
        ]),
    `latency        ${latency.timedPlans} plans timed; others predicted, error ${shareText(latency.error.median)} (median), ${shareText(latency.error.largest)} (largest)`,
    `search         ${search.effort}, seed ${search.seed}: ${search.plans} plans, ${Math.round(search.evaluationsPerMinute)} evaluations a minute`,
    ...(wins.length === 0
      ? []
      : [`note           ${wins.join(' and ')} lost less than the chosen plan at the same cost`]),
    ...report.missed.map((m) => `not reached    ${limitText(m)}`),
    `time           ${timeText(1000 * (seconds.latency + seconds.search + seconds.judging))} (latency ${timeText(1000 * seconds.latency)}, search ${timeText(1000 * seconds.search)}, judging ${timeText(1000 * seconds.judging)})`,
  ].join('\n');
};
