/**
 * `npm run support-table -- RESULT.json... [--into PAGE.md]`: the support table, from the runs themselves. Rows are
 * families and exporters, columns number types; refusals carry a letter that the list below the table explains.
 * Printed, or put between the two marker comments of a page. Decides nothing and leaves nothing out.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { readResult, type CaseResult } from './result.ts';

export const BEGIN = '<!-- support table: begin (npm run support-table) -->';
export const END = '<!-- support table: end -->';

/** By how the variant's name begins; the first that fits. What a variant holds is said below the table. */
const COLUMNS: readonly { readonly title: string; readonly variants: readonly string[] }[] = [
  { title: 'float32', variants: [''] },
  { title: 'float16', variants: ['fp16', 'half'] },
  { title: 'bfloat16', variants: ['bf16'] },
  { title: 'dynamic int8', variants: ['int8', 'uint8'] },
  { title: 'QDQ int8', variants: ['qdq'] },
  { title: '4-bit', variants: ['q4'] },
  { title: 'saved by ONNX Runtime', variants: ['ortopt', 'ortbasic'] },
  { title: 'fused by its tool', variants: ['ortfuse'] },
  { title: 'simplified', variants: ['slim', 'sim'] },
  { title: 'external data', variants: ['external'] },
];

const columnOf = (variant = ''): string =>
  COLUMNS.find(({ variants }) => variants.some((v) => (v === '' ? variant === '' : variant.startsWith(v))))?.title ??
  variant;

type Fate = 'compiles' | 'refused' | 'wrong';

const refusalOf = ({ checks }: CaseResult): { code: string; text: string } | undefined => {
  const found = checks.find((c) => c.outcome === 'refused') ?? checks.find((c) => c.check === 'refusal');
  return found === undefined ? undefined : { code: found.code ?? 'no code', text: found.text };
};

export const fateOf = (result: CaseResult): Fate => {
  const { checks, mustBeRefused } = result;
  if (checks.some((c) => c.outcome === 'fail')) return 'wrong';
  return mustBeRefused || checks.some((c) => c.outcome === 'refused') ? 'refused' : 'compiles';
};

/** Footnotes in order of first use. */
class Reasons {
  readonly #found = new Map<string, { letter: string; example: string; count: number }>();

  letterOf(result: CaseResult): string {
    const refusal = refusalOf(result) ?? { code: 'no code', text: '' };
    const known = this.#found.get(refusal.code);
    if (known !== undefined) {
      this.#found.set(refusal.code, { ...known, count: known.count + 1 });
      return known.letter;
    }
    const number = this.#found.size;
    const letter = number < 26 ? String.fromCharCode(97 + number) : `r${number}`;
    this.#found.set(refusal.code, { letter, example: `${result.name}: ${refusal.text}`, count: 1 });
    return letter;
  }

  lines(): string[] {
    return [...this.#found].map(
      ([code, { letter, example, count }]) =>
        `- (${letter}) \`${code}\`, ${count} ${count === 1 ? 'case' : 'cases'}; one says: ${plain(example)}`,
    );
  }
}

const MESSAGE_LENGTH = 240;
/** One line of prose that Markdown leaves alone; the way to the file on this machine is nobody's business. */
const plain = (text: string): string => {
  const line = text.replace(/(?:[\w.-]*\/)+(?=[\w.-]+\.onnx)/g, '').replace(/\s+/g, ' ');
  const short = line.length > MESSAGE_LENGTH ? `${line.slice(0, MESSAGE_LENGTH)}...` : line;
  return short.replace(/[|*_<>`[\]]/g, (c) => `\\${c}`);
};

const wrongLine = ({ name, checks }: CaseResult): string =>
  `- ${plain(`${name}: ${checks.flatMap((c) => (c.outcome === 'fail' ? [`${c.check}: ${c.text}`] : [])).join('; ')}`)}`;

const percent = (share: number): string => {
  const value = 100 * share;
  return `${value < 0.01 ? '< 0.01' : value.toPrecision(2)} %`;
};

const cellOf = (results: readonly CaseResult[], reasons: Reasons): string => {
  if (results.length === 0) return '';
  const by = (fate: Fate): CaseResult[] => results.filter((r) => fateOf(r) === fate);
  const [compiles, refused, wrong] = [by('compiles'), by('refused'), by('wrong')];
  const letters = [...new Set(refused.map((r) => reasons.letterOf(r)))].join(', ');
  const parity = compiles.flatMap(({ checks }) =>
    checks.flatMap((c) => (c.check.startsWith('parity') && c.figure !== undefined ? [c.figure] : [])),
  );
  const many = results.length === 1 ? '' : ` (${results.length})`;
  const parts: string[] = [];
  if (compiles.length === results.length) parts.push(`yes${many}`);
  else if (compiles.length > 0) parts.push(`yes: ${compiles.length} of ${results.length}`);
  if (compiles.some((r) => !r.runs)) parts.push('not run');
  if (parity.length > 0) parts.push(`parity ${percent(Math.max(...parity))}`);
  if (refused.length > 0) parts.push(`refused${refused.length === results.length ? many : ''} (${letters})`);
  if (wrong.length > 0) parts.push(`**WRONG: ${wrong.length}**`);
  return parts.join(', ');
};

/** "ts 11, 14, 17" of the opsets that occur. */
const exporterOf = (results: readonly CaseResult[]): string => {
  const opsets = [...new Set(results.flatMap((r) => r.opset ?? []))].sort((a, b) => a - b).join(', ');
  return `${results[0]?.exporter ?? 'opset'} ${opsets}`;
};

const groupsOf = <T>(items: readonly T[], key: (item: T) => string): ReadonlyMap<string, readonly T[]> => {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
};

/** The table with its footnotes, as Markdown. Of two results with one name the later counts. */
export const supportTable = (all: readonly CaseResult[]): string => {
  const results = [...new Map(all.map((r) => [r.name, r])).values()];
  const titles = [...new Set([...COLUMNS.map((c) => c.title), ...results.map((r) => columnOf(r.variant))])];
  const used = titles.filter((title) => results.some((r) => columnOf(r.variant) === title));
  const reasons = new Reasons();
  const row = (family: string, group: readonly CaseResult[]): string => {
    const cells = used.map((title) =>
      cellOf(
        group.filter((r) => columnOf(r.variant) === title),
        reasons,
      ),
    );
    return `| ${[family, exporterOf(group), ...cells].join(' | ')} |`;
  };
  const rowsOf = (cases: readonly CaseResult[]): string[] =>
    [...groupsOf(cases, (r) => JSON.stringify([r.family, r.exporter, r.attention]))]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, group]) => {
        const [first] = group;
        return row(`${first?.family}${first?.attention === 'sdpa' ? ' (sdpa)' : ''}`, group);
      });
  const wrong = results.filter((r) => fateOf(r) === 'wrong');
  const count = (fate: Fate): number => results.filter((r) => fateOf(r) === fate).length;
  return [
    `${results.length} models: ${count('compiles')} compile, ${count('refused')} are refused, ${count('wrong')} are wrong.`,
    '"yes": identity and reduction passed; the number in brackets says on how many models (shapes, opsets and variants of',
    'one column); "not run": compiled, but no runtime at hand has the kernels; "parity": the largest error against the',
    'published reducers, as a share of what they change; an empty cell was not tried.',
    '',
    `| ${['model', 'exporter and opsets', ...used].join(' | ')} |`,
    `| ${['model', 'exporter and opsets', ...used].map(() => '---').join(' | ')} |`,
    ...rowsOf(results.filter((r) => !r.mustBeRefused)),
    ...rowsOf(results.filter((r) => r.mustBeRefused)),
    '',
    'Refused:',
    '',
    ...reasons.lines(),
    ...(wrong.length === 0 ? [] : ['', 'Wrong:', '', ...wrong.map(wrongLine)]),
  ].join('\n');
};

/** The page with what stands between the marker comments replaced. */
export const intoPage = (page: string, table: string): string => {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`the page has no place for the table: ${BEGIN} ... ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${table}\n\n${page.slice(end)}`;
};

const main = (): void => {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { into: { type: 'string' } } });
  if (positionals.length === 0) throw new Error('usage: npm run support-table -- RESULT.json... [--into PAGE.md]');
  const table = supportTable(positionals.flatMap((file) => readResult(file).cases));
  if (values.into === undefined) console.log(table);
  else writeFileSync(values.into, intoPage(readFileSync(values.into, 'utf8'), table));
};

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) main();
