/**
 * How a command is watched from outside while it works.
 */
export interface Watch {
  /** What is being done now. */
  readonly progress: (step: string) => void;
  /** Aborted: what was written aside is removed and nothing is put in place. */
  readonly signal: AbortSignal;
  /** Version of Node, told with what was timed. */
  readonly node?: string;
}
