/** Text in columns: widths by the longest cell, no rules. Knows nothing of what is in them. */

export type Alignment = 'left' | 'right';

/** Lengths as a terminal shows them: colours take no room. */
const shown = (cell: string): number => cell.replaceAll(/\u001b\[\d+m/g, '').length;

/** One line a row; the last column is not padded. */
export const columns = (rows: readonly (readonly string[])[], alignments: readonly Alignment[] = []): string[] => {
  const count = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: count }, (_, i) => Math.max(...rows.map((row) => shown(row[i] ?? ''))));
  return rows.map((row) =>
    row
      .map((cell, i) => {
        const space = ' '.repeat((widths[i] ?? 0) - shown(cell));
        return alignments[i] === 'right' ? space + cell : cell + space;
      })
      .join('  ')
      .trimEnd(),
  );
};

/** 1234567 as "1.2 MB", decimal as file systems and vendors count. */
export const bytesText = (bytes: number): string => scaled(bytes, [' B', ' kB', ' MB', ' GB', ' TB']);

/** 1234567 as "1.23 M". */
export const countText = (count: number): string => scaled(count, ['', ' k', ' M', ' G', ' T', ' P'], 2);

const scaled = (value: number, units: readonly string[], digits = 1): string => {
  let unit = 0;
  let left = value;
  while (left >= 999.95 && unit < units.length - 1) {
    left /= 1000;
    unit++;
  }
  return `${unit === 0 ? left : left.toFixed(digits)}${units[unit] ?? ''}`;
};

export const shareText = (share: number): string => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

export const timeText = (milliseconds: number): string =>
  milliseconds < 1000 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
