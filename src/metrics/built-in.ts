/**
 * The metrics that need no user's code: agreement with the unreduced model (top1, kl, cosine) and accuracy on labels.
 * All are computed in float64. What is no number never agrees: it scores as badly as the metric allows.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-samples.ts';
import type { Model } from '../graph/model.ts';
import { invariant } from '../support/assert.ts';
import { closest } from '../support/suggest.ts';
import type { TensorData } from '../runtime/tensor-data.ts';
import { chosenOutput } from './chosen-output.ts';
import type { Metric, ScoredBatch } from './metric.ts';
import { answerAt, meanByRow, positionsOf, valuesOf, type Positions } from './values.ts';

export const metricNames = ['top1', 'kl', 'cosine', 'accuracy'] as const;
export type MetricName = (typeof metricNames)[number];

const outputOf = (outputs: ReadonlyMap<string, TensorData>, name: string): TensorData => {
  const found = outputs.get(name);
  invariant(found !== undefined, `no output "${name}" to score`);
  return found;
};

const answersOf = (metric: string, name: string, tensor: TensorData, rows: number): Positions => {
  const positions = positionsOf(tensor, rows);
  if (tensor.dims.length === 0 || positions.classes < 2)
    throw new CompileError(say.metricNeedsClasses(metric, name, tensor.dims));
  if (rows > 1 && tensor.dims[0] !== rows) throw new CompileError(say.metricNeedsRows(metric, name, tensor.dims, rows));
  return positions;
};

const bothOf = (metric: string, name: string, { outputs, reference, rows }: ScoredBatch): [Positions, Positions] => {
  const [is, was] = [outputOf(outputs, name), outputOf(reference, name)];
  invariant(is.dims.join() === was.dims.join(), `output "${name}" changed its shape`);
  return [answersOf(metric, name, is, rows), answersOf(metric, name, was, rows)];
};

/** Log of the sum of exponentials along the last axis; NaN where a value is none. */
const logSum = ({ values, classes }: Positions, position: number): number => {
  const start = position * classes;
  let most = -Infinity;
  for (let i = 0; i < classes; i++) most = Math.max(most, values[start + i] as number);
  let sum = 0;
  for (let i = 0; i < classes; i++) sum += Math.exp((values[start + i] as number) - most);
  return most + Math.log(sum);
};

/** Sum of p log(p / q) over the last axis; Infinity where it has no value. */
const divergence = (is: Positions, was: Positions, position: number): number => {
  const [logIs, logWas] = [logSum(is, position), logSum(was, position)];
  const start = position * is.classes;
  let sum = 0;
  for (let i = 0; i < is.classes; i++) {
    const logP = (was.values[start + i] as number) - logWas;
    const p = Math.exp(logP);
    const term = p * (logP - ((is.values[start + i] as number) - logIs));
    // An answer ruled out by the reference (-Infinity) adds nothing, whatever the other says of it.
    if (p !== 0) sum += term;
  }
  // Rounding may leave a hair below 0.
  return Number.isNaN(sum) ? Infinity : Math.max(0, sum);
};

/** 1 where two rows of numbers point the same way; two rows of zeros do, a row with NaN or infinities has 0. */
export const cosine = (a: ArrayLike<number>, b: ArrayLike<number>, from: number, to: number): number => {
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = from; i < to; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  if (aa === 0 && bb === 0) return 1;
  const value = ab / Math.sqrt(aa) / Math.sqrt(bb);
  return Number.isFinite(value) ? Math.min(1, Math.max(-1, value)) : 0;
};

/** Share of a row's positions with the reference's answer. */
const top1 = (name: string): Metric => ({
  name: 'top1',
  better: 'higher',
  needsLabels: false,
  score: (batch) => {
    const [is, was] = bothOf('top1', name, batch);
    return meanByRow(batch.rows, is.perRow, (at) => {
      const answer = answerAt(is, at);
      return answer !== undefined && answer === answerAt(was, at) ? 1 : 0;
    });
  },
});

/** Kullback-Leibler divergence of the candidate's softmax from the reference's, in nats. */
const kl = (name: string): Metric => ({
  name: 'kl',
  better: 'lower',
  needsLabels: false,
  score: (batch) => {
    const [is, was] = bothOf('kl', name, batch);
    return meanByRow(batch.rows, is.perRow, (at) => divergence(is, was, at));
  },
});

/** Of all a row's numbers, seen as one vector. */
const cosineOf = (name: string): Metric => ({
  name: 'cosine',
  better: 'higher',
  needsLabels: false,
  score: ({ outputs, reference, rows }) => {
    const [a, b] = [valuesOf(outputOf(outputs, name)), valuesOf(outputOf(reference, name))];
    const size = a.length / rows;
    return Float64Array.from({ length: rows }, (_, row) => cosine(a, b, row * size, (row + 1) * size));
  },
});

/** 1 where the answer is the label; with soft scores, the score of the answer that was given. */
const accuracy = (name: string): Metric => ({
  name: 'accuracy',
  better: 'higher',
  needsLabels: true,
  score: ({ outputs, labels, rows }) => {
    invariant(labels !== undefined, 'accuracy without labels');
    const is = answersOf('accuracy', name, outputOf(outputs, name), rows);
    const given = valuesOf(labels);
    const found = `[${labels.dims.join(', ')}]`;
    const positions = rows * is.perRow;
    if (labels.dims[0] !== positions) throw new CompileError(say.labelsUnfit(name, found, `${positions} of them`));
    const soft = labels.dims.length === 2;
    if (soft && labels.dims[1] !== is.classes)
      throw new CompileError(say.labelsUnfit(name, found, `scores for ${is.classes} classes`));
    return meanByRow(rows, is.perRow, (at) => {
      const answer = answerAt(is, at);
      const label = given[at] as number;
      if (!soft && label >= is.classes) throw new CompileError(say.labelsOutOfRange(name, label, is.classes));
      if (answer === undefined) return 0;
      return soft ? (given[at * is.classes + answer] as number) : answer === label ? 1 : 0;
    });
  },
});

const makers: Readonly<Record<MetricName, (output: string) => Metric>> = { top1, kl, cosine: cosineOf, accuracy };

/** A built-in metric on an output by name. */
export const metricOn = (name: MetricName, output: string): Metric => makers[name](output);

/**
 * A built-in metric by name, on the asked output or the one that holds the answers (chosen-output.ts). Throws a
 * CompileError metric-unknown, metric-output-unknown, metric-output-unclear, metric-needs-classes.
 */
export const metricNamed = (name: string, model: Model, { output }: { readonly output?: string } = {}): Metric => {
  const known = metricNames.find((one) => one === name);
  if (known === undefined) throw new CompileError(say.metricUnknown(name, metricNames, closest(name, metricNames)));
  const chosen = chosenOutput(model, output);
  const dims = chosen.type?.dims;
  if (known !== 'cosine' && dims !== undefined && (dims.length < 2 || dims.at(-1) === 1))
    throw new CompileError(say.metricNeedsClasses(known, chosen.name, dims));
  return metricOn(known, chosen.name);
};
