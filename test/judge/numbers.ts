/**
 * The numbers of a recipe: weights by name and inputs by row, drawn from the recipe's seed alone. Graph writer and
 * interpreter ask for the same names and so get the same numbers. All are float32.
 */
import { randomFrom, type Random } from '../reduction/harness.ts';
import type { Recipe } from './recipe.ts';

export const vocabulary = 24;
export const features = 5;
export const channels = 2;
export const patch = 2;
export const answers = 4;
export const longestText = 16;

const hashed = (seed: number, text: string): number => {
  let hash = 2166136261 ^ seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 16777619);
  return hash >>> 0;
};

/** What a name's numbers look like, by how it ends. */
const drawn = (random: Random, name: string, from: number): number => {
  const part = name.slice(name.lastIndexOf('.') + 1);
  if (part === 'gamma') return 1 + 0.2 * random.normal();
  if (part === 'beta' || part === 'bias') return 0.15 * random.normal();
  if (part === 'table' || part === 'token') return random.normal();
  if (part === 'query' || part === 'key') return (1.4 * random.normal()) / Math.sqrt(from);
  return random.normal() / Math.sqrt(from);
};

export type Weights = (name: string, dims: readonly number[]) => Float32Array;

/** Weights [from, to] of products, tables [rows, width], vectors. The same function every time: nothing is drawn twice. */
export const weightsOf = (recipe: Recipe): Weights => {
  const old = drawnBefore.get(recipe) ?? newWeights(recipe);
  drawnBefore.set(recipe, old);
  return old;
};

const drawnBefore = new WeakMap<Recipe, Weights>();

const newWeights = (recipe: Recipe): Weights => {
  const known = new Map<string, Float32Array>();
  return (name, dims) => {
    const old = known.get(name);
    if (old !== undefined) return old;
    const random = randomFrom(hashed(recipe.seed, name));
    const size = dims.reduce((n, d) => n * d, 1);
    const from = dims.length === 4 ? size / (dims[0] as number) : (dims[0] ?? 1);
    const made = Float32Array.from({ length: size }, () => drawn(random, name, from));
    known.set(name, made);
    return made;
  };
};

export interface Inputs {
  /** [batch][length] */
  readonly ids: readonly (readonly number[])[];
  readonly types: readonly (readonly number[])[];
  /** [batch][channels * height * width] or [batch][count * features] */
  readonly picture: readonly (readonly number[])[];
}

export const inputsOf = (recipe: Recipe): Inputs => {
  const random = randomFrom(hashed(recipe.seed, 'inputs'));
  const { text, image, batch } = recipe;
  const rows = Array.from({ length: batch }, (_, b) => b);
  const pixels = channels * image.rows * patch * image.columns * patch;
  const size = image.from === 'pixels' ? pixels : (image.count - (image.cls ? 1 : 0)) * features;
  return {
    ids: rows.map((b) =>
      Array.from({ length: text.length }, (_, i) => (text.shown[b]?.[i] === 1 ? random.int(1, vocabulary - 1) : 0)),
    ),
    types: rows.map(() => Array.from({ length: text.length }, () => random.int(0, 1))),
    picture: rows.map(() => Array.from({ length: size }, () => Math.fround(random.normal()))),
  };
};
