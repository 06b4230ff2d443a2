/** Lists of nodes and what is said of them: a sentence said of many nodes is printed once. */

export interface SaidOfNode {
  readonly node: string;
  readonly op: string;
  readonly text: string;
}

/** `node "a" (MatMul) and 5 more, text`, in the order in which each text came first. */
export const grouped = (items: readonly SaidOfNode[]): string[] => {
  const byText = new Map<string, { first: SaidOfNode; count: number }>();
  for (const item of items) {
    const key = `${item.op} ${item.text}`;
    const known = byText.get(key);
    if (known === undefined) byText.set(key, { first: item, count: 1 });
    else known.count++;
  }
  return [...byText.values()].map(
    ({ first, count }) =>
      `node "${first.node}" (${first.op})${count === 1 ? '' : ` and ${count - 1} more`}, ${first.text}`,
  );
};
