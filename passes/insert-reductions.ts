/**
 * Puts a resolved plan into the graph: one TokenReduce call per lane and site, the masks of everything behind it,
 * reads by position, outputs. Assumes lengths are free; whether anything was missed is for prove-lanes to say.
 */
import type { Understanding } from '../src/analysis/understanding.ts';
import { shapesOf } from '../src/analysis/shapes.ts';
import { GraphEditor } from '../src/graph/editor.ts';
import { opsetOf, type Model } from '../src/graph/model.ts';
import type { ControlChoice } from '../src/reduction/control.ts';
import type { ResolvedPlan } from '../src/reduction/site-plan.ts';
import { tokenReduceFunction } from '../src/reduction/token-reduce/body.ts';
import { TOKEN_REDUCE, TOKEN_REDUCE_QK } from '../src/reduction/token-reduce/contract.ts';
import { carryMasks } from './insertion/masks.ts';
import { restoreOutputs } from './insertion/outputs.ts';
import { mapLinks } from './insertion/links.ts';
import { remapReads } from './insertion/reads.ts';
import type { SaliencySource } from './insertion/saliency.ts';
import { newInsertion, type Settled } from './insertion/session.ts';
import { insertSite } from './insertion/site.ts';

export interface InsertionChoices {
  readonly saliency: SaliencySource;
  readonly outputs: 'restore' | 'refuse';
  /** Another choice of image tokens than the plan's, at its counts. */
  readonly control?: ControlChoice;
}

export interface Inserted {
  readonly model: Model;
  readonly settled: Settled;
}

/** Functions exist from IR 8 on. */
const functionIr = 8;

/** `understood` must be of the model to change, `plan` resolved against it. */
export const insertReductions = (
  understood: Understanding,
  plan: ResolvedPlan,
  choices: InsertionChoices,
): Inserted => {
  const { model } = understood;
  const [first] = plan.sites;
  if (first === undefined) return { model, settled: { written: new Set(), remapped: new Set() } };
  const editor = new GraphEditor(model.graph);
  const session = newInsertion(understood, plan, editor, choices.control);
  for (const site of plan.sites) insertSite(session, site, choices.saliency);
  carryMasks(session);
  mapLinks(session);
  remapReads(session);
  restoreOutputs(session, choices.outputs);
  const stream = first.lanes[0]?.site.stream.value ?? '';
  const dataType = shapesOf(model).of(stream)?.dataType ?? 1;
  const graph = editor.finish();
  const called = [TOKEN_REDUCE, TOKEN_REDUCE_QK].filter(({ domain, name }) =>
    graph.nodes.some((n) => n.op === name && n.domain === domain),
  );
  const opset = opsetOf(model);
  const bodies = called.map(({ name }) => tokenReduceFunction({ name, opset, semantics: plan.semantics, dataType }));
  return {
    model: {
      ...model,
      irVersion: Math.max(model.irVersion, functionIr),
      opsets: new Map([...model.opsets, [TOKEN_REDUCE.domain, TOKEN_REDUCE.version]]),
      graph,
      functions: [...model.functions, ...bodies],
    },
    settled: session.settled,
  };
};
