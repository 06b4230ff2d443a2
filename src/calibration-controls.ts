/**
 * The controls of a calibration: other ways to spend the work of a plan. Tokens chosen by chance or by strides, tokens
 * averaged with their neighbours, and the unreduced model on smaller pictures. All are judged on the same samples.
 */
import type { LaneSizes } from './calibrate/candidate-model.ts';
import type { Losses } from './calibrate/evaluator.ts';
import type { Halves } from './calibrate/halves.ts';
import { against, verdictOf } from './calibrate/judge.ts';
import { sessionEvaluator, type Scoring } from './calibrate/session-evaluator.ts';
import { openImages, shrunkFeeds, sizeAtShare } from './calibrate/smaller-images.ts';
import type { CalibrationModel } from './calibration-model.ts';
import type { Workshop } from './calibration-workshop.ts';
import { CompileError } from './diagnostics/diagnostic.ts';
import * as say from './diagnostics/messages-calibrate.ts';
import type { Control } from './reduction/control.ts';
import type { ReductionPlan } from './reduction/plan.ts';
import type { ControlFigures, ControlName } from './report/calibration.ts';
import type { SampleSet } from './samples/sample-set.ts';
import { symbolsOf } from './samples/symbols.ts';
import { unlessAborted } from './support/abort.ts';

export interface ControlRequest {
  readonly shop: Workshop;
  readonly candidate: CalibrationModel;
  readonly plan: ReductionPlan;
  /** Of the plan, on the samples that judge. */
  readonly losses: Losses;
  readonly scoring: Scoring;
  readonly samples: SampleSet;
  readonly halves: Halves;
  readonly sizes: LaneSizes;
  readonly seed: number;
  readonly progress: (step: string) => void;
  /** Aborted: controls not done yet are left out, with the reason. */
  readonly signal: AbortSignal;
}

const otherTokens: readonly (readonly [ControlName, Control])[] = [
  ['random pruning', 'random'],
  ['strided pruning', 'strided'],
  ['average pooling', 'pooling'],
  ['random saliency', 'unscored'],
];

const tryOtherTokens = async (
  { shop, candidate, plan, losses, scoring, halves, sizes, seed, signal }: ControlRequest,
  control: ControlName,
  choice: Control,
): Promise<ControlFigures> => {
  // Chance instead of looks at text changes nothing where nothing is pruned by them.
  if (choice === 'unscored' && plan.sites.every((site) => site.prune === 0))
    return { control, why: say.prunesNothing() };
  const layers = candidate.sites.map((s) => s.layer);
  const model = shop.calibrationModel({ semantics: candidate.semantics, layers, control: choice });
  const session = await shop.openCalibration(model);
  try {
    const found = await sessionEvaluator(session, { feedsFor: (p) => model.feedsFor(p, seed) }, scoring).losses(
      plan,
      halves.judging,
      signal,
    );
    const none = { ...plan, sites: [] };
    const left = model.costOf(plan, sizes).multiplyAdds / model.costOf(none, sizes).multiplyAdds;
    return { control, ...verdictOf(found), multiplyAddsLeft: left, against: against(found, losses) };
  } finally {
    await session.release();
  }
};

const trySmallerImages = async ({
  shop,
  candidate,
  plan,
  losses,
  scoring,
  samples,
  halves,
  sizes,
  signal,
}: ControlRequest): Promise<ControlFigures> => {
  const control = 'smaller images';
  const images = openImages(shop.model);
  if ('why' in images) return { control, why: images.why };
  const [batch] = samples.batches(halves.judging, 1);
  const symbols = batch === undefined ? new Map<string, number>() : symbolsOf(shop.model, batch.feeds);
  const share =
    candidate.costOf(plan, sizes).multiplyAdds / candidate.costOf({ ...plan, sites: [] }, sizes).multiplyAdds;
  const smaller = sizeAtShare(shop.model, images, symbols, share);
  if (smaller === undefined) return { control, why: say.noSmallerPicture() };
  const session = await shop.open(shop.original);
  try {
    const found = await scoring.losses(
      (feeds) => session.run(shrunkFeeds(shop.model, images, feeds, smaller.size)),
      halves.judging,
      signal,
    );
    return {
      control,
      ...verdictOf(found),
      multiplyAddsLeft: smaller.share,
      against: against(found, losses),
    };
  } catch (error) {
    if (!(error instanceof CompileError)) throw error;
    return { control, why: say.pictureSizeNotTaken(smaller.size.join(' x ')) };
  } finally {
    await session.release();
  }
};

/** In a fixed order. A plan that removes nothing has no controls. */
export const tryControls = async (request: ControlRequest): Promise<readonly ControlFigures[]> => {
  const { plan, progress, signal } = request;
  if (plan.sites.length === 0) return [];
  const controls: readonly (readonly [ControlName, () => Promise<ControlFigures>])[] = [
    ...otherTokens.map(([name, choice]) => [name, () => tryOtherTokens(request, name, choice)] as const),
    ['smaller images', () => trySmallerImages(request)],
  ];
  const found: ControlFigures[] = [];
  for (const [control, attempt] of controls) {
    progress(say.tryingControl(control));
    found.push((await unlessAborted(signal, attempt)) ?? { control, why: say.interruptedBefore() });
  }
  return found;
};
