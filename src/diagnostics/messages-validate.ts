/**
 * What is said where two models, or a model and recorded outputs, are compared: models that cannot be, and demands that
 * are not met. One builder per code, sorted by code.
 */
import { error, type Diagnostic } from './diagnostic.ts';

const listed = (names: readonly string[]): string => (names.length === 0 ? 'none' : names.join(', '));

/** Names that only one of two files has, as notes. */
const onlyIn = (one: Sided, other: Sided): string[] =>
  [one, other].flatMap(({ file, only }) => (only.length === 0 ? [] : [`only in ${file}: ${only.join(', ')}`]));

export interface Sided {
  readonly file: string;
  readonly only: readonly string[];
}

export const accuracyWithoutLabels = (data: string): Diagnostic =>
  error('accuracy-without-labels', `${data} has no labels, and --max-drop is about accuracy on labels`, {
    at: { file: data },
    fix: 'add an array named labels, or demand agreement with --min-agreement',
  });

export const accuracyOfOne = (): Diagnostic =>
  error('accuracy-of-one', '--max-drop compares the accuracy of two models, and one is given', {
    fix: 'name the model to compare with, too',
  });

/** `asked`: --min-agreement names no output with classes. */
export const agreementUnknown = (output: string): Diagnostic =>
  error('agreement-unknown', `--min-agreement is about answers, and output "${output}" has none to compare`, {
    at: { value: output },
    fix: 'name the output with the answers with --output-name, or demand tolerances',
  });

export const inputsDiffer = (one: Sided, other: Sided): Diagnostic =>
  error('inputs-differ', `${one.file} and ${other.file} take different inputs and cannot run on the same samples`, {
    at: { file: other.file },
    notes: onlyIn(one, other),
  });

export const inputShapesDiffer = (input: string, one: string, other: string, shapes: readonly [string, string]) =>
  error(
    'input-shapes-differ',
    `input "${input}" is ${shapes[0]} in ${one} and ${shapes[1]} in ${other}: no sample fits both`,
    { at: { file: other, value: input } },
  );

export const inputTypesDiffer = (input: string, one: string, other: string, types: readonly [string, string]) =>
  error(
    'input-types-differ',
    `input "${input}" is ${types[0]} in ${one} and ${types[1]} in ${other}: no sample fits both`,
    { at: { file: other, value: input }, fix: 'convert the model with its inputs kept as they were (keep_io_types)' },
  );

export const outputsDiffer = (one: Sided, other: Sided): Diagnostic =>
  error('outputs-differ', `${one.file} and ${other.file} have different outputs`, {
    at: { file: other.file },
    notes: onlyIn(one, other),
  });

export const outputsOrderDiffers = (one: string, other: string, orders: readonly (readonly string[])[]): Diagnostic =>
  error('outputs-order-differs', `${one} and ${other} have the same outputs in different orders`, {
    at: { file: other },
    notes: orders.map((names, i) => `${i === 0 ? one : other}: ${names.join(', ')}`),
    fix: 'whoever reads outputs by their place would read the wrong ones: put them in one order',
  });

export const outputNameUnknown = (
  flag: string,
  name: string,
  outputs: readonly string[],
  suggestion?: string,
): Diagnostic =>
  error('output-unknown', `${flag} names "${name}", which is no output that is compared`, {
    notes: [`outputs: ${listed(outputs)}`],
    ...(suggestion !== undefined && { fix: `did you mean ${suggestion}?` }),
  });

export const outputShapesDiffer = (output: string, sample: string, found: string, expected: string): Diagnostic =>
  error('output-shapes-differ', `output "${output}" is ${found} instead of ${expected} on ${sample}`, {
    at: { value: output },
  });

export const recordedNone = (data: string): Diagnostic =>
  error('recorded-none', `${data} holds no recorded outputs to compare with`, {
    at: { file: data },
    fix: 'name a second model, or record outputs as output_0.pb, ... in test_data_set folders',
  });

export const validationGate = (file: string, failed: readonly string[]): Diagnostic =>
  error('validation-gate', `${file} does not do what is demanded of it`, { at: { file }, notes: failed });

// Demands, one line each.

export const gateFinite = (output: string, elements: number): string =>
  `output "${output}": ${elements} values are not finite in one model and not the same in the other`;

export const gateTolerance = (output: string, outside: number, of: number, absolute: number, relative: number) =>
  `output "${output}": ${outside} of ${of} values are outside of ${absolute} + ${relative} x |reference|`;

export const gateAgreement = (output: string, found: number, wanted: number): string =>
  `output "${output}": ${percent(found)} of the samples get the same answer, at least ${percent(wanted)} must`;

export const gateDrop = (output: string, found: number, most: number): string =>
  `output "${output}": accuracy falls by ${points(found)}, at most ${points(most)} may be lost`;

const percent = (share: number): string => `${Number((100 * share).toPrecision(6))} %`;
const points = (share: number): string => `${Number((100 * share).toPrecision(6))} points`;
