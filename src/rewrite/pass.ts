/**
 * A pass takes a model and returns a model, the same one where there was nothing to do. `runPasses` verifies after
 * each and blames by name.
 */
import { InternalError } from '../support/assert.ts';
import type { Report } from '../diagnostics/diagnostic.ts';
import type { Model } from '../graph/model.ts';
import { brokenRule } from '../graph/verify.ts';

export interface Pass {
  /** Kebab-case, the file's name. */
  readonly name: string;
  readonly summary: string;
  readonly run: (model: Model, report: Report) => Model;
}

/** A pass broke the graph: our bug. Carries the model it was given, for a reproducer. */
export class PassError extends InternalError {
  readonly pass: string;
  readonly before: Model;
  constructor(pass: string, before: Model, message: string, options?: { cause?: unknown }) {
    super(`pass ${pass}: ${message}`);
    this.pass = pass;
    this.before = before;
    if (options?.cause !== undefined) this.cause = options.cause;
  }
}

export const runPasses = (model: Model, passes: readonly Pass[], report: Report): Model => {
  let current = model;
  for (const pass of passes) {
    let next: Model;
    try {
      next = pass.run(current, report);
    } catch (error) {
      if (error instanceof InternalError && !(error instanceof PassError))
        throw new PassError(pass.name, current, error.message, { cause: error });
      throw error;
    }
    if (next === current) continue;
    const broken = brokenRule(next);
    if (broken !== undefined) throw new PassError(pass.name, current, broken);
    current = next;
  }
  return current;
};

/** The model with another graph; the same model where the graph is the same. */
export const withGraph = (model: Model, graph: Model['graph']): Model =>
  graph === model.graph ? model : { ...model, graph };
