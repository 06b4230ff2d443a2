/**
 * The most memory this process ever had in use, in bytes. Linux keeps it for what the process runs now; the figure of
 * getrusage would count the parent's memory at the moment of the fork as well (getrusage(2), RUSAGE_SELF after exec).
 */
import { readFileSync } from 'node:fs';

/** `maxRss` gives kilobytes, as `process.resourceUsage().maxRSS` does: what is used where there is no /proc. */
export const peakMemory = (maxRss: () => number): number => {
  try {
    const kib = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
    if (kib !== undefined) return Number(kib) * 1024;
  } catch {
    // No such file system here.
  }
  return maxRss() * 1024;
};
