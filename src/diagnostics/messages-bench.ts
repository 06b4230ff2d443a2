/**
 * What `bench` says beside its figures: what makes them doubtful, and what was left out. One builder per code.
 */
import { error, note, warning, type Diagnostic } from './diagnostic.ts';

const percent = (share: number): string => `${(100 * share).toFixed(0)} %`;

/** The models fix their rows. */
export const batchFixed = (file: string, wanted: number, rows: number): Diagnostic =>
  warning(
    'batch-fixed',
    `batch ${wanted} is left out: the model takes ${rows} row${rows === 1 ? '' : 's'} and no others`,
    {
      at: { file },
    },
  );

export const batchNotFilled = (data: string, wanted: number, most: number): Diagnostic =>
  warning(
    'batch-not-filled',
    `batch ${wanted} is left out: at most ${most} sample${most === 1 ? '' : 's'} of ${data} can run together`,
  );

export const noBatchLeft = (): Diagnostic =>
  error('no-batch', 'none of the batch sizes asked for can be run', { fix: 'choose others with --batches' });

/** No guess at open sizes runs. */
export const syntheticNotRun = (file: string, reason: string): Diagnostic =>
  error('synthetic-inputs-fail', 'the model does not run on made-up inputs', {
    at: { file },
    notes: [reason],
    fix: 'say its sizes with --text and --pixels, or give inputs of your own with --data',
  });

export const inputNotMadeUp = (file: string, input: string): Diagnostic =>
  error('synthetic-inputs-fail', `input "${input}" has a type that cannot be made up`, {
    at: { file },
    fix: 'give inputs of your own with --data',
  });

export const machineBusy = (load: number, cores: number): Diagnostic =>
  warning(
    'machine-busy',
    `the machine is busy: load ${load.toFixed(1)} in the last minute on ${cores} core${cores === 1 ? '' : 's'}; times are those of a busy machine`,
    { fix: 'run it again when nothing else runs; ratios of paired runs suffer less than times' },
  );

export const memoryNotMeasured = (file: string, reason: string): Diagnostic =>
  warning('memory-not-measured', `peak memory could not be measured: ${reason}`, { at: { file } });

export const orderUndecided = (label: string, first: string, batch: number): Diagnostic =>
  note('order-undecided', `batch ${batch}: these runs do not show whether ${label} is faster or slower than ${first}`, {
    fix: 'more --turns or --seconds on a quiet machine decide smaller differences',
  });

export const timesSpread = (label: string, batch: number, spread: number): Diagnostic =>
  warning(
    'times-spread',
    `batch ${batch}: half of the times of ${label} spread over ${percent(spread)} of their median: take them as rough`,
  );
