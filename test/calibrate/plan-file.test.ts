/** plan.json as calibrations write it: `--plan` reads it, docs/plan.schema.json describes it, and it says no more. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { planFileOf, printPlanFile, type CalibrationRecord } from '../../src/calibrate/plan-file.ts';
import { parsePlan, type ReductionPlan } from '../../src/reduction/plan.ts';

type Schema = Readonly<Record<string, unknown>>;
const schema = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../docs/plan.schema.json', import.meta.url)), 'utf8'),
) as Schema;

const typeOf = (value: unknown): string =>
  value === null ? 'null' : Array.isArray(value) ? 'array' : Number.isInteger(value) ? 'integer' : typeof value;

const rules: Readonly<Record<string, (rule: never, value: unknown, at: string, all: Schema) => string[]>> = {
  $ref: (name: string, value, at) => breaches((schema['$defs'] as Record<string, Schema>)[name.slice(8)], value, at),
  const: (wanted: unknown, value, at) => (value === wanted ? [] : [`${at} is not ${String(wanted)}`]),
  enum: (wanted: unknown[], value, at) => (wanted.includes(value) ? [] : [`${at} is none of ${wanted.join(', ')}`]),
  type: (wanted: string | string[], value, at) => {
    const types = [wanted].flat();
    const found = typeOf(value);
    return types.includes(found) || (found === 'integer' && types.includes('number'))
      ? []
      : [`${at} is ${found}, not ${types.join(' or ')}`];
  },
  minimum: (least: number, value, at) => ((value as number) >= least ? [] : [`${at} is below ${least}`]),
  exclusiveMaximum: (most: number, value, at) => ((value as number) < most ? [] : [`${at} is not below ${most}`]),
  minProperties: (least: number, value, at) =>
    Object.keys(value as object).length >= least ? [] : [`${at} has too few fields`],
  required: (names: string[], value, at) =>
    names.filter((name) => !(name in (value as object))).map((name) => `${at}.${name} is missing`),
  properties: (of: Record<string, Schema>, value, at) =>
    Object.entries(value as object).flatMap(([name, v]) => (name in of ? breaches(of[name], v, `${at}.${name}`) : [])),
  additionalProperties: (_: false, value, at, all) =>
    Object.keys(value as object)
      .filter((name) => !(name in (all['properties'] as object)))
      .map((name) => `${at}.${name} is not described`),
  items: (of: Schema, value, at) => (value as unknown[]).flatMap((v, i) => breaches(of, v, `${at}[${i}]`)),
  anyOf: (of: Schema[], value, at) => {
    const each = of.map((one) => breaches(one, value, at));
    return each.some((found) => found.length === 0) ? [] : each.flat();
  },
};
const silent = new Set(['$schema', '$defs', 'title', 'description']);

/** The part of JSON Schema that the page uses; a word it does not know fails the test. */
function breaches(of: Schema | undefined, value: unknown, at = 'plan'): string[] {
  if (of === undefined) return [`${at}: no such definition`];
  const wrongType = 'type' in of ? (rules['type']?.(of['type'] as never, value, at, of) ?? []) : [];
  if (wrongType.length > 0) return wrongType;
  return Object.entries(of)
    .filter(([word]) => !silent.has(word))
    .flatMap(([word, rule]) => rules[word]?.(rule as never, value, at, of) ?? [`the schema says "${word}"`]);
}

const plan: ReductionPlan = {
  schema_version: 1,
  semantics: 'safe',
  sites: [
    { layer: 1, prune: 0, merge: 0.25, mergeText: 0 },
    { layer: 3, prune: 0.1, merge: 0.3125, mergeText: 0.2 },
  ],
};
const time = { median: 9.5, low: 9.4, high: 9.75 };
const figures = {
  samples: 500,
  drop: { mean: 0.002, low: -0.001, high: 0.005 },
  agreement: { mean: 0.99, low: 0.98, high: 0.995 },
};
const record: CalibrationRecord = {
  tool: { name: 'pumer-compile', version: '0.1.0' },
  model: { file: 'model.onnx', sha256: 'ab12' },
  data: { source: 'samples: "a, b"', choosing: 500, judging: 500, labelled: true },
  metric: { name: 'accuracy', output: 'logits' },
  budget: { maxDrop: 0.01 },
  missed: [{ limit: 'max-drop', wanted: 0.01, found: 0.012, where: 'judging' }],
  interrupted: false,
  choosing: figures,
  held_out: figures,
  speedup: { predicted: 1.61, measured: { original_ms: time, compiled_ms: time, ratio: time } },
  multiply_adds_left: 0.55,
  front: [{ sites: plan.sites, drop: 0.001, agreement: 0.99, predicted_speedup: 1.6 }],
  search: { effort: 'default', seed: 0, plans: 150, plan_samples: 20_100 },
  latency: {
    schema_version: 1,
    machine: 'two cores',
    threads: null,
    batch: 1,
    image: 145,
    text: 24,
    timed: [{ plan, original: time, compiled: time, ratio: time, turns: 12 }],
  },
};

describe('a plan file', () => {
  const text = printPlanFile(planFileOf(plan, record));

  test('is a plan, and holds what it was made with', () => {
    expect(parsePlan(text)).toEqual(plan);
    expect(JSON.parse(text)).toEqual({ ...plan, calibration: record });
  });

  test('has a site a line, to be edited', () => {
    expect(text).toContain('\n    { "layer": 1, "prune": 0, "merge": 0.25, "mergeText": 0 },\n');
    expect(text).toContain('\n    { "layer": 3, "prune": 0.1, "merge": 0.3125, "mergeText": 0.2 }\n  ],\n');
    expect(text.endsWith('}\n')).toBe(true);
  });

  test('without sites, measurements or held-out figures', () => {
    const bare = planFileOf(
      { ...plan, sites: [] },
      { ...record, held_out: null, speedup: { predicted: 1, measured: null }, interrupted: true },
    );
    expect(parsePlan(printPlanFile(bare))).toEqual({ ...plan, sites: [] });
    expect(breaches(schema, JSON.parse(printPlanFile(bare)))).toEqual([]);
  });
});

describe('docs/plan.schema.json', () => {
  const written = (): Record<string, unknown> =>
    JSON.parse(printPlanFile(planFileOf(plan, record))) as Record<string, unknown>;

  test('fits what is written, and a plan by hand', () => {
    expect(breaches(schema, written())).toEqual([]);
    expect(breaches(schema, { schema_version: 1, semantics: 'pumer', sites: [{ layer: 2, prune: 0.1 }] })).toEqual([]);
  });

  test.each([
    ['a ratio of 1', { sites: [{ layer: 0, prune: 1 }] }, 'plan.sites[0].prune is not below 1'],
    ['a site without a layer', { sites: [{ prune: 0.1 }] }, 'plan.sites[0].layer is missing'],
    ['a stranger', { keep: 0.7 }, 'plan.keep is not described'],
    ['another version', { schema_version: 2 }, 'plan.schema_version is not 1'],
    ['a budget of nothing', { calibration: { ...record, budget: {} } }, 'plan.calibration.budget has too few fields'],
    [
      'a figure that is none',
      { calibration: { ...record, multiply_adds_left: '55 %' } },
      'plan.calibration.multiply_adds_left is string, not number',
    ],
  ])('notices %s', (_, change, breach) => {
    expect(breaches(schema, { ...written(), ...change })).toEqual([breach]);
  });
});
