/**
 * `npm run conformance -- DIR...`: checks the compiler on folders of real exports (see cases.ts for the layouts).
 * Prints one line per case and check and a total; exit code 1 on a miss.
 *
 *   --only TEXT         cases whose name contains TEXT
 *   --check NAMES       of identity, reduction, parity, refusal (comma-separated)
 *   --ops function|inline
 *   --saliency probs|recompute
 *   --kernels           reducers run on the fused kernels instead of the function's body
 *   --allow-refusals    a refused case is never a miss
 *   --save DIR          keep every compiled model there, with a manifest for check.py
 *   --json FILE         what each check found, for table.ts
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { loadRuntime } from '../../src/runtime/session.ts';
import { findCases, readCase, type Case } from './cases.ts';
import { identity, parity, reduction, refusal, type Bench, type Verdict } from './checks.ts';
import type { CaseResult, CheckResult, RunResult } from './result.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    check: { type: 'string' },
    ops: { type: 'string' },
    saliency: { type: 'string' },
    kernels: { type: 'boolean' },
    'allow-refusals': { type: 'boolean' },
    save: { type: 'string' },
    json: { type: 'string' },
  },
});

const main = async (): Promise<number> => {
  if (positionals.length === 0) {
    console.error(
      'usage: npm run conformance -- DIR... [--only TEXT] [--check NAMES] [--ops inline] [--saliency recompute] [--kernels] [--save DIR] [--json FILE]',
    );
    return 2;
  }
  const load = await loadRuntime(values.kernels === true ? 'fused' : 'portable');
  if (load.runtime === undefined) {
    console.error(load.reason.message);
    return 1;
  }
  const kept = values.save === undefined ? undefined : resolve(values.save);
  const folder = kept ?? mkdtempSync(join(tmpdir(), 'pumer-conformance-'));
  mkdirSync(folder, { recursive: true });
  const manifest: { input: string; output: string }[] = [];
  const bench: Bench = {
    runtime: load.runtime,
    options: {
      ...(values.ops === 'inline' && { ops: 'inline' }),
      ...(values.saliency === 'recompute' && { saliency: 'recompute' }),
    },
    place: (test, check) => {
      const output = join(folder, `${test.name.replaceAll('/', '.')}.${check}.onnx`);
      manifest.push({ input: resolve(test.model), output });
      return output;
    },
  };
  const wanted = new Set((values.check ?? 'identity,reduction,parity,refusal').split(','));
  const tally = { pass: 0, fail: 0, refused: 0 };
  const results: CaseResult[] = [];
  const report = (test: Case, check: string, verdict: Verdict): void => {
    const miss = verdict.outcome === 'refused' && test.mustCompile && values['allow-refusals'] !== true;
    const outcome = miss ? 'fail' : verdict.outcome;
    tally[outcome]++;
    const word = { fail: 'MISS   ', pass: 'ok     ', refused: 'refused' }[outcome];
    console.log(`${word} ${test.name} ${check}: ${miss ? 'refused: ' : ''}${verdict.text}`);
    const found: CheckResult = { check, ...verdict };
    const last = results.at(-1);
    if (last?.name === test.name) results.splice(-1, 1, { ...last, checks: [...last.checks, found] });
    else
      results.push({
        name: test.name,
        ...test.kind,
        mustBeRefused: test.mustBeRefused,
        runs: test.runs,
        checks: [found],
      });
  };
  const writeResults = (file: string): void => {
    const run: RunResult = { schema_version: 1, cases: results };
    writeFileSync(file, `${JSON.stringify(run, null, 1)}\n`);
  };

  try {
    for (const root of positionals) {
      for (const path of findCases(root)) {
        const test = readCase(path, root);
        if (values.only !== undefined && !test.name.includes(values.only)) continue;
        if (test.mustBeRefused) {
          if (wanted.has('refusal')) report(test, 'refusal', refusal(test));
          continue;
        }
        let refused = false;
        if (wanted.has('identity')) report(test, 'identity', await identity(bench, test));
        if (wanted.has('reduction')) {
          const verdict = await reduction(bench, test);
          refused = verdict.outcome === 'refused';
          report(test, 'reduction', verdict);
        }
        if (wanted.has('parity') && test.runs) {
          for (const config of test.parity) report(test, `parity ${config.key}`, await parity(bench, test, config));
        }
        if (refused && wanted.has('refusal')) report(test, 'refusal', refusal(test));
      }
    }
  } finally {
    if (kept === undefined) rmSync(folder, { recursive: true, force: true });
    else writeFileSync(join(kept, 'manifest.json'), JSON.stringify(manifest, null, 1));
    if (values.json !== undefined) writeResults(values.json);
  }
  const total = tally.pass + tally.fail + tally.refused;
  console.log(`${total} checks: ${tally.pass} passed, ${tally.fail} missed, ${tally.refused} refused`);
  return tally.fail > 0 || total === 0 ? 1 : 0;
};

process.exitCode = await main();
