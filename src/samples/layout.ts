/**
 * Which part of a feed is a sample: a row of all its inputs, or the feed as it is. Decided for a whole set at once, so
 * that two sizes that happen to agree in one file do not make rows of what is none.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-samples.ts';
import type { GraphValue } from '../graph/model.ts';
import type { Feed, Signature } from './feed.ts';

export interface Layout {
  /** Samples in the feed. */
  readonly rows: number;
  /** Inputs with rows along axis 0; the others belong to every row. Undefined where the feed cannot be cut. */
  readonly cut?: ReadonlySet<string>;
  /** The model takes one row at a time. */
  readonly single: boolean;
}

const whole: Layout = { rows: 1, single: true };

type Sized = readonly [input: GraphValue, size: number];

const firstSize = (input: GraphValue): number | string | null => input.type?.dims?.[0] ?? null;
const symbolOf = (input: GraphValue): string | undefined => {
  const size = firstSize(input);
  return typeof size === 'string' && size !== '' ? size : undefined;
};

/** A symbol that also counts something else is no count of rows. */
const isElsewhere = (symbol: string, signature: Signature): boolean =>
  [...signature.inputs.values()].some((input) => input.type?.dims?.slice(1).includes(symbol) === true);

/** The row count of inputs with an open first axis; undefined where they have none in common. */
const openRows = (feed: Feed, open: readonly Sized[], signature: Signature): number | undefined => {
  const [first] = open as readonly [Sized];
  const other = open.find(([, size]) => size !== first[1]);
  if (other !== undefined && symbolOf(other[0]) !== undefined && symbolOf(other[0]) === symbolOf(first[0]))
    throw new CompileError(say.sampleRows(feed.name, first[0].name, first[1], other[0].name, other[1]));
  if (other !== undefined) return undefined;
  return open.some(([input]) => isElsewhere(symbolOf(input) ?? '', signature)) ? undefined : first[1];
};

/** Throws a CompileError sample-rows where inputs must have the same rows and have not. */
const layoutOf = (feed: Feed, signature: Signature): Layout => {
  const sized: Sized[] = [...feed.dims].flatMap(([name, dims]): Sized[] => {
    const input = signature.inputs.get(name);
    return input === undefined || dims.length === 0 ? [] : [[input, dims[0] ?? 0]];
  });
  const open = sized.filter(([input]) => typeof firstSize(input) !== 'number');
  const single = sized.filter(([input]) => firstSize(input) === 1);
  const fixed = sized.filter(([input]) => typeof firstSize(input) === 'number' && firstSize(input) !== 1);
  const [lead] = open.length > 0 ? open : single;
  // All fixed at more than one row: the feed runs as it was recorded.
  if (lead === undefined) return whole;
  const rows = open.length > 0 ? openRows(feed, open, signature) : lead[1];
  for (const [input, size] of single)
    if (size !== rows && (size !== 1 || open.length === 0))
      throw new CompileError(say.sampleRows(feed.name, lead[0].name, lead[1], input.name, size));
  if (rows === 0) throw new CompileError(say.sampleRowsNone(feed.name));
  // An input that fixes just as many rows as the others bring has rows, too.
  if (rows === undefined || fixed.some(([, size]) => size === rows)) return whole;
  // A recorded output without these rows cannot be cut.
  if ([...(feed.recorded?.dims.values() ?? [])].some((dims) => dims[0] !== rows)) return whole;
  const withRows = single.filter(([, size]) => size === rows);
  return {
    rows,
    cut: new Set([...open, ...withRows].map(([input]) => input.name)),
    single: withRows.length > 0,
  };
};

/** Layouts of feeds as they come in. */
export interface Layouts {
  /** Throws a CompileError sample-rows, sample-rows-none. */
  readonly add: (feed: Feed) => void;
  /** Samples so far. */
  readonly count: () => number;
  /** One a feed, in their order: rows in all of them, or in none. */
  readonly all: () => readonly Layout[];
}

export const layoutsFor = (signature: Signature): Layouts => {
  const own: Layout[] = [];
  let rows = 0;
  let isCut = true;
  return {
    add: (feed) => {
      const layout = layoutOf(feed, signature);
      own.push(layout);
      rows += layout.rows;
      isCut &&= layout.cut !== undefined;
    },
    count: () => (isCut ? rows : own.length),
    all: () => (isCut ? own : own.map(() => whole)),
  };
};
