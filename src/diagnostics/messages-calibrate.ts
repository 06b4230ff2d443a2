/**
 * What calibrating says: limits that are not kept, controls that cannot be tried, states of another problem. One
 * builder per code; callers pass names and figures in.
 */
import { error, warning, type Diagnostic } from './diagnostic.ts';

/** Why a control was not tried (no sentence of its own: part of a table). */
export const noOnePicture = (found: number): string =>
  found === 0 ? 'no input is a picture [batch, channels, height, width]' : `${found} inputs are pictures`;
export const pictureSizeFixed = (input: string, size: string): string => `the model fixes "${input}" at ${size}`;
export const pictureSizeNotTaken = (size: string): string => `the model does not run on ${size}`;
export const prunesNothing = (): string => 'the plan prunes no tokens';
export const interruptedBefore = (): string => 'interrupted before';
export const noSmallerPicture = (): string => 'no smaller size costs as little as the plan';

/** Steps, as progress tells them. */
export const preparing = (): string => 'making the calibration model';
export const timing = (done: number, count: number): string => `timing plans: ${done} of ${count}`;
export const searching = (share: number, best: string, secondsLeft: number | undefined): string =>
  `searching: ${Math.round(100 * share)} %, best so far ${best}${secondsLeft === undefined ? '' : `, ${Math.ceil(secondsLeft)} s left`}`;
export const bestSoFar = (speedup: number, lost: number): string => `${speedup.toFixed(2)}x, ${lost.toFixed(4)} lost`;
export const judging = (): string => 'judging on the other half';
export const tryingControl = (name: string): string => `trying a control: ${name}`;

/** What computed the reducers while times were taken. */
export const reducersOn = (ops: 'fused' | 'portable'): string =>
  ops === 'fused' ? 'reducers on the fused kernels' : 'reducers on the function body';

export const budgetNotKept = (missed: string, plan: string): Diagnostic =>
  error('budget-not-kept', `no plan keeps the budget: ${missed}`, {
    notes: [`the nearest plan is in ${plan}`],
    fix: 'loosen the limit, give more samples, or try --effort thorough',
  });

/** The search found a plan, and the half that judges (or the clock) says otherwise. */
export const budgetNotConfirmed = (missed: string, plan: string): Diagnostic =>
  error('budget-not-confirmed', `the chosen plan does not keep the budget: ${missed}`, {
    notes: [`the plan is in ${plan}, for want of one that is confirmed`],
    fix: 'give more samples, or loosen the limit',
  });

export const controlsWin = (controls: readonly string[]): Diagnostic =>
  warning('control-wins', `${controls.join(' and ')} lost less than the chosen plan at the same cost`, {
    fix: 'on these data text saliency is not worth its cost: docs/calibrate.md#controls',
  });

export const calibrationInterrupted = (plan: string, state: string): Diagnostic =>
  warning('calibration-interrupted', `interrupted: ${plan} holds the best plan so far`, {
    fix: `--resume goes on from ${state}`,
  });

export const labelsNeeded = (data: string, metric: string): Diagnostic =>
  error('labels-needed', `${data} has no labels, and ${metric} is measured with them`, {
    fix: 'add an array named labels, or measure agreement with the unreduced model: --metric top1',
  });

export const tokensUncounted = (): Diagnostic =>
  error('tokens-uncounted', 'how many tokens a sample has cannot be told from the sizes of its inputs');

export const tooFewSamples = (count: number): Diagnostic =>
  error('too-few-samples', `${count} samples cannot be split into a half that chooses and a half that judges`, {
    fix: 'give at least 2 samples; a few hundred make figures that mean something',
  });

export const stateUnreadable = (file: string, reason: string): Diagnostic =>
  error('state-unreadable', `${file} cannot be gone on from: ${reason}`, {
    at: { file },
    fix: 'calibrate without --resume',
  });

export const latencyTableUnfit = (reason: string): Diagnostic =>
  error('latency-table-unfit', `the latency table says nothing of these plans: ${reason}`, {
    fix: 'calibrate without --latency-table, or with the --threads, --batch and --layers it was measured with',
  });

export const latencyTableUnreadable = (file: string, reason: string): Diagnostic =>
  error('latency-table-unreadable', `${file} cannot be used as a latency table: ${reason}`, { at: { file } });
