/**
 * The fused kernels, for tests that need them. They may be left unbuilt, and such tests are then skipped with the
 * reason; but not where PUMER_REQUIRE_KERNELS is set, and never where they were built and do not load.
 */
import { describe } from 'vitest';
import { findKernels, type Kernels } from '../../src/runtime/kernels.ts';

const found = findKernels();
const isRequired = (process.env['PUMER_REQUIRE_KERNELS'] ?? '') !== '';
const isSkipped = found.kernels === undefined && !found.isBuilt && !isRequired;

/** A `describe` of tests on the kernels. */
export const describeKernels = (name: string, body: () => void): void => {
  if (isSkipped) describe.skip(`${name} (skipped: kernels are not built, npm run build:kernels)`, body);
  else describe(name, body);
};

/** Throws where there are none, which fails the test that asks. */
export const kernels = (): Kernels => {
  if (found.kernels === undefined) throw new Error(`the kernels cannot be used: ${found.reason.message}`);
  return found.kernels;
};

/** The instruction sets of the kernels that this processor has, lowest first. */
export const levelsHere = (): string[] => {
  if (found.kernels === undefined) return ['scalar'];
  const all = ['scalar', 'avx2', 'avx512'];
  return all.slice(0, all.indexOf(found.kernels.level) + 1);
};
