/**
 * What is said about sample data, labels and the metrics computed from them: one builder per code, sorted by code.
 * Knows no file system; callers pass names and figures in.
 */
import { error, type Diagnostic } from './diagnostic.ts';

const sized = (dims: readonly (number | string | null)[]): string => `[${dims.map((d) => d ?? '?').join(', ')}]`;
const meant = (suggestion: string | undefined, otherwise?: string): { fix?: string } => {
  const fix = suggestion === undefined ? otherwise : `did you mean ${suggestion}?`;
  return fix === undefined ? {} : { fix };
};
const seeFormats = 'docs/data.md shows what sample data looks like';

// Where the samples are.

export const dataEmpty = (path: string, holds: string): Diagnostic =>
  error('data-empty', `${path} ${holds}`, { at: { file: path }, fix: seeFormats });

export const dataMissing = (path: string): Diagnostic =>
  error('data-missing', `${path} does not exist`, { at: { file: path }, fix: 'check the path' });

export const dataMixed = (path: string): Diagnostic =>
  error('data-mixed', `${path} holds both .npz files and test_data_set folders`, {
    at: { file: path },
    fix: 'put them in folders of their own, and name one',
  });

export const dataUnknown = (path: string, looksLike: string | undefined): Diagnostic =>
  error(
    'data-unknown',
    `${path} is ${looksLike ?? 'no .npz file and no folder'}${looksLike === undefined ? '' : ', not an .npz file'}`,
    { at: { file: path }, fix: seeFormats },
  );

export const dataUnreadable = (path: string, reason: string): Diagnostic =>
  error('data-unreadable', `${path} cannot be read: ${reason}`, { at: { file: path } });

// Labels.

export const labelsDiffer = (file: string, one: string, other: string): Diagnostic =>
  error('labels-differ', `${file} has ${one} as labels, earlier files have ${other}`, { at: { file } });

export const labelsLength = (file: string, labels: number, rows: number): Diagnostic =>
  error('labels-length', `${file} has ${rows} samples and ${labels} labels`, { at: { file, value: 'labels' } });

export const labelsMissing = (file: string, other: string): Diagnostic =>
  error('labels-missing', `${file} has no labels, and ${other} has`, {
    at: { file },
    fix: 'label all samples or none',
  });

export const labelsOutOfRange = (output: string, label: number, classes: number): Diagnostic =>
  error('labels-out-of-range', `a label is ${label}, and output "${output}" has ${classes} classes, numbered from 0`, {
    at: { value: 'labels' },
  });

export const labelsUnfit = (output: string, found: string, expected: string): Diagnostic =>
  error('labels-unfit', `the labels are ${found}, and output "${output}" needs ${expected}`, {
    at: { value: 'labels' },
    fix: 'labels are class numbers [rows] or a score for each class [rows, classes]',
  });

export const labelsUnusable = (file: string, reason: string): Diagnostic =>
  error('labels-unusable', `${file}: labels ${reason}`, {
    at: { file, value: 'labels' },
    fix: 'labels are class numbers [rows], from 0, or a score for each class [rows, classes]',
  });

// Metrics.

export const metricNeedsClasses = (
  metric: string,
  output: string,
  dims: readonly (number | string | null)[],
): Diagnostic =>
  error(
    'metric-needs-classes',
    `${metric} compares answers, and output "${output}" ${sized(dims)} has no classes along its last axis`,
    { at: { value: output }, fix: 'name another output, or use the metric cosine' },
  );

export const metricNeedsRows = (metric: string, output: string, dims: readonly number[], rows: number): Diagnostic =>
  error(
    'metric-needs-rows',
    `${metric} scores each sample, and output "${output}" ${sized(dims)} of ${rows} samples has no row for each`,
    {
      at: { value: output },
      fix: 'name another output',
    },
  );

export const metricOutputUnclear = (outputs: readonly string[]): Diagnostic =>
  error('metric-output-unclear', 'which output holds the answers is not clear', {
    notes: [`outputs: ${outputs.join(', ')}`],
    fix: 'name it with --output-name',
  });

export const metricOutputUnknown = (name: string, outputs: readonly string[], suggestion?: string): Diagnostic =>
  error('metric-output-unknown', `"${name}" is no floating-point output of the model`, {
    notes: [`outputs: ${outputs.length === 0 ? 'none of floating point' : outputs.join(', ')}`],
    ...meant(suggestion),
  });

export const metricUnknown = (name: string, known: readonly string[], suggestion?: string): Diagnostic =>
  error('metric-unknown', `there is no metric "${name}"`, meant(suggestion, `known are ${known.join(', ')}`));

// Recorded outputs.

export const recordedMissing = (file: string, output: string, other: string): Diagnostic =>
  error('recorded-missing', `${file} has no recorded output "${output}", and ${other} has`, {
    at: { file, value: output },
    fix: 'record the same outputs in every test_data_set',
  });

// Single arrays.

export const sampleInputMissing = (file: string, input: string, found: readonly string[], suggestion?: string) =>
  error('sample-input-missing', `${file} has no array for input "${input}"`, {
    at: { file, value: input },
    notes: [`arrays: ${found.length === 0 ? 'none' : found.join(', ')}`],
    ...meant(
      suggestion && `"${suggestion}" to be "${input}"`,
      'every input of the model needs its array; nothing is made up',
    ),
  });

export const sampleInputNoTensor = (input: string): Diagnostic =>
  error('sample-input-no-tensor', `input "${input}" is no tensor, and sample data holds tensors only`, {
    at: { value: input },
  });

/** `numbered`: the file of a test data set whose number is too high. */
export const sampleNumberUnknown = (file: string, count: number, kind: 'input' | 'output'): Diagnostic =>
  error('sample-number-unknown', `${file} is numbered past the model's ${count} ${kind}s`, { at: { file } });

export const sampleNumbersUnclear = (folder: string, kind: 'input' | 'output', unknown: string): Diagnostic =>
  error(
    'sample-numbers-unclear',
    `${folder}: some tensors carry names of the model's ${kind}s, but "${unknown}" is none`,
    { at: { file: folder }, fix: `give every tensor its ${kind}'s name, or none` },
  );

export const sampleRank = (
  file: string,
  array: string,
  found: readonly number[],
  declared: readonly (number | string | null)[],
): Diagnostic =>
  error('sample-rank', `${file}: "${array}" is ${sized(found)}, and the model declares ${sized(declared)}`, {
    at: { file, value: array },
    fix: 'give arrays of the rank of their inputs, or all with one more axis in front: a feed for each index',
  });

export const sampleRanksDiffer = (file: string, one: string, other: string): Diagnostic =>
  error(
    'sample-ranks-differ',
    `${file}: "${one}" has one axis more than its input (a feed for each index), and "${other}" has not`,
    { at: { file } },
  );

export const sampleRows = (file: string, one: string, rows: number, other: string, otherRows: number): Diagnostic =>
  error('sample-rows', `${file}: "${one}" has ${rows} rows and "${other}" has ${otherRows}`, { at: { file } });

export const sampleRowsNone = (file: string): Diagnostic =>
  error('sample-rows-none', `${file} has no rows`, { at: { file } });

export const sampleSize = (
  file: string,
  array: string,
  found: readonly number[],
  declared: readonly (number | string | null)[],
  axis: number,
): Diagnostic =>
  error('sample-size', `${file}: "${array}" is ${sized(found)}, and the model declares ${sized(declared)}`, {
    at: { file, value: array, axis },
  });

export const sampleType = (file: string, array: string, found: string, expected: string): Diagnostic =>
  error('sample-type', `${file}: "${array}" holds ${found}, and the model takes ${expected}`, {
    at: { file, value: array },
    fix: `save it with that type: ${array}.astype(numpy.${expected})`,
  });

/** `isOutput`: the array has the name of an output. */
export const sampleUnknown = (
  file: string,
  array: string,
  inputs: readonly string[],
  suggestion: string | undefined,
  isOutput: boolean,
): Diagnostic =>
  error('sample-unknown', `${file}: "${array}" is no input of the model`, {
    at: { file, value: array },
    notes: [`inputs: ${inputs.join(', ')}; labels go in an array named labels`],
    ...(isOutput
      ? { fix: 'recorded outputs go in test_data_set folders, as output_N.pb' }
      : meant(suggestion, 'leave it out')),
  });
