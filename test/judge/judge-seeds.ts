/**
 * THE INDEPENDENT JUDGE. Random small models assembled from the kinds of layers the compiler knows, each compiled with
 * a random plan, and the result held against a direct interpretation of "the original model, with the lane shortened
 * at the site".
 *
 *     recipe.ts, random-recipe.ts      a model as plain JSON, drawn from a seed; which of them must be refused and why
 *     numbers.ts                       its weights and inputs, from the same seed
 *     graph.ts, attention-graph.ts, sheet.ts      the recipe as an ONNX graph, in the spelling of some exporter
 *     interpreter.ts, arithmetic.ts, decisions.ts the recipe in float64 loops, reduced as docs/semantics.md says;
 *                                      shares no code with the compiler and never sees the graph
 *     verdict.ts                       one recipe judged in three steps: the model is what the recipe says (so graph
 *                                      and interpreter check one another), --keep 1 changes no bit, the compiled model
 *                                      is the shortened one. Where the recipe says "must be refused", only a refusal
 *                                      is right; anywhere else a refusal is a failure.
 *     judge-seeds.ts                   this file: many seeds, and what a run of them must show
 *
 * A failure prints its seed, the recipe and a command. For a longer hunt:
 *     JUDGE_SEED=5000 JUDGE_COUNT=2000 npx vitest run test/judge --testTimeout=9999999
 * To shrink a failure by hand, change the printed recipe and pass it to `judge`.
 */
import { expect } from 'vitest';
import { runtime } from '../compile/fixtures.ts';
import { randomRecipe } from './random-recipe.ts';
import type { Recipe } from './recipe.ts';
import { judge, type Verdict } from './verdict.ts';

const fromEnvironment = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);
const firstSeed = fromEnvironment('JUDGE_SEED', 1);
const count = fromEnvironment('JUDGE_COUNT', 500);
/** A near tie is no verdict: as many seeds further on stands a replacement. */
const replacement = 1_000_000;

interface Judged {
  readonly recipe: Recipe;
  readonly verdict: Verdict;
}

const judged = async (seed: number): Promise<Judged> => {
  const recipe = randomRecipe(seed);
  try {
    return { recipe, verdict: await judge(await runtime(), recipe) };
  } catch (error) {
    return {
      recipe,
      verdict: { kind: 'wrong', what: error instanceof Error ? (error.stack ?? error.message) : 'thrown' },
    };
  }
};

const report = ({ recipe, verdict }: Judged): string =>
  [
    `seed ${recipe.seed}: ${verdict.kind === 'wrong' ? verdict.what : verdict.kind}`,
    `  again: JUDGE_SEED=${recipe.seed} JUDGE_COUNT=1 npx vitest run test/judge`,
    `  recipe: ${JSON.stringify(recipe)}`,
  ].join('\n');

/** Judges every `of`-th seed, from the `part`-th on. */
export const judgeSeeds = async (part: number, of: number): Promise<void> => {
  const all: Judged[] = [];
  let ties = 0;
  for (let i = part; i < count; i += of) {
    let one = await judged(firstSeed + i);
    for (let again = 1; one.verdict.kind === 'near tie' && again <= 5; again++) {
      ties++;
      one = await judged(firstSeed + i + again * replacement);
    }
    all.push(one);
  }
  const share = (is: (j: Judged) => boolean): number => all.filter(is).length / all.length;
  const wrong = all.filter(({ verdict }) => verdict.kind === 'wrong' || verdict.kind === 'near tie');
  console.log(
    `seeds ${firstSeed + part} to ${firstSeed + count - 1} by ${of}: ${all.length} models, ${wrong.length} wrong, ` +
      `${all.filter(({ verdict }) => verdict.kind === 'refused').length} refused as they must be, ${ties} near ties replaced`,
  );
  expect(wrong.slice(0, 5).map(report).join('\n\n')).toBe('');
  if (all.length < 200) return;
  // What a run must show, or it would say less than it seems to.
  expect(ties).toBeLessThan(all.length * 0.03);
  expect(share(({ verdict }) => verdict.kind === 'refused')).toBeGreaterThan(0.08);
  expect(share(({ verdict }) => verdict.kind === 'right' && verdict.effect > 1e-3)).toBeGreaterThan(0.45);
  for (const kind of ['joint', 'pair', 'keys'] as const)
    for (const semantics of ['safe', 'pumer'] as const)
      expect(
        share(
          ({ recipe, verdict }) =>
            recipe.family.kind === kind && recipe.plan.semantics === semantics && verdict.kind === 'right',
        ),
      ).toBeGreaterThan(0.01);
};
