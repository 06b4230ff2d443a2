/**
 * The error for a command line that cannot be used as it is.
 */
import type { Diagnostic } from '../diagnostics/diagnostic.ts';

/** The command line cannot be used as it is. Exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly diagnostic: Diagnostic;
  constructor(diagnostic: Diagnostic) {
    super(diagnostic.message);
    this.diagnostic = diagnostic;
  }
}
