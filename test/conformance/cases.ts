/**
 * Reads a folder of real exports with recorded results: model.onnx, case.json, cases.npz and, where present,
 * parity.json and parity.npz. Two layouts: results of the published code inside cases.npz (`configs` in case.json),
 * or beside it. Of the compiler it knows the flags only.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { parseCommandLine } from '../../src/flags/command-line.ts';
import type { CompileRequest } from '../../src/flags/compile.ts';
import type { CompileOptions } from '../../src/index.ts';
import { readNpz, tensorOf } from '../../src/runtime/npz.ts';
import type { TensorData } from '../../src/runtime/tensor-data.ts';

/** One set of ratios at some layers, with the published code's results per batch. */
export interface ParityConfig {
  readonly key: string;
  readonly layers: readonly number[];
  readonly prune: number;
  readonly merge: number;
  readonly mergeText: number;
  /** As published where the file does not say. */
  readonly semantics: 'safe' | 'pumer';
  readonly expected: readonly TensorData[];
}

export interface Batch {
  readonly feeds: ReadonlyMap<string, TensorData>;
  /** Recorded unreduced outputs by output name. */
  readonly outputs: ReadonlyMap<string, TensorData>;
}

/** What a case is an example of; the support table sorts by it, no check reads it. */
export interface Kind {
  readonly family: string;
  readonly exporter?: string;
  readonly opset?: number;
  readonly attention?: string;
  readonly shapes?: string;
  /** Number type or tool that rewrote the model; absent: float32 as exported. */
  readonly variant?: string;
}

export interface Case {
  /** Path below the folder it was found in. */
  readonly name: string;
  readonly kind: Kind;
  readonly model: string;
  /** What this model needs to be told, for the command line and for the library. */
  readonly flags: readonly string[];
  readonly options: CompileOptions;
  /** False: no runtime at hand runs the original. It can be compiled, and nothing else be checked. */
  readonly runs: boolean;
  readonly batches: readonly Batch[];
  readonly parity: readonly ParityConfig[];
  /** The output that parity compares. */
  readonly parityOutput: string | undefined;
  readonly mustBeRefused: boolean;
  /** Whether a refusal is a failure. */
  readonly mustCompile: boolean;
  /** How far unreduced outputs may lie from the recorded ones, as a share of their scale. */
  readonly identityTolerance: number;
  /** Upper limit of the multiply-adds left with `--keep 0.7`. */
  readonly maxMultiplyAdds: number;
}

interface CaseFile {
  readonly inputs: readonly string[];
  readonly outputs?: readonly string[];
  readonly family?: string;
  readonly name?: string;
  readonly variant?: string;
  readonly expect?: string;
  readonly max_multiply_adds?: number;
  readonly exporter?: string;
  readonly opset?: number;
  readonly attention?: string;
  readonly shapes?: string;
  readonly runs?: boolean;
  /** Inputs that are embeddings already, as `--lanes` writes their tokens. */
  readonly lanes?: Readonly<Record<string, string>>;
  /** Any other flags, long and without dashes. */
  readonly options?: Readonly<Record<string, string>>;
  readonly configs?: readonly {
    readonly key: string;
    readonly layers: readonly number[];
    readonly prune_r: number;
    readonly merge_r: number;
    readonly merge_text: number;
    readonly semantics?: 'safe' | 'pumer';
  }[];
}

interface ParityFile {
  readonly output: string;
  readonly configs: readonly {
    readonly key: string;
    readonly layers: readonly number[];
    readonly p: number;
    readonly m: number;
    readonly t: number;
    readonly semantics?: 'safe' | 'pumer';
  }[];
}

const json = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
const arraysOf = (path: string): Map<string, TensorData> =>
  new Map([...readNpz(readFileSync(path), path)].map(([name, array]) => [name, tensorOf(array)]));

const batchNumbers = (arrays: ReadonlyMap<string, TensorData>): number[] =>
  [...new Set([...arrays.keys()].flatMap((key) => /^in(\d+)\./.exec(key)?.[1] ?? []))]
    .map(Number)
    .sort((a, b) => a - b);

const read = (arrays: ReadonlyMap<string, TensorData>, key: string, folder: string): TensorData => {
  const found = arrays.get(key);
  if (found === undefined) throw new Error(`${folder}: the recorded arrays have no '${key}'`);
  return found;
};

const OFFICIAL_OUTPUT = 'logits';

const optionsOf = (flags: readonly string[]): CompileOptions =>
  (parseCommandLine(['in.onnx', '--output', 'out.onnx', ...flags], 100) as CompileRequest).options;

const kindOf = ({ exporter, opset, attention, shapes, variant }: CaseFile, family: string): Kind => ({
  family,
  ...(exporter !== undefined && { exporter }),
  ...(opset !== undefined && { opset }),
  ...(attention !== undefined && { attention }),
  ...(shapes !== undefined && { shapes }),
  ...(variant !== undefined && { variant }),
});

/** Reads one folder. `root` is what its name is relative to. */
export const readCase = (folder: string, root: string): Case => {
  const info = json(join(folder, 'case.json')) as CaseFile;
  const arrays = arraysOf(join(folder, 'cases.npz'));
  const batches = batchNumbers(arrays);
  const official = info.configs !== undefined;
  const runs = info.runs ?? true;
  const outputs = official ? [OFFICIAL_OUTPUT] : runs ? (info.outputs ?? []) : [];
  const plainKey = (k: number, output: string): string => (official ? `in${k}.plain` : `in${k}.out.${output}`);
  const name = relative(root, folder) || basename(folder);
  const hasParity = existsSync(join(folder, 'parity.npz'));
  const parityFile = hasParity ? (json(join(folder, 'parity.json')) as ParityFile) : undefined;
  const recorded = hasParity ? arraysOf(join(folder, 'parity.npz')) : arrays;
  const configs =
    info.configs?.map((c) => ({ ...c, prune: c.prune_r, merge: c.merge_r, mergeText: c.merge_text })) ??
    parityFile?.configs.map((c) => ({ ...c, prune: c.p, merge: c.m, mergeText: c.t })) ??
    [];
  const family = info.family ?? info.name ?? name;
  const flags = [
    ...Object.entries(info.options ?? {}).flatMap(([flag, value]) => [`--${flag}`, value]),
    ...Object.entries(info.lanes ?? {}).flatMap(([input, runs]) => ['--lanes', `${input}=${runs}`]),
  ];
  return {
    name,
    kind: kindOf(info, family),
    model: join(folder, 'model.onnx'),
    flags,
    options: optionsOf(flags),
    runs,
    batches: batches.map((k) => ({
      feeds: new Map(info.inputs.map((input) => [input, read(arrays, `in${k}.${input}`, folder)])),
      outputs: new Map(outputs.map((output) => [output, read(arrays, plainKey(k, output), folder)])),
    })),
    parity: configs.map(({ key, layers, prune, merge, mergeText, semantics }) => ({
      key,
      layers,
      prune,
      merge,
      mergeText,
      semantics: semantics ?? 'pumer',
      expected: batches.map((k) => read(recorded, `in${k}.${key}`, folder)),
    })),
    parityOutput: official ? OFFICIAL_OUTPUT : parityFile?.output,
    mustBeRefused: info.expect === 'refuse',
    mustCompile:
      info.expect === 'compile' || (info.expect !== 'refuse' && (configs.length > 0 || info.variant === 'external')),
    identityTolerance: info.variant === undefined || info.variant.startsWith('external') ? 1e-4 : 2e-2,
    maxMultiplyAdds: info.max_multiply_adds ?? (family.startsWith('vilt') ? 0.85 : 0.98),
  };
};

/** Every folder below `root` (or itself) that holds a case, sorted. */
export const findCases = (root: string): string[] => {
  const found: string[] = [];
  const visit = (folder: string): void => {
    if (existsSync(join(folder, 'case.json')) && existsSync(join(folder, 'cases.npz'))) {
      found.push(folder);
      return;
    }
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.isDirectory() && entry.name !== 'node_modules') visit(join(folder, entry.name));
    }
  };
  visit(root);
  return found.sort();
};
