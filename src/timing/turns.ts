/**
 * Several tasks timed in turns: in every turn each runs once, so that what slows the machine for a while slows all,
 * and ratios are taken within a turn. The order changes from turn to turn so that steady drift cancels. Knows nothing
 * of models.
 */
import { setTimeout } from 'node:timers/promises';
import { noiseOf } from './spread.ts';

export interface TurnOptions {
  /** Turns before those that count. */
  readonly warmUps: number;
  /** Turns at least, and at most; they are the same number where just so many are wanted. */
  readonly least: number;
  readonly most: number;
  /** Enough once no ratio's median is further off than this share (`noiseOf`), after six turns and the least. */
  readonly noise?: number;
  /** Time for all of it, warm-ups included; checked between turns, and the least turns are run in any case. */
  readonly seconds?: number;
  /**
   * Milliseconds of quiet before a task. Threads of ONNX Runtime go on spinning for tens of milliseconds after a run,
   * and would take the processor from the next task.
   */
  readonly rest?: number;
  /**
   * A task shorter than this many milliseconds is run several times in a row, the first of them untimed; what counts
   * is the mean of the others. So short tasks are timed warm, as they run in a loop.
   */
  readonly block?: number;
  readonly signal?: AbortSignal;
  /** Called after every turn with the turns that count so far. */
  readonly progress?: (turns: number) => void;
  /** Milliseconds; `performance.now` if absent. */
  readonly now?: () => number;
}

export interface Turns {
  /** times[task][turn], in milliseconds. */
  readonly times: readonly (readonly number[])[];
  readonly turns: number;
  /** What ended it: as many turns as wanted, little enough noise, or the time. */
  readonly stopped: 'turns' | 'noise' | 'seconds';
}

/**
 * The order in turn t: every other turn is the one before it backwards, so a task is in the middle of the pair on
 * average and steady drift cancels; from pair to pair another task begins.
 */
export const orderOf = (count: number, turn: number): number[] => {
  const forward = Array.from({ length: count }, (_, i) => (i + Math.floor(turn / 2)) % count);
  return turn % 2 === 0 ? forward : forward.reverse();
};

/** times[0][turn] / times[task][turn] for every turn: how many times as fast as the first. */
export const speedUps = ({ times }: Pick<Turns, 'times'>, task: number): number[] =>
  (times[0] ?? []).map((first, turn) => first / (times[task]?.[turn] ?? Number.NaN));

/** times[task][turn] / times[0][turn] for every turn. */
export const ratios = ({ times }: Pick<Turns, 'times'>, task: number): number[] =>
  (times[0] ?? []).map((first, turn) => (times[task]?.[turn] ?? Number.NaN) / first);

/** Of fewer turns no interval of a median has 95 %. */
const FEWEST = 6;

/** Of the ratios to the first task; of its times where it is alone. */
const largestNoise = (turns: Pick<Turns, 'times'>): number =>
  turns.times.length === 1
    ? noiseOf(turns.times[0] ?? [])
    : Math.max(...turns.times.slice(1).map((_, i) => noiseOf(ratios(turns, i + 1))));

/** Rejects with the signal's reason where it is aborted, and with whatever a task rejects with. */
export const timeInTurns = async (tasks: readonly (() => Promise<unknown>)[], options: TurnOptions): Promise<Turns> => {
  const { warmUps, least, most, noise, seconds = Infinity, rest = 0, block = 0, signal, progress } = options;
  const now = options.now ?? (() => performance.now());
  const times = tasks.map((): number[] => []);
  /** The least time of each task so far: how often it fits into a block. */
  const shortest = tasks.map(() => Infinity);

  /** Milliseconds of one run. */
  const timed = async (task: () => Promise<unknown>): Promise<number> => {
    const start = now();
    await task();
    return now() - start;
  };
  const timedInBlock = async (i: number, task: () => Promise<unknown>): Promise<number> => {
    if (rest > 0) await setTimeout(rest);
    signal?.throwIfAborted();
    // Never endless for a task of no length.
    const more = Math.min(Math.ceil(block / Math.max(shortest[i] ?? 0, 1e-3)), 1000);
    let time = await timed(task);
    if (shortest[i] !== Infinity && more > 1) {
      let sum = 0;
      for (let run = 0; run < more; run++) sum += await timed(task);
      time = sum / more;
    }
    shortest[i] = Math.min(shortest[i] ?? Infinity, time);
    return time;
  };

  const begun = now();
  const all = { times, turns: 0, stopped: 'turns' as Turns['stopped'] };
  for (let turn = -warmUps; turn < most; turn++) {
    for (const i of orderOf(tasks.length, Math.max(turn, 0))) {
      const time = await timedInBlock(i, tasks[i] as () => Promise<unknown>);
      if (turn >= 0) times[i]?.push(time);
    }
    if (turn < 0) continue;
    all.turns = turn + 1;
    progress?.(all.turns);
    // Whole pairs of turns only: half a pair has not cancelled its drift.
    if (
      noise !== undefined &&
      all.turns >= Math.max(least, FEWEST) &&
      all.turns % 2 === 0 &&
      largestNoise(all) <= noise
    )
      return { ...all, stopped: 'noise' };
    if (all.turns >= least && all.turns < most && now() - begun >= seconds * 1000)
      return { ...all, stopped: 'seconds' };
  }
  return all;
};
