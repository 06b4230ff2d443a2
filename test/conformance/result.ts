/**
 * What a conformance run found, as data: written by run.ts with --json, read by table.ts.
 */
import { readFileSync } from 'node:fs';
import type { Kind } from './cases.ts';

export interface CheckResult {
  /** identity, reduction, refusal or "parity KEY". */
  readonly check: string;
  /** As the compiler left it: that a refusal may count as a miss is not written here. */
  readonly outcome: 'pass' | 'fail' | 'refused';
  readonly text: string;
  /** The diagnostic's code where the compiler refused. */
  readonly code?: string;
  /** Share of the scale (identity), of the multiply-adds (reduction), of the effect (parity). */
  readonly figure?: number;
}

export interface CaseResult extends Kind {
  readonly name: string;
  readonly mustBeRefused: boolean;
  /** False: only compiled, for want of a runtime that runs the original. */
  readonly runs: boolean;
  readonly checks: readonly CheckResult[];
}

export interface RunResult {
  readonly schema_version: 1;
  readonly cases: readonly CaseResult[];
}

/** @throws where the file is not one of ours. */
export const readResult = (file: string): RunResult => {
  const found = JSON.parse(readFileSync(file, 'utf8')) as Partial<RunResult>;
  if (found.schema_version !== 1 || !Array.isArray(found.cases))
    throw new Error(`${file} is not a result of npm run conformance -- --json`);
  return found as RunResult;
};
