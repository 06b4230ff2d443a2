/**
 * Gathers what `inspect` shows. Works on any model that can be read: what a fact cannot be had for is left out, and
 * what the compiler would refuse is told as data. Changes nothing and writes nothing.
 */
import { inputsBehind } from '../analysis/dependencies.ts';
import { anyShortened, isLabelled, segmentText, tokensOf, type LaneName, type Segment } from '../analysis/labels.ts';
import { bornIn, inputLabels, type LaneHints } from '../analysis/lane-births.ts';
import { shortenedReads, type LaneRead } from '../analysis/lane-reads.ts';
import { lanesAfter, type Lanes } from '../analysis/lanes.ts';
import { kindOf, type CrossModalLayer } from '../analysis/layers.ts';
import { lostTokens } from '../analysis/lost-tokens.ts';
import { maskFactsOf } from '../analysis/mask-facts.ts';
import { shapesOf } from '../analysis/shapes.ts';
import { isFault } from '../analysis/sites.ts';
import type { Understanding } from '../analysis/understanding.ts';
import type { Attention } from '../analysis/attention.ts';
import { compileModel, storedPlan, understandModel } from '../compile.ts';
import { CompileError, type Diagnostic } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-cli.ts';
import { inFile } from '../diagnostics/render.ts';
import { opsetOf, type GraphValue, type Model, type Node } from '../graph/model.ts';
import { usesOf } from '../graph/uses.ts';
import { resolveOptions, type CompileOptions } from '../options.ts';
import { defaultLayers } from '../reduction/choose-plan.ts';
import { parsePlan } from '../reduction/plan.ts';
import { callsReducer } from '../reduction/token-reduce/calls.ts';
import { reducersHere } from '../runtime/kernels.ts';
import {
  typeText,
  type InspectedAttention,
  type InspectedInput,
  type InspectedLayer,
  type InspectedLoss,
  type InspectedOutput,
  type InspectedRead,
  type Inspection,
} from '../report/inspection.ts';
import { toolVersion } from '../version.ts';

const nodeText = (node: Node): string => (node.name === '' ? (node.outputs[0] ?? node.op) : node.name);

const lanesIn = (labels: ReturnType<typeof bornIn>): LaneName[] =>
  (labels ?? []).flatMap((axis) =>
    axis.flatMap((f) => [
      ...(f.tokens ?? []).map((s) => s.lane),
      ...(f.grid === undefined ? [] : (['image'] as const)),
    ]),
  );

/** Lanes born from each input. A lookup that is added to other tokens belongs to theirs. */
const births = (u: Understanding): ReadonlyMap<string, ReadonlySet<LaneName>> => {
  const found = new Map<string, Set<LaneName>>();
  const add = (input: string, lanes: readonly LaneName[]): void => {
    const known = found.get(input) ?? new Set<LaneName>();
    for (const lane of lanes) known.add(lane);
    found.set(input, known);
  };
  for (const [input, labels] of inputLabels(u.model, u.hints)) add(input, lanesIn(labels));
  for (const node of u.model.graph.nodes) {
    const born = bornIn(u.model, u.hints, node);
    if (born === undefined) continue;
    const [output = ''] = node.outputs;
    const sums = usesOf(u.model.graph)
      .consumers(output)
      .filter((use) => use.node.op === 'Add');
    const joined = sums.flatMap((use) => u.lanes.of(use.node.outputs[0] ?? '')?.filter(isLabelled) ?? []);
    const ids = node.inputs[node.op === 'Gather' ? 1 : 0] ?? '';
    for (const input of inputsBehind(u.model)(ids)) add(input, lanesIn(joined.length > 0 ? joined : born));
  }
  return found;
};

const maskInputs = (u: Understanding): ReadonlySet<string> =>
  new Set(u.attentions.flatMap(({ mask }) => (mask === undefined ? [] : [...inputsBehind(u.model)(mask.value)])));

const shapeText = ({ type }: GraphValue): string =>
  type?.dims === undefined ? '[...]' : `[${type.dims.map((d) => d ?? '?').join(', ')}]`;

const inspectInputs = (model: Model, u: Understanding | undefined): readonly InspectedInput[] => {
  const born = u && births(u);
  const masks = u && maskInputs(u);
  return model.graph.inputs
    .filter((input) => !model.graph.constants.has(input.name))
    .map((input) => {
      const lanes = [...(born?.get(input.name) ?? [])];
      const feeds = lanes.length === 0 && masks?.has(input.name) === true ? (['mask'] as const) : lanes;
      return {
        name: input.name,
        type: input.type === undefined ? 'no tensor' : typeText(input.type.dataType),
        shape: shapeText(input),
        feeds,
      };
    });
};

const tokensText = (tokens: readonly Segment[]): string =>
  tokens.length === 0 ? 'unknown tokens' : tokens.map(segmentText).join('+');

const maskOf = (u: Understanding, attention: Attention): Pick<InspectedAttention, 'mask' | 'maskFault'> => {
  const known = (mask: string): Pick<InspectedAttention, 'mask' | 'maskFault'> => ({ mask, maskFault: null });
  // Sizes or averaged masks of shortened tokens: no padding mask any more, and known to be right.
  if (attention.keyTokens.some((s) => s.version !== ''))
    return known(`${attention.mask?.kind ?? 'none'}, of shortened tokens`);
  const facts = maskFactsOf(u.model, attention);
  if ('fault' in facts) return { mask: 'not understood', maskFault: facts.fault };
  if (facts.kind === 'none' || facts.kind === 'multiplicative') return known(facts.kind);
  return known(
    facts.minimum === undefined
      ? `${facts.kind}, hides nothing`
      : `${facts.kind} ${facts.minimum > -1e6 ? facts.minimum : facts.minimum.toExponential(1)}`,
  );
};

const attentionsOf = (layer: CrossModalLayer): readonly Attention[] => [
  ...layer.joint,
  ...layer.textToImage,
  ...layer.imageToText,
];

const inspectAttentions = (u: Understanding): readonly InspectedAttention[] => {
  const layerOf = new Map(u.layers.flatMap((l) => attentionsOf(l).map((a) => [a, l.layer] as const)));
  return u.attentions.map((a) => ({
    node: nodeText(a.product),
    kind: kindOf(a),
    layer: layerOf.get(a) ?? null,
    queries: tokensText(a.queryTokens),
    keys: tokensText(a.keyTokens),
    ...maskOf(u, a),
    spelling: a.spelling,
  }));
};

const inspectLayers = (u: Understanding, chosen: readonly number[]): readonly InspectedLayer[] =>
  u.layers.map((l) => {
    const sites = u.sites[l.layer] ?? [];
    const [some] = attentionsOf(l);
    const faults = sites.flatMap((s) => (isFault(s) ? [{ node: nodeText(s.node), why: s.why }] : []));
    const none =
      sites.length === 0 && some !== undefined
        ? [{ node: nodeText(some.product), why: 'no strategy fits it: no text asks the image' }]
        : [];
    return {
      layer: l.layer,
      kind: [...new Set(attentionsOf(l).map(kindOf))].join(', '),
      isSite: chosen.includes(l.layer),
      faults: [...faults, ...none],
      textFaults: sites.flatMap((s) => (!isFault(s) && 'why' in s.text ? [s.text.why] : [])),
    };
  });

const readText = (read: LaneRead): InspectedRead[] => {
  const node = nodeText(read.event.node);
  switch (read.kind) {
    case 'border':
      return [];
    case 'position': {
      const lane = read.tokens[read.at.segment]?.lane ?? null;
      return [{ node, lane, what: `${lane ?? 'unknown'} token ${read.at.offset} is read and stays as it is` }];
    }
    case 'text-data':
      return [
        {
          node,
          lane: 'text',
          what: `text tokens are read at positions computed from "${read.index}": text keeps its length`,
        },
      ];
    case 'unknown':
      return [{ node, lane: null, what: `not allowed: ${read.event.reason}` }];
  }
};

/** Lanes as they would be if both were shortened at the chosen layers. */
const lanesBehind = (u: Understanding, chosen: readonly number[]): Lanes => {
  const shortenings = chosen.flatMap((layer) =>
    (u.sites[layer] ?? []).flatMap((site) => {
      if (isFault(site)) return [];
      const lanes = [['image', site.image] as const, ...('why' in site.text ? [] : [['text', site.text] as const])];
      return lanes.flatMap(([lane, at]) =>
        at.stream.uses.map(({ node, input }) => ({ node, input, lane, version: `${layer}:${lane}` })),
      );
    }),
  );
  return shortenings.length === 0 ? u.lanes : lanesAfter(u.model, u.hints, shortenings);
};

const inspectOutputs = (model: Model, lanes: Lanes | undefined): readonly InspectedOutput[] =>
  model.graph.outputs.map((output) => {
    const labels = lanes?.of(output.name);
    const tokens = labels?.flatMap((axis) => tokensOf(axis) ?? []) ?? [];
    return {
      name: output.name,
      shape: shapeText(output),
      carries: tokens.length === 0 ? null : tokensText(tokens.map((t) => ({ ...t, version: '' }))),
      shortened: anyShortened(labels),
    };
  });

const inspectLosses = (u: Understanding): readonly InspectedLoss[] =>
  lostTokens(u.lanes).map(({ node, lane, axis, reason }) => ({
    node: nodeText(node),
    op: node.op,
    lane: lane ?? null,
    axis,
    why: reason,
  }));

/** Reads of token positions behind the chosen layers. */
const inspectReads = (u: Understanding, lanes: Lanes): readonly InspectedRead[] => {
  const reads = shortenedReads(u.model, lanes, (v) => shapesOf(u.model).of(v)?.dims).flatMap(readText);
  return [...new Map(reads.map((r) => [`${r.node} ${r.what}`, r])).values()];
};

/** The refusal a step ends in, as data; a bug of ours, too: this page must open whatever happens. */
const tried = <T>(file: string, step: () => T): { readonly result: T } | { readonly refusal: Diagnostic } => {
  try {
    return { result: step() };
  } catch (error) {
    if (error instanceof CompileError) return { refusal: error.diagnostic };
    const message = error instanceof Error ? error.message : String(error);
    return { refusal: say.internalError({ message, version: toolVersion, reproducer: say.reproducerInput(file) }) };
  }
};

const inspectCompiled = (model: Model): Inspection['compiled'] => {
  const stored = storedPlan(model);
  if (stored === undefined && !model.opsets.has('ai.pumer')) return null;
  const plan = stored === undefined ? undefined : parsePlan(stored);
  return {
    plan: typeof plan === 'object' ? plan : null,
    version: model.metadata.get('pumer.version') ?? null,
    reducers: callsReducer(model) ? reducersHere() : null,
  };
};

/** Everything `inspect` tells of a model; `file` is what messages call it. */
export const inspectModel = (
  model: Model,
  file: string,
  options: Pick<CompileOptions, 'textInput' | 'imageInput' | 'lanes'>,
): Inspection => {
  const choices = resolveOptions(options);
  const hints: LaneHints = choices.hints;
  const compiled = inspectCompiled(model);
  const seen = tried(file, () => understandModel(model, hints));
  const u = 'result' in seen ? seen.result : undefined;
  const usual = u === undefined || u.layers.length === 0 ? [] : defaultLayers(u, 'safe');
  const chosen = compiled === null ? usual : (compiled.plan?.sites.map((s) => s.layer) ?? []);
  const behind = u && (compiled === null ? lanesBehind(u, chosen) : u.lanes);
  const outcome = 'refusal' in seen ? seen : tried(file, () => compileModel(model, choices));
  return {
    file,
    irVersion: model.irVersion,
    opset: opsetOf(model),
    nodes: model.graph.nodes.length,
    inputs: inspectInputs(model, u),
    outputs: inspectOutputs(model, behind),
    attentions: u === undefined ? [] : inspectAttentions(u),
    layers: u === undefined ? [] : inspectLayers(u, chosen),
    nearMisses:
      u?.nearMisses.map(({ spelling, at, expected, found }) => ({
        spelling,
        node: nodeText(at),
        op: at.op,
        expected,
        found,
      })) ?? [],
    losses: u === undefined ? [] : inspectLosses(u),
    reads: u === undefined || behind === undefined || compiled !== null ? [] : inspectReads(u, behind),
    compiled,
    refusal: 'refusal' in outcome ? inFile(outcome.refusal, file) : null,
  };
};
