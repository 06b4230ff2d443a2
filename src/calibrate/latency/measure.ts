/**
 * Times plans for a latency table: each is compiled, opened, and run in turns with the original, two plans at a time
 * so that no more than three models are in memory. Knows neither the compiler nor the runtime: both are handed in.
 */
import type { ReductionPlan } from '../../reduction/plan.ts';
import type { Session } from '../../runtime/session.ts';
import type { TensorData } from '../../runtime/tensor-data.ts';
import { spreadOf } from '../../timing/spread.ts';
import { ratios, timeInTurns, type TurnOptions } from '../../timing/turns.ts';
import type { Measured, TimedPlan } from './model.ts';

/** A model's bytes or its file. */
export type ModelSource = Uint8Array | string;

export interface LatencyRequest {
  readonly plans: readonly ReductionPlan[];
  readonly original: ModelSource;
  readonly compilePlan: (plan: ReductionPlan) => ModelSource | Promise<ModelSource>;
  /** Called when a compiled model is closed, so that its file can go. */
  readonly discard?: (model: ModelSource) => void;
  readonly open: (model: ModelSource) => Promise<Pick<Session, 'run' | 'release'>>;
  /** Inputs of one batch, the same for all models. */
  readonly feeds: ReadonlyMap<string, TensorData>;
  /** `seconds` is for the runs of all plans; compiling and opening come on top. */
  readonly turns: Pick<TurnOptions, 'warmUps' | 'least' | 'most' | 'noise' | 'seconds' | 'rest' | 'block' | 'now'>;
}

export interface LatencyWatch {
  /** After every pair of plans: how many are timed, and of how many. */
  readonly progress?: (done: number, count: number) => void;
  readonly signal?: AbortSignal;
}

/** Quiet before each run, and short runs in blocks: see TurnOptions. */
export const steadyRuns = { rest: 60, block: 40 } as const;

const measured = (values: readonly number[]): Measured => {
  const { median, low, high } = spreadOf(values);
  return { median, low, high };
};

type Opened = Pick<Session, 'run' | 'release'>;

/** Rejects with the signal's reason where it is aborted, and with what compiling, opening or running throws. */
export const measureLatencies = async (
  request: LatencyRequest,
  { progress, signal }: LatencyWatch = {},
): Promise<TimedPlan[]> => {
  const { plans, compilePlan, discard, open, feeds, turns } = request;
  const timed: TimedPlan[] = [];
  const original = await open(request.original);
  try {
    for (let at = 0; at < plans.length; at += 2) {
      const pair = plans.slice(at, at + 2);
      const models: ModelSource[] = [];
      const sessions: Opened[] = [];
      try {
        for (const plan of pair) {
          signal?.throwIfAborted();
          const model = await compilePlan(plan);
          models.push(model);
          sessions.push(await open(model));
        }
        const { seconds } = turns;
        const found = await timeInTurns(
          [original, ...sessions].map((session) => () => session.run(feeds)),
          {
            ...steadyRuns,
            ...turns,
            ...(seconds !== undefined && { seconds: (seconds * pair.length) / plans.length }),
            ...(signal !== undefined && { signal }),
          },
        );
        for (const [i, plan] of pair.entries())
          timed.push({
            plan,
            original: measured(found.times[0] ?? []),
            compiled: measured(found.times[i + 1] ?? []),
            ratio: measured(ratios(found, i + 1)),
            turns: found.turns,
          });
      } finally {
        for (const session of sessions) await session.release();
        for (const model of models) discard?.(model);
      }
      progress?.(timed.length, plans.length);
    }
  } finally {
    await original.release();
  }
  return timed;
};
