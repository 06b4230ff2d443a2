/**
 * JSON files that say which version of their form they have: plans, latency tables, states of a search.
 */

export type Fields = Readonly<Record<string, unknown>>;

export const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The object in a text whose schema_version is 1; what is wrong comes back as a part of a sentence. */
export const parseVersioned = (text: string): Fields | string => {
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch (error) {
    return `it is not JSON (${(error as Error).message})`;
  }
  if (!isFields(given)) return 'it is not an object';
  const version = given['schema_version'];
  return version === 1 ? given : `schema_version must be 1, found ${JSON.stringify(version)}`;
};
