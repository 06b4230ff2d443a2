/** Turns on a clock that the tasks move themselves: orders, drift, blocks, and what ends them. */
import { describe, expect, test } from 'vitest';
import { spreadOf } from '../../src/timing/spread.ts';
import { orderOf, ratios, speedUps, timeInTurns, type TurnOptions } from '../../src/timing/turns.ts';

/** Tasks that take what `lengths` say, on a machine that grows slower by `drift` each millisecond. */
const machine = (lengths: readonly number[], drift = 0) => {
  let time = 0;
  const ran: number[] = [];
  const tasks = lengths.map((length, i) => () => {
    ran.push(i);
    time += length * (1 + drift * time);
    return Promise.resolve();
  });
  return { tasks, ran, now: () => time };
};

const fixed = (turns: number): Pick<TurnOptions, 'warmUps' | 'least' | 'most'> => ({
  warmUps: 0,
  least: turns,
  most: turns,
});

describe('the order', () => {
  test('puts every task at every place equally often', () => {
    for (const count of [1, 2, 3, 4]) {
      const places = Array.from({ length: count }, () => new Map<number, number>());
      for (let turn = 0; turn < 2 * count; turn++)
        orderOf(count, turn).forEach((task, place) => places[task]!.set(place, (places[task]!.get(place) ?? 0) + 1));
      for (const own of places) expect([...own.values()]).toEqual(Array.from({ length: count }, () => 2));
    }
  });

  test('is backwards every other turn', () => {
    expect([0, 1, 2, 3].map((turn) => orderOf(3, turn))).toEqual([
      [0, 1, 2],
      [2, 1, 0],
      [1, 2, 0],
      [0, 2, 1],
    ]);
  });
});

test('every task runs once a turn, warm-ups apart', async () => {
  const { tasks, ran, now } = machine([10, 20]);
  const found = await timeInTurns(tasks, { warmUps: 2, least: 4, most: 4, now });
  expect(ran).toEqual([0, 1, 0, 1, 0, 1, 1, 0, 1, 0, 0, 1]);
  expect(found).toEqual({ times: [Array(4).fill(10), Array(4).fill(20)], turns: 4, stopped: 'turns' });
  expect(speedUps(found, 1)).toEqual([0.5, 0.5, 0.5, 0.5]);
  expect(ratios(found, 1)).toEqual([2, 2, 2, 2]);
});

test('steady drift does not decide between two equal tasks', async () => {
  const { tasks, now } = machine([10, 10], 1e-3);
  const found = await timeInTurns(tasks, { ...fixed(12), now });
  const inOrder = found.times[0]!.map((first, i) => first / found.times[1]![i]!);
  // Every single ratio is off, one way and the other in turn.
  expect(Math.min(...inOrder.map((r) => Math.abs(r - 1)))).toBeGreaterThan(0.005);
  expect(Math.abs(spreadOf(speedUps(found, 1)).median - 1)).toBeLessThan(2e-4);
});

describe('what ends it', () => {
  test('little noise, after the least turns, six of them and whole pairs', async () => {
    const { tasks, now } = machine([10, 30]);
    const stops = async (least: number): Promise<unknown> => {
      const found = await timeInTurns(tasks, { warmUps: 0, least, most: 100, noise: 0.01, now });
      return [found.turns, found.stopped];
    };
    expect(await stops(2)).toEqual([6, 'noise']);
    expect(await stops(7)).toEqual([8, 'noise']);
  });

  test('never little noise where ratios go up and down', async () => {
    const { tasks, now } = machine([10, 10]);
    let turn = 0;
    const uneven = [
      tasks[0]!,
      async () => {
        for (let i = 0; i <= turn % 3; i++) await tasks[1]!();
        turn++;
      },
    ];
    const found = await timeInTurns(uneven, { warmUps: 0, least: 4, most: 20, noise: 0.01, now });
    expect([found.turns, found.stopped]).toEqual([20, 'turns']);
  });

  test('time, checked between turns', async () => {
    const { tasks, now } = machine([400, 200]);
    const found = await timeInTurns(tasks, { warmUps: 1, least: 2, most: 100, seconds: 2, now });
    // 0.6 s each, the warm-up's own among them.
    expect([found.turns, found.stopped]).toEqual([3, 'seconds']);
    const slow = machine([4000]);
    expect((await timeInTurns(slow.tasks, { warmUps: 0, least: 2, most: 9, seconds: 1, now: slow.now })).turns).toBe(2);
  });

  test('an abort, with its reason', async () => {
    const { tasks, ran, now } = machine([10, 10]);
    const stop = new AbortController();
    const progress = (turns: number): void => {
      if (turns === 3) stop.abort(new Error('enough'));
    };
    await expect(
      timeInTurns(tasks, { warmUps: 0, least: 9, most: 9, now, progress, signal: stop.signal }),
    ).rejects.toThrow('enough');
    expect(ran).toHaveLength(6);
  });

  test('a task that fails', async () => {
    await expect(timeInTurns([() => Promise.reject(new Error('no'))], fixed(2))).rejects.toThrow('no');
  });
});

test('short tasks run in blocks, the first of a block untimed', async () => {
  let time = 0;
  let calls = 0;
  // 9 ms cold, 4 ms warm; the other task makes it cold again.
  let cold = true;
  const short = (): Promise<void> => {
    calls++;
    time += cold ? 9 : 4;
    cold = false;
    return Promise.resolve();
  };
  const long = (): Promise<void> => {
    time += 50;
    cold = true;
    return Promise.resolve();
  };
  const found = await timeInTurns([short, long], { warmUps: 2, least: 2, most: 2, block: 20, now: () => time });
  expect(found.times).toEqual([
    [4, 4],
    [50, 50],
  ]);
  // One alone, then four: a first one and as many as fill the block, by the shortest seen.
  expect(calls).toBe(1 + (1 + 3) + (1 + 5) + (1 + 5));
});
