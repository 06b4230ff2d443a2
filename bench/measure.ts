/**
 * One original and one compiled model in one process: paired runs, multiply-adds, profiles. Started by speed.ts, once a
 * pair of models, so that no measurement inherits another one's memory. Prints one JSON object.
 */
import { readModel } from '../src/onnx/read.ts';
import { multiplyAdds } from '../src/runtime/profile.ts';
import { loadRuntime, type OpenOptions, type Runtime, type Session } from '../src/runtime/session.ts';
import { syntheticInputs, type SyntheticInputs } from '../src/validate/synthetic-inputs.ts';
import { breakdown, type Kind } from './breakdown.ts';

export interface MeasureRequest {
  readonly original: string;
  readonly compiled: string;
  readonly threads: number;
  /** Batch sizes with the number of pairs timed at each. */
  readonly batches: readonly (readonly [batch: number, pairs: number])[];
  /** Batch size of the profile. */
  readonly profiled: number;
}

export interface Measured {
  readonly runtime: string;
  /** Multiply-adds of matrix products at batch 1, as they ran without graph optimisation. */
  readonly multiplyAdds: { readonly original: number; readonly compiled: number };
  readonly timings: readonly {
    readonly batch: number;
    /** Milliseconds, in the order they were run; entry i of both is a pair. */
    readonly original: readonly number[];
    readonly compiled: readonly number[];
  }[];
  /** Milliseconds by kind of operator. */
  readonly profile: {
    readonly batch: number;
    readonly original: readonly (readonly [Kind, number])[];
    readonly compiled: readonly (readonly [Kind, number])[];
  };
}

const warmUps = 2;
const profiledRuns = 6;

type Feeds = SyntheticInputs['feeds'];

const timed = async (session: Session, feeds: Feeds): Promise<number> => {
  const start = performance.now();
  await session.run(feeds);
  return performance.now() - start;
};

const opened = async <T>(
  runtime: Runtime,
  path: string,
  options: OpenOptions,
  use: (session: Session) => Promise<T>,
): Promise<T> => {
  const session = await runtime.open(path, options);
  try {
    return await use(session);
  } finally {
    await session.release();
  }
};

const measure = async (request: MeasureRequest): Promise<Measured> => {
  const { original, compiled, threads } = request;
  const { runtime, reason } = await loadRuntime();
  if (runtime === undefined) throw new Error(reason.message);
  const model = readModel(original);
  const feedsOf = (batch: number): Feeds => {
    const made = syntheticInputs(model, { batch, text: 40, pixels: 384, regions: 36 });
    if ('cannot' in made) throw new Error(`input "${made.cannot}" has a type that cannot be made up`);
    return made.feeds;
  };
  const products = (path: string): Promise<number> =>
    opened(runtime, path, { threads, profile: true, optimize: 'disabled' }, async (session) => {
      await session.run(feedsOf(1));
      return session.profile().reduce((sum, node) => sum + multiplyAdds(node), 0);
    });
  // In turns, as the timed runs: what slows the machine for a while slows both.
  const profiled = (): Promise<Pick<Measured['profile'], 'original' | 'compiled'>> =>
    opened(runtime, original, { threads, profile: true }, (a) =>
      opened(runtime, compiled, { threads, profile: true }, async (b) => {
        const feeds = feedsOf(request.profiled);
        for (let run = 0; run < profiledRuns; run++) {
          await a.run(feeds);
          await b.run(feeds);
        }
        const of = (session: Session): readonly (readonly [Kind, number])[] => [
          ...breakdown(session.profile(), profiledRuns, warmUps),
        ];
        return { original: of(a), compiled: of(b) };
      }),
    );
  const timings = await opened(runtime, original, { threads }, (a) =>
    opened(runtime, compiled, { threads }, async (b) => {
      const list: Measured['timings'][number][] = [];
      for (const [batch, pairs] of request.batches) {
        const feeds = feedsOf(batch);
        const times = { batch, original: [] as number[], compiled: [] as number[] };
        for (let pair = -warmUps; pair < pairs; pair++) {
          const [one, other] = [await timed(a, feeds), await timed(b, feeds)];
          if (pair < 0) continue;
          times.original.push(one);
          times.compiled.push(other);
        }
        list.push(times);
      }
      return list;
    }),
  );
  return {
    runtime: runtime.version,
    multiplyAdds: { original: await products(original), compiled: await products(compiled) },
    timings,
    profile: { batch: request.profiled, ...(await profiled()) },
  };
};

const main = async (): Promise<void> => {
  const request = JSON.parse(process.argv[2] ?? '') as MeasureRequest;
  console.log(JSON.stringify(await measure(request)));
};

await main();
