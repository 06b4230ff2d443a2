/**
 * The whole compiler on one screen: read, understand, plan, insert, prove, tidy. It alone puts passes together.
 */
import { attentionPatterns } from '../passes/patterns/index.ts';
import { freeLengths, open, splitReaders, tidy } from '../passes/pipeline.ts';
import { insertReductions } from '../passes/insert-reductions.ts';
import { lowerFused, type LoweredModel } from '../passes/lower-fused.ts';
import { resolvePlan } from '../passes/plan-sites.ts';
import { paddingCounts } from '../passes/planning/padding-counts.ts';
import { proveLanes } from '../passes/prove-lanes.ts';
import { siteStrategies } from '../passes/strategies/index.ts';
import { valuesAfter } from './analysis/dependencies.ts';
import { keyValueCache } from './analysis/kv-cache.ts';
import type { LaneHints } from './analysis/lane-births.ts';
import { isFault } from './analysis/sites.ts';
import { understand, type Understanding } from './analysis/understanding.ts';
import { CompileError, newReport, type Report } from './diagnostics/diagnostic.ts';
import * as say from './diagnostics/messages.ts';
import { opsetOf, type Model } from './graph/model.ts';
import { choosePlan, type RatioChoices } from './reduction/choose-plan.ts';
import type { ControlChoice } from './reduction/control.ts';
import { printPlan, type ReductionPlan } from './reduction/plan.ts';
import type { ResolvedPlan } from './reduction/site-plan.ts';
import { runPasses } from './rewrite/pass.ts';
import { noCrossModal } from './report/no-cross-modal.ts';
import { memoised } from './support/memo.ts';

export interface CompileChoices extends RatioChoices {
  readonly ops: 'function' | 'inline';
  readonly saliency: 'probs' | 'recompute';
  readonly outputs: 'restore' | 'refuse';
  readonly hints: LaneHints;
  /** Another choice of image tokens than the plan's, at its counts: what calibration compares a plan with. */
  readonly control?: ControlChoice;
  /** Written to the metadata beside the plan. */
  readonly toolVersion: string;
}

export interface Compiled {
  readonly model: Model;
  readonly plan: ReductionPlan;
  readonly resolved: ResolvedPlan;
  /** Of the model as it was planned on, lengths freed. */
  readonly understanding: Understanding;
  readonly report: Report;
}

export const metadataKeys = {
  plan: 'pumer.plan',
  version: 'pumer.version',
  /** Instead of a plan: the layers of a calibration model. */
  calibration: 'pumer.calibration',
} as const;

/** The plan a compiled model was made with, as stored in its metadata. */
export const storedPlan = (model: Model): string | undefined => model.metadata.get(metadataKeys.plan);

const isCompiled = (model: Model): boolean =>
  storedPlan(model) !== undefined || model.metadata.has(metadataKeys.calibration) || model.opsets.has('ai.pumer');

/** The model with functions and settled branches written out, then fused operators as standard ones. */
const opened: (model: Model) => LoweredModel = memoised((model) => lowerFused(runPasses(model, open, newReport())));

/** What the compiler sees in a model: fused operators opened, shared quantisers split, its meaning unchanged. */
export const understandModel = (original: Model, hints: LaneHints): Understanding => {
  const { model, whole } = opened(original);
  const seen = understand(model, hints, attentionPatterns, siteStrategies);
  const asked = seen.layers.flatMap((l) => l.textToImage);
  const parted = runPasses(model, splitReaders(asked), newReport());
  const u = parted === model ? seen : understand(parted, hints, attentionPatterns, siteStrategies);
  return { ...u, nearMisses: [...u.nearMisses, ...whole.map(say.fusedStaysWhole)] };
};

const freed = (seen: Understanding, report: Report): Understanding => {
  const firstContexts = seen.layers
    .slice(0, 1)
    .flatMap((l) => [...l.joint, ...l.textToImage, ...l.imageToText])
    .map((a) => a.context);
  const streams = seen.sites.flat().flatMap((s) => (isFault(s) ? [] : [s.image.stream.value]));
  const sources = [...firstContexts, ...streams];
  const passes = freeLengths({ hints: seen.hints, behind: (m) => valuesAfter(m, sources) });
  const model = runPasses(seen.model, passes, report);
  return model === seen.model ? seen : understand(model, seen.hints, attentionPatterns, siteStrategies);
};

/** What every compilation starts from: lengths freed. Throws a CompileError for a model that cannot be reduced at all. */
export const prepareModel = (original: Model, hints: LaneHints, report: Report): Understanding => {
  if (isCompiled(original)) throw new CompileError(say.alreadyCompiled());
  if (opsetOf(original) < 11) throw new CompileError(say.opsetTooOld(opsetOf(original)));
  const cache = keyValueCache(original);
  if (cache !== undefined) throw new CompileError(say.keyValueCache(cache.input, { node: cache.node.name }));
  const seen = understandModel(original, hints);
  if (seen.layers.length === 0) throw new CompileError(noCrossModal(seen));
  const understanding = freed(seen, report);
  report.diagnostics.push(...paddingCounts(understanding, opened(original)));
  return understanding;
};

/** Inserts what is planned, proves it and tidies up. Throws a CompileError where it is not proven. */
export const applyPlan = (
  original: Model,
  understanding: Understanding,
  resolved: ResolvedPlan,
  choices: Pick<CompileChoices, 'ops' | 'saliency' | 'outputs' | 'control'>,
  report: Report,
): Model => {
  const inserted = insertReductions(understanding, resolved, choices);
  proveLanes(inserted.model, understanding.hints, attentionPatterns, inserted.settled);
  return runPasses(inserted.model, tidy(choices.ops, resolved.semantics, opened(original)), report);
};

/** Throws a CompileError for what is refused, an InternalError for a bug of ours. */
export const compileModel = (original: Model, choices: CompileChoices): Compiled => {
  const report = newReport();
  const understanding = prepareModel(original, choices.hints, report);
  const { plan, textExplicit } = choosePlan(choices, understanding, report);
  const resolved = resolvePlan(understanding, { ...plan, textExplicit }, report);
  const model = applyPlan(original, understanding, resolved, choices, report);
  if (resolved.sites.length === 0 && plan.sites.some((s) => s.prune + s.merge + s.mergeText > 0))
    report.diagnostics.push(say.nothingShortened());
  // A model nothing was done to stays an ordinary one, to be compiled another day.
  if (resolved.sites.length === 0) return { model, plan, resolved, understanding, report };
  const metadata = new Map([
    ...model.metadata,
    [metadataKeys.plan, printPlan(plan)],
    [metadataKeys.version, choices.toolVersion],
  ]);
  return { model: { ...model, metadata }, plan, resolved, understanding, report };
};
