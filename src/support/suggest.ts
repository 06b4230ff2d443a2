/**
 * The nearest of some known words to one that was mistyped. Knows no flags and prints nothing.
 */

/** Edits (insert, delete, replace, swap neighbours) from one word to another. */
const distance = (a: string, b: string): number => {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, (before[j - 2] ?? 0) + 1);
      row.push(best);
    }
    before = last;
    last = row;
  }
  return last[b.length] ?? 0;
};

/** Letters alone: case and separators are the commonest slips. */
const bare = (word: string): string => word.toLowerCase().replaceAll(/[^a-z0-9]/g, '');

/** The closest known word, or undefined where none is near: at most two fifths of the letters may differ. */
export const closest = (word: string, known: readonly string[]): string | undefined => {
  let best: { readonly name: string; readonly edits: number } | undefined;
  for (const name of known) {
    const edits = distance(bare(word), bare(name));
    if (edits > 0.4 * Math.max(bare(word).length, bare(name).length) || edits >= (best?.edits ?? Infinity)) continue;
    best = { name, edits };
  }
  return best?.name;
};
