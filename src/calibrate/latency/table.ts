/**
 * The table of measured plans as text: written with a calibration, read strictly, so that a plan is found again from
 * recorded times and a damaged file is never taken for a measurement.
 */
import { parsePlan, printPlan, type ReductionPlan, type Semantics } from '../../reduction/plan.ts';
import type { OpenSite } from '../candidate-model.ts';
import type { LatencyTable, Measured, TimedPlan } from './model.ts';
import { isFields, parseVersioned, type Fields } from '../../support/versioned-json.ts';

const measuredOf = ({ median, low, high }: Measured): Measured => ({ median, low, high });

/** Stable: the same table gives the same bytes. */
export const printLatencyTable = (table: LatencyTable): string =>
  `${JSON.stringify(
    {
      schema_version: table.schema_version,
      machine: table.machine,
      threads: table.threads,
      batch: table.batch,
      image: table.image,
      text: table.text,
      timed: table.timed.map(({ plan, original, compiled, ratio, turns }) => ({
        plan: JSON.parse(printPlan(plan)) as ReductionPlan,
        original: measuredOf(original),
        compiled: measuredOf(compiled),
        ratio: measuredOf(ratio),
        turns,
      })),
    },
    null,
    2,
  )}\n`;

/** What is wrong, as a sentence. */
class Flaw extends Error {}

const fieldsOf = (value: unknown, where: string, names: readonly string[]): Fields => {
  if (!isFields(value)) throw new Flaw(`${where} is not an object`);
  const stranger = Object.keys(value).find((name) => !names.includes(name));
  if (stranger !== undefined) throw new Flaw(`${where} has an unknown field "${stranger}"`);
  const missing = names.find((name) => !(name in value));
  if (missing !== undefined) throw new Flaw(`${where} lacks the field "${missing}"`);
  return value;
};

const positive = (value: unknown, where: string): number => {
  if (typeof value !== 'number' || !Number.isFinite(value) || value <= 0)
    throw new Flaw(`${where} must be a number above 0`);
  return value;
};

const whole = (value: unknown, where: string, least: number): number => {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least)
    throw new Flaw(`${where} must be a whole number from ${least} on`);
  return value;
};

const readMeasured = (value: unknown, where: string): Measured => {
  const fields = fieldsOf(value, where, ['median', 'low', 'high']);
  const of = (name: string): number => positive(fields[name], `${where}.${name}`);
  const measured = { median: of('median'), low: of('low'), high: of('high') };
  if (measured.low > measured.median || measured.median > measured.high)
    throw new Flaw(`${where}: the median lies outside the quartiles`);
  return measured;
};

const readTimed = (value: unknown, where: string): TimedPlan => {
  const fields = fieldsOf(value, where, ['plan', 'original', 'compiled', 'ratio', 'turns']);
  const plan = parsePlan(JSON.stringify(fields['plan']));
  if (typeof plan === 'string') throw new Flaw(`${where}.plan cannot be used: ${plan}`);
  return {
    plan,
    original: readMeasured(fields['original'], `${where}.original`),
    compiled: readMeasured(fields['compiled'], `${where}.compiled`),
    ratio: readMeasured(fields['ratio'], `${where}.ratio`),
    turns: whole(fields['turns'], `${where}.turns`, 1),
  };
};

const readTable = (given: unknown): LatencyTable => {
  const fields = fieldsOf(given, 'it', ['schema_version', 'machine', 'threads', 'batch', 'image', 'text', 'timed']);
  const { machine, timed } = fields;
  if (typeof machine !== 'string') throw new Flaw('machine must be text');
  if (!Array.isArray(timed) || timed.length === 0) throw new Flaw('timed must be a list of at least one plan');
  const list = timed.map((one, i) => readTimed(one, `timed[${i}]`));
  const other = list.findIndex((one) => one.plan.semantics !== list[0]?.plan.semantics);
  if (other > 0) throw new Flaw(`timed[${other}] has other semantics than timed[0]`);
  return {
    schema_version: 1,
    machine,
    threads: fields['threads'] === null ? null : whole(fields['threads'], 'threads', 1),
    batch: whole(fields['batch'], 'batch', 1),
    image: whole(fields['image'], 'image', 0),
    text: whole(fields['text'], 'text', 0),
    timed: list,
  };
};

/** Reads a table; what is wrong with it comes back as a sentence. */
export const parseLatencyTable = (text: string): LatencyTable | string => {
  const given = parseVersioned(text);
  if (typeof given === 'string') return given;
  try {
    return readTable(given);
  } catch (error) {
    if (error instanceof Flaw) return error.message;
    throw error;
  }
};

/** What a calibration is of, as far as times depend on it. */
export interface TimedProblem {
  readonly image: number;
  readonly sites: readonly OpenSite[];
  readonly semantics: Semantics;
  readonly batch: number;
  readonly threads: number | null;
}

/** Why a table says nothing of a calibration's plans, as a sentence; machine and texts may be other ones. */
export const whyUnfit = (table: LatencyTable, problem: TimedProblem): string | undefined => {
  for (const what of ['image', 'batch', 'threads'] as const)
    if (table[what] !== problem[what]) {
      const name = { image: 'image tokens', batch: 'rows of a run', threads: 'threads' }[what];
      return `${name}: ${table[what] ?? 'the default'} there, ${problem[what] ?? 'the default'} here`;
    }
  const open = new Set(problem.sites.map((s) => s.layer));
  for (const { plan } of table.timed) {
    if (plan.semantics !== problem.semantics) return `it is of plans for ${plan.semantics}`;
    const other = plan.sites.find((s) => !open.has(s.layer));
    if (other !== undefined) return `it has a plan with layer ${other.layer}, which is not open here`;
  }
  return undefined;
};
