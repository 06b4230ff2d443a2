/**
 * The plan file that a calibration writes: the plan itself, as `--plan` reads it, what was found about it, and the times
 * it rests on. Readable and editable; docs/plan.schema.json describes it.
 */
import type { ReductionPlan } from '../reduction/plan.ts';
import type { LatencyTable } from './latency-model.ts';

/** Stable: the same facts give the same bytes. `calibration` is any JSON of figures. */
export const printPlanFile = (plan: ReductionPlan, calibration: object, latency: LatencyTable): string =>
  `${JSON.stringify(
    {
      schema_version: plan.schema_version,
      semantics: plan.semantics,
      sites: plan.sites.map(({ layer, prune, merge, mergeText }) => ({ layer, prune, merge, mergeText })),
      calibration,
      latency,
    },
    null,
    2,
  )}\n`;
