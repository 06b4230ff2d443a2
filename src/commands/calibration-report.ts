/**
 * A calibration as figures for people and programs: the report, and the record that the plan file keeps.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { Calibration } from '../calibrate.ts';
import type { CalibrationRecord } from '../calibrate/plan-file.ts';
import type { CalibrateFlags } from '../flags/calibrate.ts';
import { aroundMean } from '../metrics/interval.ts';
import type { CalibrationReport } from '../report/calibration.ts';
import { toolVersion } from '../version.ts';

/** What was asked for, as far as it is told again. */
interface Asked extends Pick<CalibrateFlags, 'budget' | 'effort' | 'seed' | 'outputName'> {
  readonly input: string;
  readonly data: string;
}

const sha256Of = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

const budgetText = ({
  maxDrop,
  minAgreement,
  minSpeedup,
  maxLatencyMs,
}: CalibrateFlags['budget']): CalibrationReport['budget'] => ({
  ...(maxDrop !== undefined && { 'max-drop': maxDrop }),
  ...(minAgreement !== undefined && { 'min-agreement': minAgreement }),
  ...(minSpeedup !== undefined && { 'min-speedup': minSpeedup }),
  ...(maxLatencyMs !== undefined && { 'max-latency-ms': maxLatencyMs }),
});

/** `metric` is the name of the metric the budget is on, `labelled` whether the samples have labels. */
export const reportOf = (
  { input, data, budget, effort, seed }: Asked,
  found: Calibration,
  metric: string,
  labelled: boolean,
): CalibrationReport => {
  const { latency, result, candidate, plan, halves, sizes, seconds } = found;
  const { table } = latency;
  const { sites } = candidate.costOf(plan, sizes);
  return {
    model: input,
    data,
    samples: { choosing: halves.choosing.length, judging: halves.judging.length, labelled },
    metric,
    unreduced: metric === 'accuracy' ? found.unreduced : null,
    budget: budgetText(budget),
    missed: found.missed,
    interrupted: found.interrupted,
    closed: candidate.closed,
    sites: plan.sites.flatMap(({ layer, prune, merge, mergeText }) => {
      const tokens = sites.find((s) => s.layer === layer);
      return tokens === undefined ? [] : [{ layer, prune, merge, mergeText, image: tokens.image, text: tokens.text }];
    }),
    chosen: found.chosen,
    front: found.front,
    uncalibrated: found.uncalibrated,
    controls: found.controls,
    latency: {
      machine: table.machine,
      threads: table.threads,
      batch: table.batch,
      timedPlans: table.timed.length,
      error: latency.leftOut,
    },
    search: {
      effort,
      seed,
      plans: result.tried.plans,
      evaluations: result.tried.planSamples,
      evaluationsPerMinute: (60 * result.tried.planSamples) / Math.max(seconds.search, 1e-3),
    },
    seconds,
  };
};

export const recordOf = (
  report: CalibrationReport,
  { latency, result, chosen }: Calibration,
  request: Asked,
): CalibrationRecord => {
  const { samples, search, missed, interrupted } = report;
  const { drop, agreement } = result.chosen;
  const { measured } = chosen;
  return {
    tool: { name: 'pumer-compile', version: toolVersion },
    model: { file: basename(request.input), sha256: sha256Of(request.input) },
    data: { source: request.data, choosing: samples.choosing, judging: samples.judging, labelled: samples.labelled },
    metric: { name: report.metric, output: request.outputName ?? null },
    budget: request.budget,
    missed,
    interrupted,
    choosing: {
      samples: samples.choosing,
      drop: aroundMean(drop.mean, drop.standardError),
      agreement: aroundMean(agreement.mean, agreement.standardError),
    },
    held_out: { samples: samples.judging, drop: chosen.drop, agreement: chosen.agreement },
    speedup: {
      predicted: chosen.predictedSpeedup,
      measured:
        measured === undefined
          ? null
          : { original_ms: measured.original, compiled_ms: measured.compiled, ratio: measured.ratio },
    },
    multiply_adds_left: chosen.multiplyAddsLeft,
    front: result.front.map((p) => ({
      sites: p.plan.sites,
      drop: p.drop.mean,
      agreement: p.agreement.mean,
      predicted_speedup: 1 / p.ratio,
    })),
    search: { effort: request.effort, seed: request.seed, plans: search.plans, plan_samples: search.evaluations },
    latency: latency.table,
  };
};
