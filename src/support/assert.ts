/** Raised when the compiler breaks its own rules: our bug, never the user's model. Exit code 70. */
export class InternalError extends Error {
  override readonly name = 'InternalError';
}

/** Asserts our own logic. Never for a user's mistake. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InternalError(message);
}
