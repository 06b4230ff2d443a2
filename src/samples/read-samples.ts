/**
 * Sample data from where the user has it: a folder of .npz files, one .npz file, or ONNX's test_data_set folders. All of
 * it is read and checked before anything runs, and read again when its turn comes; little is held in memory.
 */
import { readdirSync, statSync, type Stats } from 'node:fs';
import { basename, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as sayFiles from '../diagnostics/messages-onnx.ts';
import * as say from '../diagnostics/messages-samples.ts';
import type { Model } from '../graph/model.ts';
import { isLfsPointer, looksLike } from '../onnx/sniff.ts';
import { fileSource, readSlice } from '../support/byte-source.ts';
import { batchesOf, type Placed } from './batches.ts';
import { signatureOf, type Feed, type Signature } from './feed.ts';
import { fileCache, type FileCache } from './file-cache.ts';
import { heedFiles } from './file-errors.ts';
import { layoutsFor, type Layout } from './layout.ts';
import { npzFeeds } from './npz-feeds.ts';
import type { SampleBatch, SampleSet } from './sample-set.ts';
import { isTestData, testDataFeed } from './test-data-feeds.ts';

export interface ReadSamplesOptions {
  /** At most so many samples, from the first on; files behind them are not opened. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
  /** What is being read now. */
  readonly progress?: (step: string) => void;
}

/** What yields one file's or folder's feeds, checked. */
interface Source {
  readonly name: string;
  readonly feeds: (signature: Signature, cache: FileCache) => readonly Feed[];
}

const byNumber = new Intl.Collator('en', { numeric: true });

const npzSource = (name: string, path: string): Source => ({
  name,
  feeds: (signature, cache) => {
    const source = fileSource(path);
    const start = readSlice({ source, offset: 0, length: Math.min(source.size, 512) });
    if (isLfsPointer(start)) throw new CompileError(sayFiles.gitLfsPointer(path));
    return npzFeeds({ name, source }, signature, cache);
  },
});

const testDataSource = (name: string, folder: string): Source => ({
  name,
  feeds: (signature, cache) => [testDataFeed(name, folder, signature, cache)],
});

const sourcesIn = (folder: string): readonly Source[] => {
  if (isTestData(folder)) return [testDataSource(basename(folder), folder)];
  const entries = readdirSync(folder, { withFileTypes: true }).sort((a, b) => byNumber.compare(a.name, b.name));
  const npz = entries.filter((e) => !e.isDirectory() && e.name.endsWith('.npz'));
  const sets = entries.filter((e) => e.name.startsWith('test_data_set_') && !e.name.endsWith('.npz'));
  if (npz.length > 0 && sets.length > 0) throw new CompileError(say.dataMixed(folder));
  if (npz.length > 0) return npz.map(({ name }) => npzSource(name, join(folder, name)));
  const holds = (what: string): CompileError => new CompileError(say.dataEmpty(folder, what));
  if (sets.length === 0)
    throw holds(entries.length === 0 ? 'is empty' : 'holds no .npz files and no test_data_set folders');
  return sets.map(({ name }) => {
    const path = join(folder, name);
    if (!statSync(path).isDirectory() || !isTestData(path))
      throw new CompileError(say.dataEmpty(path, 'holds no input_0.pb'));
    return testDataSource(name, path);
  });
};

const sourcesAt = (path: string): readonly Source[] => {
  let stats: Stats;
  try {
    stats = statSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === 'ENOENT' || code === 'ENOTDIR' ? new CompileError(say.dataMissing(path)) : error;
  }
  if (stats.isDirectory()) return sourcesIn(path);
  if (!stats.isFile()) throw new CompileError(say.dataUnknown(path, undefined));
  const source = fileSource(path, stats);
  const start = readSlice({ source, offset: 0, length: Math.min(stats.size, 512) });
  if (isLfsPointer(start)) throw new CompileError(sayFiles.gitLfsPointer(path));
  if (path.endsWith('.npz')) return [npzSource(basename(path), path)];
  throw new CompileError(say.dataUnknown(path, looksLike(start)?.what));
};

/** Labels and recorded outputs are there for all feeds or for none, and of one form. */
const checkAlike = (feeds: readonly Feed[]): void => {
  const labelled = feeds.find((feed) => feed.labels !== undefined);
  const bare = feeds.find((feed) => feed.labels === undefined);
  if (labelled !== undefined && bare !== undefined) throw new CompileError(say.labelsMissing(bare.name, labelled.name));
  const formOf = ({ labels }: Feed): string =>
    labels?.dims.length === 2 ? `scores for ${labels.dims[1]} classes` : 'class numbers';
  const other = feeds.find((feed) => formOf(feed) !== formOf(feeds[0] as Feed));
  if (other !== undefined)
    throw new CompileError(say.labelsDiffer(other.name, formOf(other), formOf(feeds[0] as Feed)));
  const [first] = feeds;
  for (const feed of feeds) {
    const lacks = (one: Feed | undefined, other: Feed): string | undefined =>
      [...(other.recorded?.dims.keys() ?? [])].find((name) => one?.recorded?.dims.has(name) !== true);
    const [missing, extra] = first === undefined ? [] : [lacks(feed, first), lacks(first, feed)];
    if (first === undefined || (missing === undefined && extra === undefined)) continue;
    throw new CompileError(
      missing === undefined
        ? say.recordedMissing(first.name, extra ?? '', feed.name)
        : say.recordedMissing(feed.name, missing, first.name),
    );
  }
};

const checkLabels = (feed: Feed, { rows, cut }: Layout): void => {
  const labels = feed.labels?.dims[0];
  if (cut !== undefined && labels !== undefined && labels !== rows)
    throw new CompileError(say.labelsLength(feed.name, labels, rows));
};

const place = (feeds: readonly Feed[], layouts: readonly Layout[]): readonly Placed[] => {
  let first = 0;
  return feeds.map((feed, i) => {
    const layout = layouts[i] as Layout;
    const placed = { feed, layout, first };
    first += layout.rows;
    return placed;
  });
};

const setOf = (all: readonly Placed[], count: number): SampleSet => {
  const [first] = all;
  const at = (sample: number): Placed | undefined => all.findLast((placed) => placed.first <= sample);
  return {
    count,
    labelled: first?.feed.labels !== undefined,
    recorded: first?.feed.recorded !== undefined,
    nameOf: (sample) => {
      const placed = at(sample);
      if (placed === undefined) return `sample ${sample}`;
      return placed.layout.rows === 1 ? placed.feed.name : `${placed.feed.name}[${sample - placed.first}]`;
    },
    batches: (samples, rows): SampleBatch[] => batchesOf(all, samples, rows),
  };
};

/**
 * Reads and checks the samples at `path` against the model's declared inputs. Rejects with a CompileError that names the
 * file and the array, or with the signal's reason.
 *
 * Samples are the rows of axis 0 that all inputs share. An input that fixes its first axis otherwise belongs to every
 * row. Where inputs share no rows, or the model fixes more than one, a feed is one sample and runs as it was recorded;
 * its tensors then have as many rows as they like.
 */
export const readSamples = async (
  path: string,
  model: Model,
  { limit = Infinity, signal, progress }: ReadSamplesOptions = {},
): Promise<SampleSet> => {
  const signature = signatureOf(model);
  const cache = fileCache();
  const feeds: Feed[] = [];
  const layouts = layoutsFor(signature);
  for (const source of heedFiles(path, () => sourcesAt(path))) {
    if (layouts.count() >= limit) break;
    progress?.(`reading ${source.name}`);
    // An interrupt is heard between files.
    await setImmediate();
    signal?.throwIfAborted();
    for (const feed of heedFiles(path, () => source.feeds(signature, cache))) {
      layouts.add(feed);
      feeds.push(feed);
    }
  }
  checkAlike(feeds);
  const placed = place(feeds, layouts.all());
  for (const { feed, layout } of placed) checkLabels(feed, layout);
  return setOf(placed, Math.min(layouts.count(), limit));
};
