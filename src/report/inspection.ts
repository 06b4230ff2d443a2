/**
 * What the compiler sees in a model, for people: inputs and their lanes, attention, cross-modal layers, why a layer is
 * no site, what was nearly recognised. Only the form: the facts come as data, which `--json` prints as they are.
 */
import type { AttentionKind } from '../analysis/layers.ts';
import type { LaneName } from '../analysis/labels.ts';
import { DataType } from '../graph/model.ts';
import { reducersLine } from '../diagnostics/messages-runtime.ts';
import { diagnosticText } from '../diagnostics/render.ts';
import { plainStyle, type Style } from '../diagnostics/style.ts';
import type { Diagnostic } from '../diagnostics/diagnostic.ts';
import type { ReductionPlan } from '../reduction/plan.ts';
import type { Reducers } from '../runtime/kernels.ts';
import { columns } from './columns.ts';
import { grouped } from './grouped.ts';

export interface InspectedInput {
  readonly name: string;
  readonly type: string;
  readonly shape: string;
  /** Lanes whose tokens are born from it; `mask` where it only says which tokens count. */
  readonly feeds: readonly (LaneName | 'mask')[];
}

export interface InspectedOutput {
  readonly name: string;
  readonly shape: string;
  /** Such as "text[40]+image[145]" where it has an entry per token; null for the others. */
  readonly carries: string | null;
  /** Whether the default sites would shorten it, so that it has to be restored to its full length. */
  readonly shortened: boolean;
}

export interface InspectedLoss {
  readonly node: string;
  readonly op: string;
  readonly lane: LaneName | null;
  readonly axis: number;
  readonly why: string;
}

export interface InspectedAttention {
  /** The node that multiplies queries and keys. */
  readonly node: string;
  readonly kind: AttentionKind;
  /** Cross-modal layer, null for the others. */
  readonly layer: number | null;
  /** Such as "text[40]+image[145]"; a star marks tokens already shortened. */
  readonly queries: string;
  readonly keys: string;
  readonly mask: string;
  /** Why the mask is not proven to be a padding mask; null where it is one, or there is none. */
  readonly maskFault: string | null;
  readonly spelling: string;
}

export interface InspectedLayer {
  readonly layer: number;
  readonly kind: string;
  /** Becomes a site unless told otherwise; in a compiled model: is one. */
  readonly isSite: boolean;
  /** Why it cannot be shortened, per place; empty where it can. */
  readonly faults: readonly { readonly node: string; readonly why: string }[];
  /** Why its text cannot be shortened while its image can. */
  readonly textFaults: readonly string[];
}

export interface InspectedMiss {
  readonly spelling: string;
  readonly node: string;
  readonly op: string;
  readonly expected: string;
  readonly found: string;
}

export interface InspectedRead {
  readonly node: string;
  readonly lane: LaneName | null;
  readonly what: string;
}

export interface Inspection {
  readonly file: string;
  readonly irVersion: number;
  readonly opset: number;
  readonly nodes: number;
  readonly inputs: readonly InspectedInput[];
  readonly outputs: readonly InspectedOutput[];
  readonly attentions: readonly InspectedAttention[];
  readonly layers: readonly InspectedLayer[];
  readonly nearMisses: readonly InspectedMiss[];
  /** Where tokens stop being followed. */
  readonly losses: readonly InspectedLoss[];
  /** Token positions read behind the default sites. */
  readonly reads: readonly InspectedRead[];
  /** Of a compiled model: what it was made with. */
  readonly compiled: {
    readonly plan: ReductionPlan | null;
    readonly version: string | null;
    /** What its reducers run on on this machine; null where they are written in place. */
    readonly reducers: Reducers | null;
  } | null;
  /** What compiling with the default flags would say; null where it would do without a word. */
  readonly refusal: Diagnostic | null;
}

const typeNames: ReadonlyMap<number, string> = new Map(
  Object.entries(DataType).map(([name, number]) => [number, name.toLowerCase()]),
);
export const typeText = (dataType: number): string => typeNames.get(dataType) ?? `type ${dataType}`;

const indented = (rows: readonly string[]): string[] => rows.map((row) => (row === '' ? '' : `  ${row}`));

const section = (style: Style, title: string, rows: readonly string[]): string[] =>
  rows.length === 0 ? [] : ['', style.bold(title), ...indented(rows)];

const table = (style: Style, head: readonly string[], rows: readonly (readonly string[])[]): string[] => {
  if (rows.length === 0) return [];
  const [first = '', ...others] = columns([head, ...rows]);
  return [style.dim(first), ...others];
};

const inputRows = (inputs: readonly InspectedInput[]): string[] =>
  columns(
    inputs.map(({ name, type, shape, feeds }) => [
      name,
      `${type} ${shape}`,
      feeds.length === 0 ? 'no lane' : feeds.join(', '),
    ]),
  );

const outputRows = (outputs: readonly InspectedOutput[]): string[] =>
  columns(
    outputs.map(({ name, shape, carries, shortened }) => [
      name,
      shape,
      `${carries ?? 'no lane'}${shortened ? ', restored to its full length' : ''}`,
    ]),
  );

const noteMark = (attentions: readonly InspectedAttention[], a: InspectedAttention): string =>
  `(${attentions.filter((o) => o.maskFault !== null).indexOf(a) + 1})`;

const attentionRows = (style: Style, attentions: readonly InspectedAttention[]): string[] => [
  ...table(
    style,
    ['layer', 'kind', 'queries', 'keys', 'mask', 'spelling', 'node'],
    attentions.map((a) => [
      a.layer === null ? '-' : `${a.layer}`,
      a.kind,
      a.queries,
      a.keys === a.queries ? 'the same' : a.keys,
      a.maskFault === null ? a.mask : `${a.mask} ${noteMark(attentions, a)}`,
      a.spelling,
      a.node,
    ]),
  ),
  ...attentions.flatMap((a) => (a.maskFault === null ? [] : [`${noteMark(attentions, a)} ${a.maskFault}`])),
];

const layerRows = (style: Style, layers: readonly InspectedLayer[], isCompiled: boolean): string[] =>
  table(
    style,
    ['layer', 'kind', 'site'],
    layers.map((l) => {
      const [fault] = l.faults;
      const can = isCompiled
        ? l.isSite
          ? style.green('yes')
          : '-'
        : l.isSite
          ? style.green('by default')
          : 'possible';
      const text = l.textFaults[0] === undefined ? '' : `, image only: ${l.textFaults[0]}`;
      return [
        `${l.layer}`,
        l.kind,
        fault === undefined || isCompiled
          ? `${can}${isCompiled ? '' : text}`
          : `${style.yellow('no')}: ${fault.why} (node "${fault.node}")`,
      ];
    }),
  );

const planRows = (style: Style, plan: ReductionPlan): string[] =>
  table(
    style,
    ['layer', 'prune', 'merge', 'merge text'],
    plan.sites.map((s) => [`${s.layer}`, `${s.prune}`, `${s.merge}`, `${s.mergeText}`]),
  );

const compiledSection = (style: Style, compiled: Inspection['compiled']): string[] => {
  if (compiled === null) return [];
  const by = compiled.version === null ? '' : ` by pumer-compile ${compiled.version}`;
  const reducers = compiled.reducers === null ? [] : [reducersLine(compiled.reducers)];
  if (compiled.plan === null)
    return section(style, `compiled${by}`, ['the plan it was made with is not in the file', ...reducers]);
  return section(style, `compiled${by} with this plan (semantics ${compiled.plan.semantics})`, [
    ...planRows(style, compiled.plan),
    '',
    `as a file for --plan: ${JSON.stringify(compiled.plan)}`,
    ...reducers,
  ]);
};

const missText = (m: InspectedMiss): string => `spelling ${m.spelling}: expected ${m.expected}, found ${m.found}`;

const lossText = (l: InspectedLoss): string => `axis ${l.axis}, ${l.lane ?? 'several'} tokens: ${l.why}`;

const verdict = (style: Style, seen: Inspection): string => {
  if (seen.compiled !== null) return 'already compiled: it is not compiled again';
  return seen.refusal === null ? style.green('compiles with the default flags') : diagnosticText(seen.refusal, style);
};

/** Lines joined by newlines, without one at the end. */
export const inspectionText = (seen: Inspection, style: Style = plainStyle): string => {
  const cross = seen.layers.length;
  return [
    `${style.bold(seen.file)}: IR ${seen.irVersion}, opset ${seen.opset}, ${seen.nodes} nodes`,
    ...compiledSection(style, seen.compiled),
    ...section(style, 'inputs', inputRows(seen.inputs)),
    ...section(style, 'outputs', outputRows(seen.outputs)),
    ...section(style, `attention layers: ${seen.attentions.length}`, attentionRows(style, seen.attentions)),
    ...section(style, `cross-modal layers: ${cross}`, layerRows(style, seen.layers, seen.compiled !== null)),
    ...section(
      style,
      'token positions read behind the default sites',
      seen.reads.map((r) => `${r.what} (node "${r.node}")`),
    ),
    ...section(
      style,
      `almost attention: ${seen.nearMisses.length}`,
      grouped(seen.nearMisses.map((m) => ({ node: m.node, op: m.op, text: missText(m) }))),
    ),
    // Where layers were found, what is lost elsewhere is of no account.
    ...(cross > 0
      ? []
      : section(
          style,
          'where tokens are followed to',
          grouped(seen.losses.map((l) => ({ node: l.node, op: l.op, text: lossText(l) }))),
        )),
    '',
    verdict(style, seen),
  ].join('\n');
};
