/**
 * What the compiler has to say, as data: a code, a sentence, where, notes and a way out.
 * Knows nothing of terminals; `render.ts` turns it to text.
 */
export type Severity = 'error' | 'warning' | 'note';

export interface Place {
  readonly file?: string;
  readonly node?: string;
  readonly value?: string;
  readonly axis?: number;
}

export interface Diagnostic {
  /** Kebab-case, stable: scripts may test it. */
  readonly code: string;
  readonly severity: Severity;
  readonly message: string;
  readonly at?: Place;
  readonly notes?: readonly string[];
  readonly fix?: string;
}

type Details = Pick<Diagnostic, 'at' | 'notes' | 'fix'>;
const saying =
  (severity: Severity) =>
  (code: string, message: string, details: Details = {}): Diagnostic => ({ code, severity, message, ...details });

/** Builders of the messages files. */
export const error = saying('error');
export const warning = saying('warning');
export const note = saying('note');

/** A refusal: the model or the data cannot be handled. Exit code 1, nothing written. */
export class CompileError extends Error {
  override readonly name = 'CompileError';
  readonly diagnostic: Diagnostic;
  constructor(diagnostic: Diagnostic, options?: { cause?: unknown }) {
    super(diagnostic.message, options);
    this.diagnostic = diagnostic;
  }
}

/** Where warnings and notes are gathered during a run. */
export interface Report {
  readonly diagnostics: Diagnostic[];
}
export const newReport = (): Report => ({ diagnostics: [] });
