/**
 * Plans to hold a calibration model against the compiler with: few sites and many, ratios that round to nothing, that are
 * odd to the last place, that meet the caps.
 */
import { calibrationModel, type CalibrationChoices, type CalibrationModel } from '../../src/calibration-model.ts';
import type { Model } from '../../src/graph/model.ts';
import type { PlannedSite, ReductionPlan, Semantics } from '../../src/reduction/plan.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';
import type { Fixture } from '../compile/fixtures.ts';

export const semanticsList: readonly Semantics[] = ['safe', 'pumer'];

export const planOf = (semantics: Semantics, sites: readonly PlannedSite[]): ReductionPlan => ({
  schema_version: 1,
  semantics,
  sites,
});

export const plansFor = ({ layers, mergesText }: Fixture, semantics: Semantics): readonly ReductionPlan[] => {
  const text = (ratio: number): number => (mergesText ? ratio : 0);
  const site = (layer: number, prune: number, merge: number, mergeText: number): PlannedSite => ({
    layer,
    prune,
    merge,
    mergeText: text(mergeText),
  });
  return [
    planOf(semantics, [site(1, 0.1, 0.3, 0.2), site(3, 0.2371, 0, 0)]),
    // 0.004 of a hundred tokens is none: in `pumer` the site then does nothing, its text included.
    planOf(semantics, [site(0, 0.004, 0.2, 0.3), site(2, 0.3333, 0.4, 0), site(layers - 1, 0.1, 0.1, 0.1)]),
    planOf(semantics, [site(layers - 2, 0.7, 0.9, 0.9)]),
    planOf(
      semantics,
      Array.from({ length: layers }, (_, layer) => site(layer, 0.0617, 0.1049, 0.0701)),
    ),
  ];
};

const made = new WeakMap<Model, Map<string, CalibrationModel>>();

/** Made once for a model and choices. */
export const calibrationOf = (model: Model, choices: Partial<CalibrationChoices>): CalibrationModel => {
  const known = made.get(model) ?? new Map<string, CalibrationModel>();
  made.set(model, known);
  const key = JSON.stringify(choices);
  const calibration =
    known.get(key) ??
    calibrationModel(model, { semantics: 'safe', hints: {}, saliency: 'probs', outputs: 'restore', ...choices });
  known.set(key, calibration);
  return calibration;
};

/** The largest difference of any output, as a share of that output's largest element; Infinity where shapes differ. */
export const apart = (a: ReadonlyMap<string, TensorData>, b: ReadonlyMap<string, TensorData>): number => {
  let worst = a.size === b.size ? 0 : Infinity;
  for (const [name, { dims, data }] of a) {
    const other = b.get(name);
    if (other?.dims.join() !== dims.join()) return Infinity;
    const numbers = Array.from(data, Number);
    const scale = Math.max(...numbers.map(Math.abs));
    for (const [i, v] of numbers.entries()) {
      const difference = Math.abs(v - Number(other.data[i])) / scale;
      worst = Number.isNaN(difference) ? Infinity : Math.max(worst, difference);
    }
  }
  return worst;
};
