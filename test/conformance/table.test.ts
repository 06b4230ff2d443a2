/** The support table says of every case what its checks found: nothing wrong passes for support, no refusal for a miss. */
import { describe, expect, test } from 'vitest';
import type { CaseResult, CheckResult } from './result.ts';
import { BEGIN, END, fateOf, intoPage, supportTable } from './table.ts';

const ok = (check: string, figure?: number): CheckResult => ({
  check,
  outcome: 'pass',
  text: 'fine',
  ...(figure !== undefined && { figure }),
});
const refused = (code: string): CheckResult => ({ check: 'reduction', outcome: 'refused', text: `${code}: no`, code });

const made = (name: string, checks: readonly CheckResult[], rest: Partial<CaseResult> = {}): CaseResult => ({
  name,
  family: 'vilt',
  exporter: 'ts',
  opset: 17,
  mustBeRefused: false,
  runs: true,
  checks,
  ...rest,
});

const cells = (table: string, start: string): string[] =>
  (table.split('\n').find((line) => line.startsWith(`| ${start}`)) ?? '').split('|').map((cell) => cell.trim());

describe('the fate of a case', () => {
  test('a failed check is never support, whatever else passed', () => {
    expect(fateOf(made('a', [ok('identity'), { check: 'reduction', outcome: 'fail', text: 'NaN' }]))).toBe('wrong');
    expect(fateOf(made('a', [{ check: 'identity', outcome: 'fail', text: 'off' }, refused('not-understood')]))).toBe(
      'wrong',
    );
  });

  test('a model to be refused that compiles is wrong', () => {
    const compiled: CheckResult = { check: 'refusal', outcome: 'fail', text: 'exit code 0' };
    expect(fateOf(made('a', [compiled], { mustBeRefused: true }))).toBe('wrong');
    expect(fateOf(made('a', [ok('refusal')], { mustBeRefused: true }))).toBe('refused');
  });
});

describe('the table', () => {
  const table = supportTable([
    made('a', [ok('identity'), ok('reduction', 0.7), ok('parity x', 0.0123), ok('parity y', 0.002)]),
    made('b', [ok('identity'), ok('reduction', 0.8)], { opset: 11 }),
    made('c', [refused('not-understood')], { variant: 'int8' }),
    made('d', [ok('identity'), { check: 'reduction', outcome: 'fail', text: 'crash' }], { variant: 'fp16-io' }),
    made('e', [refused('mask-not-understood')], { exporter: 'dynamo', opset: 18 }),
    made('f', [ok('identity'), ok('reduction')], { exporter: 'dynamo', opset: 23 }),
    made('g', [{ ...ok('refusal'), code: 'no-cross-modal-layer' }], { family: 'clip', mustBeRefused: true }),
  ]);

  test('counts, worst parity, misses and refusals with their reasons', () => {
    expect(cells(table, 'model')).toEqual([
      '',
      'model',
      'exporter and opsets',
      'float32',
      'float16',
      'dynamic int8',
      '',
    ]);
    expect(cells(table, 'vilt | ts')).toEqual([
      '',
      'vilt',
      'ts 11, 17',
      'yes (2), parity 1.2 %',
      '**WRONG: 1**',
      'refused (b)',
      '',
    ]);
    expect(cells(table, 'vilt | dynamo')).toEqual([
      '',
      'vilt',
      'dynamo 18, 23',
      'yes: 1 of 2, refused (a)',
      '',
      '',
      '',
    ]);
    expect(cells(table, 'clip')[3]).toBe('refused (c)');
    expect(table).toContain('- (b) `not-understood`, 1 case');
    expect(table).toContain('- d: reduction: crash');
    expect(table).toContain('7 models: 3 compile, 3 are refused, 1 are wrong.');
  });

  test('what could not be run is not called run', () => {
    const narrow = supportTable([made('a', [ok('reduction')], { variant: 'bf16', runs: false })]);
    expect(cells(narrow, 'vilt')[3]).toBe('yes, not run');
  });

  test('a later run of the same case takes the place of an earlier one', () => {
    const again = supportTable([made('a', [refused('not-understood')]), made('a', [ok('reduction')])]);
    expect(cells(again, 'vilt')[3]).toBe('yes');
  });

  test('goes between the markers, again and again, and touches nothing else', () => {
    const page = `before\n${BEGIN}\nold\n${END}\nafter`;
    const once = intoPage(page, table);
    expect(once.startsWith(`before\n${BEGIN}\n\n7 models`)).toBe(true);
    expect(once.endsWith(`${END}\nafter`)).toBe(true);
    expect(once).not.toContain('old');
    expect(intoPage(once, table)).toBe(once);
    expect(() => intoPage('a page without a place', table)).toThrow('no place');
  });
});
