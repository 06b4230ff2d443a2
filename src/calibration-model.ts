/**
 * The calibration model: the original with every layer that can be one as a site, whose ratios are inputs. One session
 * of it runs every plan, with the token decisions that the plan compiled for itself makes. It goes through the ordinary
 * pipeline, proof included.
 */
import { resolvePlan } from '../passes/plan-sites.ts';
import { isFault } from './analysis/sites.ts';
import type { LaneHints } from './analysis/lane-births.ts';
import type { Understanding } from './analysis/understanding.ts';
import type { CandidateModel, OpenSite } from './calibrate/candidate-model.ts';
import { planCosts } from './calibrate/plan-cost.ts';
import { applyPlan, metadataKeys, prepareModel, type CompileChoices } from './compile.ts';
import { CompileError, newReport, type Diagnostic } from './diagnostics/diagnostic.ts';
import * as say from './diagnostics/messages.ts';
import { DataType, type Model, type ValueName } from './graph/model.ts';
import { SEED_INPUT, type Control, type ControlChoice } from './reduction/control.ts';
import { ratioUnits } from './reduction/counts.ts';
import type { PlannedSite, ReductionPlan, Semantics, SiteRatios } from './reduction/plan.ts';
import { ratioInput, type ResolvedPlan } from './reduction/site-plan.ts';
import type { ClosedLane } from './report/calibration.ts';
import type { TensorData } from './runtime/tensor-data.ts';
import { invariant } from './support/assert.ts';
import { toolVersion } from './version.ts';

export interface CalibrationChoices extends Pick<CompileChoices, 'saliency' | 'outputs'> {
  readonly semantics: Semantics;
  readonly hints: LaneHints;
  /** Layers that may become sites; all of them where not given. */
  readonly layers?: readonly number[];
  /** Another choice of image tokens than the plans', at their counts. */
  readonly control?: Control;
}

export interface CalibrationModel extends CandidateModel {
  readonly closed: readonly ClosedLane[];
}

interface Built {
  readonly model: Model;
  readonly resolved: ResolvedPlan;
  readonly notes: readonly Diagnostic[];
}

/** What may be other than 0 at a layer. */
type Opening = Omit<OpenSite, 'layer'>;

/** The first is the widest. Without an image that can be shortened `pumer` does nothing to the text (rule 6). */
const openings = (semantics: Semantics): readonly Opening[] => [
  { image: true, text: true },
  { image: true, text: false },
  ...(semantics === 'safe' ? [{ image: false, text: true }] : []),
];

/** Any ratio above 0 says that a lane is open. */
const OPEN = 0.1;

const plannedSite = ({ layer, image, text }: OpenSite): PlannedSite => ({
  layer,
  prune: image ? OPEN : 0,
  merge: image ? OPEN : 0,
  mergeText: text ? OPEN : 0,
});

/** The lanes that came out shortened. */
const openedBy = ({ sites }: ResolvedPlan): readonly OpenSite[] => {
  const layers = [...new Set(sites.map((s) => s.layer))];
  return layers.map((layer) => {
    const lanes = sites.filter((s) => s.layer === layer).flatMap((s) => s.lanes.map((l) => l.lane));
    return { layer, image: lanes.includes('image'), text: lanes.includes('text') };
  });
};

/**
 * Opens as much as is proven. What nobody can shorten is told layer by layer; what only goes wrong together (a position
 * read between two layers, say) closes all text first, then layer by layer from the shallowest, which has most behind it.
 */
const openAll = (
  original: Model,
  understanding: Understanding,
  layers: readonly number[],
  choices: CalibrationChoices,
): { built: Built; closed: readonly ClosedLane[] } => {
  const { semantics } = choices;
  const build = (wanted: readonly OpenSite[]): Built | CompileError => {
    try {
      const report = newReport();
      const request = { semantics, sites: wanted.map(plannedSite), textExplicit: false, ratiosGiven: true };
      const resolved = resolvePlan(understanding, request, report);
      const { saliency, outputs } = choices;
      const control: ControlChoice | undefined = choices.control && { control: choices.control, seed: 'given' };
      const inserting = { ops: 'function', saliency, outputs, ...(control && { control }) } as const;
      const model = applyPlan(original, understanding, resolved, inserting, report);
      return { model, resolved, notes: report.diagnostics };
    } catch (error) {
      if (error instanceof CompileError) return error;
      throw error;
    }
  };
  const closed: ClosedLane[] = [];
  const close = (layer: number, what: ClosedLane['what'], { diagnostic: why }: CompileError): void => {
    closed.push({ layer, what, why });
  };
  let first: CompileError | undefined;
  const attempt = (wanted: readonly OpenSite[]): Built | CompileError => {
    const made = build(wanted);
    if (made instanceof CompileError) first ??= made;
    return made;
  };
  const [widest, ...narrower] = openings(semantics) as [Opening, ...Opening[]];
  let wanted = layers.map((layer): OpenSite => ({ layer, ...widest }));
  let made = attempt(wanted);
  if (made instanceof CompileError)
    wanted = wanted.flatMap((site) => {
      const alone = build([site]);
      if (!(alone instanceof CompileError)) return [site];
      const found = narrower
        .map((n) => ({ ...n, layer: site.layer }))
        .find((n) => !(build([n]) instanceof CompileError));
      close(site.layer, found === undefined ? 'layer' : found.image ? 'text' : 'image', alone);
      return found === undefined ? [] : [found];
    });
  if (made instanceof CompileError && wanted.length > 0) made = attempt(wanted);
  if (made instanceof CompileError && wanted.some((w) => w.text && w.image)) {
    for (const { layer, text } of wanted) if (text) close(layer, 'text', made);
    wanted = wanted.filter((w) => w.image).map((w) => ({ ...w, text: false }));
    made = attempt(wanted);
  }
  while (made instanceof CompileError && wanted.length > 1) {
    close(wanted[0]?.layer ?? 0, 'layer', made);
    wanted = wanted.slice(1);
    made = attempt(wanted);
  }
  if (made instanceof CompileError) throw first ?? made;
  return { built: made, closed };
};

/** Texts that planning left alone with a note only, as it does where nobody asked for merging them. */
const textLeftAlone = (
  u: Understanding,
  { resolved, notes }: Built,
  closed: readonly ClosedLane[],
): readonly ClosedLane[] =>
  openedBy(resolved).flatMap(({ layer, text }): ClosedLane[] => {
    if (text || closed.some((c) => c.layer === layer)) return [];
    const why = u.sites[layer]?.flatMap((s) => (isFault(s) || !('why' in s.text) ? [] : [s.text.why]))[0];
    const note =
      why === undefined ? notes.find((n) => n.code === 'text-lane-fixed') : say.textLaneNotReducible(layer, why);
    return note === undefined ? [] : [{ layer, what: 'text', why: note }];
  });

const int64 = (value: bigint): TensorData => ({
  dataType: DataType.INT64,
  dims: [1],
  data: BigInt64Array.of(value),
});

const feedsOf = (
  plan: ReductionPlan,
  semantics: Semantics,
  sites: readonly OpenSite[],
): ReadonlyMap<ValueName, TensorData> => {
  invariant(plan.semantics === semantics, `a plan for ${plan.semantics} in a calibration of ${semantics}`);
  const feeds = new Map<ValueName, TensorData>();
  const feed = (layer: number, which: keyof SiteRatios, isOpen: boolean): void => {
    const given = plan.sites.find((s) => s.layer === layer)?.[which] ?? 0;
    const units = ratioUnits(given);
    invariant(units !== undefined, `the ratio ${given} of layer ${layer} has too many places for a calibration`);
    invariant(isOpen || units === 0n, `${which} of layer ${layer} is not open`);
    if (isOpen) feeds.set(ratioInput(layer, which), int64(units));
  };
  for (const layer of new Set([...sites.map((s) => s.layer), ...plan.sites.map((s) => s.layer)])) {
    const site = sites.find((s) => s.layer === layer);
    feed(layer, 'prune', site?.image === true);
    feed(layer, 'merge', site?.image === true);
    feed(layer, 'mergeText', site?.text === true);
  }
  return feeds;
};

/** Throws a CompileError for a model of which no layer can be a site. */
export const calibrationModel = (original: Model, choices: CalibrationChoices): CalibrationModel => {
  const { semantics } = choices;
  const understanding = prepareModel(original, choices.hints, newReport());
  const known = understanding.layers.map((l) => l.layer);
  for (const layer of choices.layers ?? [])
    if (!known.includes(layer)) throw new CompileError(say.layerOutOfRange(layer, known));
  const layers = [...new Set(choices.layers ?? known)].sort((a, b) => a - b);
  const { built, closed } = openAll(original, understanding, layers, choices);
  const sites = openedBy(built.resolved);
  const hasSeed = built.model.graph.inputs.some((i) => i.name === SEED_INPUT);
  const metadata = new Map([
    ...built.model.metadata,
    [metadataKeys.calibration, JSON.stringify({ schema_version: 1, semantics, sites, control: choices.control })],
    [metadataKeys.version, toolVersion],
  ]);
  return {
    semantics,
    model: { ...built.model, metadata },
    sites,
    closed: [...closed, ...textLeftAlone(understanding, built, closed)],
    feedsFor: (plan, seed = 0) => {
      invariant(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31 - 1, `${seed} is no seed`);
      const feeds = feedsOf(plan, semantics, sites);
      return hasSeed ? new Map([...feeds, [SEED_INPUT, int64(BigInt(seed))]]) : feeds;
    },
    ...planCosts(understanding, built.resolved),
  };
};
