/**
 * The plans that no other plan beats in time and loss at once.
 */

/** The members to which no other item is at least as good in both and better in one; from the slowest to the fastest. */
export const paretoFront = <T>(
  items: readonly T[],
  timeOf: (item: T) => number,
  /** Below 0 where a loses less than b; items that compare as 0 lose the same. */
  byLoss: (a: T, b: T) => number,
): T[] => {
  const front: T[] = [];
  const byTime = [...items].sort((a, b) => timeOf(a) - timeOf(b) || byLoss(a, b));
  for (const item of byTime) {
    const last = front.at(-1);
    if (last === undefined || byLoss(item, last) < 0) front.push(item);
  }
  return front.reverse();
};
