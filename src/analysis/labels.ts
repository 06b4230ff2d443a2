/**
 * The labels lane tracing puts on axes: which modality's tokens lie along an axis, in which order, and whether a
 * reduction has already shortened them. Only the data and how two labels meet; `lanes.ts` moves them over operators.
 */
import { addDims, constDim, dimText, dimValue, productOf, sameDim, sumDims, type Dim } from './dim.ts';

export type LaneName = 'text' | 'image' | 'other';

/** A run of tokens of one modality along an axis. */
export interface Segment {
  readonly lane: LaneName;
  readonly length: Dim;
  /** '' until a reduction shortens the lane; then the name of the reducer's node. */
  readonly version: string;
  /** Versions before this one, oldest first; none for tokens nobody has shortened. */
  readonly earlier?: readonly string[];
  /** A lookup whose lane gives way to that of the value it is added to (type, position and box tables). */
  readonly weak?: boolean;
}

/** One factor of an axis: [B*T] is an axis of two factors. Row-major, outermost first. */
export interface Factor {
  readonly dim: Dim;
  readonly tokens?: readonly Segment[];
  /** A spatial axis of an image feature map, not yet flattened to tokens. */
  readonly grid?: 'h' | 'w';
  /** The rows of the batch, wherever a layout puts them: [T, B, C], heads folded in as [B*H, T, d]. */
  readonly rows?: true;
}

export type Axis = readonly Factor[];
/** One entry per axis of the value. */
export type Labels = readonly Axis[];

export const plainAxis = (dim: Dim): Axis => [{ dim }];
export const tokensAxis = (tokens: readonly Segment[]): Axis => [{ dim: sumDims(tokens.map((s) => s.length)), tokens }];
export const rowsAxis = (dim: Dim): Axis => [{ dim, rows: true }];
export const axisDim = (axis: Axis): Dim => productOf(axis.map((f) => f.dim));

/** The tokens of an axis that is one lane axis and nothing else. */
export const tokensOf = (axis: Axis | undefined): readonly Segment[] | undefined =>
  axis?.length === 1 ? axis[0]?.tokens : undefined;

export const isLabelled = (axis: Axis): boolean => axis.some((f) => f.tokens !== undefined || f.grid !== undefined);
export const hasRows = (axis: Axis): boolean => axis.some((f) => f.rows === true);
/** Rows of the batch and nothing else. */
export const isRows = (axis: Axis | undefined): boolean => axis?.length === 1 && axis[0]?.rows === true;
/** Anything the trace follows. */
export const isFollowed = (axis: Axis): boolean => isLabelled(axis) || hasRows(axis);
export const isShortened = (axis: Axis): boolean => axis.some((f) => f.tokens?.some((s) => s.version !== '') ?? false);
/** Shortened tokens anywhere on the value: the compiler must understand every operator that reads it. */
export const anyShortened = (labels: Labels | undefined): boolean => labels?.some(isShortened) ?? false;

/** A segment after one more reduction. */
export const nextVersion = (s: Segment, version: string): Segment => ({
  ...s,
  version,
  earlier: [...(s.earlier ?? []), s.version],
});

/** True where `b` is what later reductions made of the tokens of `a`. */
export const isEarlier = (a: Segment, b: Segment): boolean =>
  (b.earlier?.includes(a.version) ?? false) && (a.lane === b.lane || a.weak === true || a.lane === 'other');

export const segmentText = (s: Segment): string => `${s.lane}[${dimText(s.length)}]${s.version === '' ? '' : '*'}`;
export const axisText = (axis: Axis): string =>
  axis
    .map((f) => f.tokens?.map(segmentText).join('+') ?? (f.grid ? `${f.grid}(${dimText(f.dim)})` : dimText(f.dim)))
    .join('·');

/** Flattened rows and columns of a feature map, in that order, are image tokens. */
export const settleGrid = (axis: Axis): Axis => {
  const settled: Factor[] = [];
  for (const factor of axis) {
    const before = settled[settled.length - 1];
    if (before?.grid === 'h' && factor.grid === 'w') {
      const length = productOf([before.dim, factor.dim]);
      settled[settled.length - 1] = { dim: length, tokens: [{ lane: 'image', length, version: '' }] };
    } else if (!(dimValue(factor.dim) === 1 && factor.tokens === undefined) || axis.length === 1) settled.push(factor);
  }
  return settled.length === 0 ? [{ dim: axis[0]?.dim as Dim }] : settled;
};

/** Two operands meet on an axis: the label of the result, and what is wrong with the meeting, if anything. */
export interface Meeting {
  readonly axis: Axis;
  readonly fault?: string;
}

const merge = (a: Segment, b: Segment): { segment: Segment; fault?: string } => {
  if (a.version !== b.version) {
    // An unlabelled value may meet tokens nobody has shortened: they are still where the exporter saw them.
    const newer = a.version === '' || isEarlier(a, b) ? b : a;
    return { segment: newer, fault: `meets ${newer.lane} tokens before and after a reduction` };
  }
  if (a.lane === b.lane) return { segment: a.weak ? b : a };
  if (a.lane === 'other' || a.weak) return { segment: b };
  if (b.lane === 'other' || b.weak) return { segment: a };
  return { segment: a, fault: `joins ${a.lane} tokens with ${b.lane} tokens, one to one` };
};

/** Runs side by side that are nobody's came to be one: cut again where the other side has its borders. */
const cutAlong = (coarse: readonly Segment[], fine: readonly Segment[]): readonly Segment[] | undefined => {
  const pieces: Segment[] = [];
  for (const run of coarse) {
    const loose = run.lane === 'other' && run.version === '';
    let covered = constDim(0);
    for (
      let next = fine[pieces.length];
      next !== undefined && !sameDim(covered, run.length);
      next = fine[pieces.length]
    ) {
      if (!sameDim(next.length, run.length) && (!loose || next.version !== '')) return undefined;
      covered = addDims(covered, next.length);
      pieces.push({ ...run, length: next.length });
    }
    if (!sameDim(covered, run.length)) return undefined;
  }
  return pieces.length === fine.length ? pieces : undefined;
};

const meetTokens = (a: readonly Segment[], b: readonly Segment[]): { tokens: readonly Segment[]; fault?: string } => {
  if (a.length === b.length) {
    const merged = a.map((segment, i) => merge(segment, b[i] as Segment));
    const uneven = a.find((s, i) => !sameDim(s.length, (b[i] as Segment).length));
    const fault =
      merged.find((m) => m.fault !== undefined)?.fault ?? (uneven && `meets ${uneven.lane} tokens of another length`);
    return { tokens: merged.map((m) => m.segment), ...(fault !== undefined && { fault }) };
  }
  // The finer label tells more, as long as the coarser one has no claim of its own.
  const [fine, coarse] = a.length > b.length ? [a, b] : [b, a];
  const cut = cutAlong(coarse, fine);
  if (cut !== undefined) return meetTokens(fine, cut);
  const [only] = coarse;
  const loose =
    coarse.length === 1 && only !== undefined && (only.weak === true || only.lane === 'other') && only.version === '';
  const shortened = fine.some((s) => s.version !== '');
  return loose && !shortened
    ? { tokens: fine }
    : { tokens: fine, fault: `meets tokens laid out differently (${coarse.map(segmentText).join('+')})` };
};

/** Rows of the batch meet something with a row for each, or rows that lie the same way; else nobody knows. */
const meetRows = (a: Axis, b: Axis): Axis => {
  if (!hasRows(a)) return b;
  const alike = a.length === b.length && a.every((f, i) => sameDim(f.dim, b[i]?.dim as Dim) && f.rows === b[i]?.rows);
  return !hasRows(b) || alike ? a : plainAxis(axisDim(a));
};

/** Elementwise operators: both operands have this axis, neither has size 1. */
export const meet = (a: Axis, b: Axis): Meeting => {
  if (!isLabelled(a) && !isLabelled(b)) return { axis: meetRows(a, b) };
  if (!isLabelled(b) || !isLabelled(a)) {
    const labelled = isLabelled(a) ? a : b;
    return isShortened(labelled)
      ? { axis: labelled, fault: 'meets a value with one entry per token that does not come from the shortened tokens' }
      : { axis: labelled };
  }
  const ta = tokensOf(a);
  const tb = tokensOf(b);
  if (ta !== undefined && tb !== undefined) {
    const { tokens, fault } = meetTokens(ta, tb);
    const whole = [{ dim: sumDims(tokens.map((s) => s.length)), tokens }];
    return { axis: whole, ...(fault !== undefined && { fault }) };
  }
  const same =
    a.length === b.length &&
    a.every((f, i) => {
      const g = b[i] as Factor;
      return (
        f.grid === g.grid &&
        sameDim(f.dim, g.dim) &&
        (f.tokens === undefined) === (g.tokens === undefined) &&
        (f.tokens ?? []).every((s, k) => s.lane === g.tokens?.[k]?.lane && s.version === g.tokens[k].version)
      );
    });
  return same ? { axis: hasRows(a) ? a : b } : { axis: a, fault: 'meets tokens laid out differently' };
};
