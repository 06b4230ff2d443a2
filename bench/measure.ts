/**
 * One original and one compiled model in one process, the compiled one on the function's body and, where they are built,
 * on the kernels: runs in turns, multiply-adds, profiles. Started by speed.ts, once a pair of models, so that no
 * measurement inherits another one's memory. Prints one JSON object.
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
    /** Milliseconds, in the order they were run; entry i of all is one turn. */
    readonly original: readonly number[];
    readonly compiled: readonly number[];
    /** The same file on the kernels; empty where they are not built. */
    readonly fused: readonly number[];
  }[];
  /** Milliseconds by kind of operator. */
  readonly profile: {
    readonly batch: number;
    readonly original: readonly (readonly [Kind, number])[];
    readonly compiled: readonly (readonly [Kind, number])[];
    readonly fused: readonly (readonly [Kind, number])[];
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
  // Without kernels nothing takes their turns.
  const kernels = (await loadRuntime('fused')).runtime;
  const onKernels = <T>(options: OpenOptions, use: (session: Session | undefined) => Promise<T>): Promise<T> =>
    kernels === undefined ? use(undefined) : opened(kernels, compiled, options, use);
  // In turns, as the timed runs: what slows the machine for a while slows all.
  const profiled = (): Promise<Omit<Measured['profile'], 'batch'>> => {
    const options = { threads, profile: true };
    return opened(runtime, original, options, (a) =>
      opened(runtime, compiled, options, (b) =>
        onKernels(options, async (c) => {
          const feeds = feedsOf(request.profiled);
          for (let run = 0; run < profiledRuns; run++) {
            await a.run(feeds);
            await b.run(feeds);
            await c?.run(feeds);
          }
          const of = (session: Session | undefined): readonly (readonly [Kind, number])[] =>
            session === undefined ? [] : [...breakdown(session.profile(), profiledRuns, warmUps)];
          return { original: of(a), compiled: of(b), fused: of(c) };
        }),
      ),
    );
  };
  const timings = await opened(runtime, original, { threads }, (a) =>
    opened(runtime, compiled, { threads }, (b) =>
      onKernels({ threads }, async (c) => {
        const list: Measured['timings'][number][] = [];
        for (const [batch, turns] of request.batches) {
          const feeds = feedsOf(batch);
          const times = { batch, original: [] as number[], compiled: [] as number[], fused: [] as number[] };
          for (let turn = -warmUps; turn < turns; turn++) {
            const one = await timed(a, feeds);
            const other = await timed(b, feeds);
            const third = c && (await timed(c, feeds));
            if (turn < 0) continue;
            times.original.push(one);
            times.compiled.push(other);
            if (third !== undefined) times.fused.push(third);
          }
          list.push(times);
        }
        return list;
      }),
    ),
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
