/**
 * Work that an abort may cut short without failing.
 */

/** The step's result; undefined where the signal is aborted before it or ends it. Rejects with what else it rejects with. */
export const unlessAborted = async <T>(signal: AbortSignal, step: () => Promise<T>): Promise<T | undefined> => {
  const isAborted = (): boolean => signal.aborted;
  if (isAborted()) return undefined;
  try {
    return await step();
  } catch (error) {
    if (isAborted()) return undefined;
    throw error;
  }
};
