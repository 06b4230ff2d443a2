/**
 * A private folder beside an output, in which it is made and tried before it takes its place: until then nothing of an
 * older output is touched, and throwing the folder away leaves no trace. Throws the file system's own errors.
 */
import { linkSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { statIfAny } from './files.ts';

export interface Staging {
  readonly folder: string;
  /** Where to make the output: its own name, in the folder. */
  readonly path: string;
  /** Where a file made in the folder goes. */
  readonly destination: (name: string) => string;
  /** Moves the named files beside the output, in this order, all of them or none; ends the staging. */
  readonly place: (names: readonly string[]) => void;
  /** Removes the folder and what is in it; may be called again. */
  readonly discard: () => void;
}

export const stageBeside = (output: string): Staging => {
  const home = dirname(output);
  const folder = mkdtempSync(join(home, `.${basename(output)}.`));
  const destination = (name: string): string => join(home, name);
  const discard = (): void => rmSync(folder, { recursive: true, force: true });
  const setAside = (name: string): string | undefined => {
    if (statIfAny(destination(name)) === undefined) return undefined;
    const aside = join(folder, `${name}.older`);
    linkSync(destination(name), aside);
    return aside;
  };
  const place = (names: readonly string[]): void => {
    const undo: (() => void)[] = [];
    try {
      names.forEach((name, i) => {
        // The last rename either happens or not, so only the files before it need a way back.
        const aside = i < names.length - 1 ? setAside(name) : undefined;
        renameSync(join(folder, name), destination(name));
        undo.push(() =>
          aside === undefined ? rmSync(destination(name), { force: true }) : renameSync(aside, destination(name)),
        );
      });
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    } finally {
      discard();
    }
  };
  return { folder, path: join(folder, basename(output)), destination, place, discard };
};
