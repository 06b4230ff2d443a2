/**
 * Samples put together to run at once: rows whose other sizes agree, in the order of their files, so that every file is
 * decoded once. The same samples give the same batches.
 */
import { invariant } from '../support/assert.ts';
import { memoised } from '../support/memo.ts';
import type { TensorData } from '../runtime/tensor-data.ts';
import type { Feed } from './feed.ts';
import { heedFiles } from './file-errors.ts';
import type { Layout } from './layout.ts';
import type { SampleBatch, Tensors } from './sample-set.ts';
import { joinRows, sliceRows } from './tensors.ts';

/** A feed with its layout and the number of its first sample. */
export interface Placed {
  readonly feed: Feed;
  readonly layout: Layout;
  readonly first: number;
}

/** Rows of one feed, one behind the other. */
interface Run {
  readonly feed: Feed;
  readonly from: number;
  readonly to: number;
}

/** Feeds with the same key may share a batch. */
const keyOf = memoised(({ feed, layout, first }: Placed): string => {
  const { cut, single } = layout;
  // Inputs that belong to every row are those of one feed; what was recorded stays as it ran.
  const isShared = cut === undefined || [...feed.dims.keys()].some((name) => !cut.has(name));
  if (single || isShared || feed.recorded !== undefined) return `from ${first}`;
  const sizes = [...feed.dims].map(([name, dims]) => `${name}:${dims.slice(1).join()}`);
  return sizes.sort().join(' ');
});

const joinAll = (parts: readonly Tensors[]): Tensors =>
  new Map([...(parts[0]?.keys() ?? [])].map((name) => [name, joinRows(parts.flatMap((part) => part.get(name) ?? []))]));

const rowsOfAll = (tensors: Tensors, { from, to }: Run, hasRows: (name: string) => boolean): Tensors =>
  new Map([...tensors].map(([name, t]) => [name, hasRows(name) ? sliceRows(t, from, to) : t]));

/** Several runs only ever come from feeds where everything has rows. */
const load = (runs: readonly Run[], { cut }: Layout) => ({
  feeds: (): Tensors =>
    joinAll(runs.map((run) => rowsOfAll(run.feed.inputs(), run, (name) => cut?.has(name) === true))),
  labels: (): TensorData | undefined => {
    const parts = runs.flatMap(({ feed, from, to }) => {
      const labels = feed.labels?.read();
      return labels === undefined ? [] : [cut === undefined ? labels : sliceRows(labels, from, to)];
    });
    return parts.length === 0 ? undefined : joinRows(parts);
  },
  recorded: (): Tensors =>
    joinAll(
      runs.flatMap((run) => {
        const tensors = run.feed.recorded?.read();
        return tensors === undefined ? [] : [rowsOfAll(tensors, run, () => cut !== undefined)];
      }),
    ),
});

/** Tensors are read when they are asked for, each time anew, so that a list of batches takes no room. */
const batchOf = (placed: readonly (Placed & { readonly sample: number })[]): SampleBatch => {
  const runs: Run[] = [];
  for (const { feed, first, sample } of placed) {
    const row = sample - first;
    const last = runs.at(-1);
    if (last?.feed === feed && last.to === row) runs[runs.length - 1] = { ...last, to: row + 1 };
    else runs.push({ feed, from: row, to: row + 1 });
  }
  const [{ feed, layout }] = placed as [Placed & { sample: number }];
  const parts = load(runs, layout);
  const lazily = (read: () => unknown): PropertyDescriptor => ({
    enumerable: true,
    get: () => heedFiles(feed.name, read),
  });
  return Object.defineProperties({ samples: placed.map(({ sample }) => sample) } as unknown as SampleBatch, {
    feeds: lazily(parts.feeds),
    ...(feed.labels !== undefined && { labels: lazily(parts.labels) }),
    ...(feed.recorded !== undefined && { recorded: lazily(parts.recorded) }),
  });
};

/** The batches of some samples, `rows` at most in each. */
export const batchesOf = (all: readonly Placed[], samples: readonly number[], rows: number): SampleBatch[] => {
  invariant(rows >= 1, `batches of ${rows} rows`);
  const groups = new Map<string, { readonly most: number; readonly placed: (Placed & { sample: number })[] }>();
  let at = 0;
  for (const sample of [...samples].sort((a, b) => a - b)) {
    const isBehind = ({ first, layout }: Placed): boolean => sample >= first + layout.rows;
    while (at < all.length && isBehind(all[at] as Placed)) at++;
    const found = all[at];
    invariant(found !== undefined && sample >= 0, `there is no sample ${sample}`);
    const key = keyOf(found);
    const group = groups.get(key) ?? { most: found.layout.single ? 1 : rows, placed: [] };
    group.placed.push({ ...found, sample });
    groups.set(key, group);
  }
  return [...groups.values()].flatMap(({ most, placed }) => {
    const step = Math.min(most, placed.length);
    return Array.from({ length: Math.ceil(placed.length / step) }, (_, i) =>
      batchOf(placed.slice(i * step, (i + 1) * step)),
    );
  });
};
