/**
 * plan.json as a calibration writes it: a plan that `--plan` reads and people edit, and beside it everything that tells
 * where the plan comes from and what it was worth. docs/plan.schema.json describes it.
 */
import type { PlannedSite, ReductionPlan } from '../reduction/plan.ts';
import type { MeanFigure } from '../metrics/interval.ts';
import type { Budget, MissedLimit } from './search/budget.ts';
import type { LatencyTable, Measured } from './latency/model.ts';
import type { Effort } from './search/search.ts';

/** What a plan loses on samples. */
export interface QualityFigures {
  readonly samples: number;
  /** Of the metric: the unreduced model's score minus the plan's, so that more is worse. */
  readonly drop: MeanFigure;
  /** Share of samples with the unreduced model's answer. */
  readonly agreement: MeanFigure;
}

export interface MissedLimitFigure extends MissedLimit {
  readonly where: 'choosing' | 'judging' | 'measured';
}

/** Another plan of the front, with its predicted time. */
export interface FrontFigure {
  readonly sites: readonly PlannedSite[];
  /** On the samples that choose. */
  readonly drop: number;
  readonly agreement: number;
  readonly predicted_speedup: number;
}

export interface CalibrationRecord {
  readonly tool: { readonly name: 'pumer-compile'; readonly version: string };
  readonly model: { readonly file: string; readonly sha256: string };
  readonly data: {
    readonly source: string;
    readonly choosing: number;
    readonly judging: number;
    readonly labelled: boolean;
  };
  readonly metric: { readonly name: string; readonly output: string | null };
  readonly budget: Budget;
  readonly missed: readonly MissedLimitFigure[];
  readonly interrupted: boolean;
  /** The half that took part in choosing: too good by what choosing takes from luck. */
  readonly choosing: QualityFigures;
  /** The half that did not. Null where the calibration was interrupted before. */
  readonly held_out: QualityFigures | null;
  readonly speedup: {
    readonly predicted: number;
    /** Compiled and timed in turns with the original. */
    readonly measured: {
      readonly original_ms: Measured;
      readonly compiled_ms: Measured;
      readonly ratio: Measured;
    } | null;
  };
  readonly multiply_adds_left: number;
  readonly front: readonly FrontFigure[];
  readonly search: {
    readonly effort: Effort;
    readonly seed: number;
    readonly plans: number;
    readonly plan_samples: number;
  };
  readonly latency: LatencyTable;
}

export interface PlanFile extends ReductionPlan {
  readonly calibration: CalibrationRecord;
}

export const planFileOf = (plan: ReductionPlan, calibration: CalibrationRecord): PlanFile => ({
  schema_version: plan.schema_version,
  semantics: plan.semantics,
  sites: plan.sites.map(({ layer, prune, merge, mergeText }) => ({ layer, prune, merge, mergeText })),
  calibration,
});

/** As text: a site a line, for people who edit them; the rest indented. Ends with a newline. */
export const printPlanFile = ({ calibration, ...plan }: PlanFile): string => {
  const sites = plan.sites.map(
    ({ layer, prune, merge, mergeText }) =>
      `    { "layer": ${layer}, "prune": ${prune}, "merge": ${merge}, "mergeText": ${mergeText} }`,
  );
  const record = JSON.stringify(calibration, undefined, 2).replaceAll('\n', '\n  ');
  return [
    '{',
    `  "schema_version": ${plan.schema_version},`,
    `  "semantics": "${plan.semantics}",`,
    ...(sites.length === 0 ? ['  "sites": [],'] : ['  "sites": [', sites.join(',\n'), '  ],']),
    `  "calibration": ${record}`,
    '}',
    '',
  ].join('\n');
};
