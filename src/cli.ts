#!/usr/bin/env node
/**
 * The program: arguments in, text and an exit code out. The only file that touches the process; what to do is decided
 * in flags/, compile-file.ts and inspect.ts, how it is worded in the messages files and reports.
 */
import { checkInputNames, compileFile } from './compile-file.ts';
import { crashReport } from './crash.ts';
import { CompileError, type Diagnostic } from './diagnostics/diagnostic.ts';
import { validationGate } from './diagnostics/messages-validate.ts';
import { diagnosticText, inFile } from './diagnostics/render.ts';
import { colourStyle, plainStyle, type Style } from './diagnostics/style.ts';
import { parseCommandLine, wantsJson } from './flags/command-line.ts';
import type { CompileRequest } from './flags/compile.ts';
import type { InspectRequest } from './flags/inspect.ts';
import type { Display } from './flags/read.ts';
import { UsageError } from './flags/usage-error.ts';
import type { ValidateRequest } from './flags/validate.ts';
import { inspectModel } from './inspect.ts';
import { readModel } from './onnx/read.ts';
import { inspectionText } from './report/inspection.ts';
import { compileTable } from './report/table.ts';
import { validationText } from './report/validation.ts';
import { toolVersion } from './version.ts';

const EXIT = { done: 0, refused: 1, usage: 2, bug: 70 } as const;

const { stdout, stderr, env } = process;
const words = process.argv.slice(2);
const interruption = new AbortController();

const isPlain = (stream: NodeJS.WriteStream): boolean =>
  !stream.isTTY || (env['NO_COLOR'] ?? '') !== '' || (env['CI'] ?? '') !== '' || env['TERM'] === 'dumb';

const styleFor = (stream: NodeJS.WriteStream, display?: Display): Style =>
  isPlain(stream) || display?.colour === false || words.includes('--no-color') ? plainStyle : colourStyle;

const print = (text: string): void => {
  stdout.write(`${text}\n`);
};

const printJson = (command: string, body: object): void => {
  print(JSON.stringify({ schema_version: 1, command, version: toolVersion, ...body }, null, 2));
};

/** Lines with -v; on a terminal one line that is wiped again; otherwise nothing. */
const makeProgress = ({ verbose, quiet, json }: Display): { step: (text: string) => void; end: () => void } => {
  const start = performance.now();
  if (verbose) {
    const step = (text: string): void =>
      void stderr.write(`[${((performance.now() - start) / 1000).toFixed(2)} s] ${text}\n`);
    return { step, end: () => undefined };
  }
  if (quiet || json || isPlain(stderr)) return { step: () => undefined, end: () => undefined };
  const wipe = '\r\u001b[K';
  return { step: (text) => void stderr.write(`${wipe}${text} ...`), end: () => void stderr.write(wipe) };
};

const runCompile = async (request: CompileRequest): Promise<void> => {
  const { display } = request;
  const progress = makeProgress(display);
  const { report, plan, diagnostics } = await compileFile(request, {
    progress: progress.step,
    signal: interruption.signal,
  }).finally(progress.end);
  const told = diagnostics.map((diagnostic) => inFile(diagnostic, request.input));
  if (display.json) {
    const { input, output, summary, validation, milliseconds } = report;
    printJson('compile', {
      ok: true,
      input,
      output,
      plan,
      report: summary,
      validation,
      milliseconds,
      diagnostics: told,
    });
    return;
  }
  if (display.quiet) return;
  for (const diagnostic of told) stderr.write(`${diagnosticText(diagnostic, styleFor(stderr, display))}\n`);
  print(compileTable(report, styleFor(stdout, display)));
};

const runInspect = ({ input, hints, display }: InspectRequest): void => {
  const model = readModel(input);
  checkInputNames(model, hints);
  const inspection = inspectModel(model, input, hints);
  if (display.json) printJson('inspect', { ok: true, ...inspection });
  else print(inspectionText(inspection, styleFor(stdout, display)));
};

/** The exit code: figures are told whether demands are met or not. */
const runValidate = async (request: ValidateRequest): Promise<number> => {
  const { display } = request;
  // Loaded here: other commands need none of it.
  const { validateFiles } = await import('./validate-files.ts');
  const progress = makeProgress(display);
  const report = await validateFiles(request, { progress: progress.step, signal: interruption.signal }).finally(
    progress.end,
  );
  const failed = report.gates.filter(({ passed }) => !passed);
  const code = failed.length === 0 ? EXIT.done : EXIT.refused;
  const gate = validationGate(
    report.candidate,
    failed.map(({ message }) => message),
  );
  if (display.json) {
    printJson('validate', {
      ok: failed.length === 0,
      ...(failed.length > 0 && { exit_code: code, error: gate }),
      ...report,
    });
    return code;
  }
  if (!display.quiet) print(validationText(report, styleFor(stdout, display)));
  // The report has the demands already.
  const { notes = [], ...bare } = gate;
  const told = display.quiet ? { ...bare, notes } : bare;
  if (failed.length > 0) stderr.write(`${diagnosticText(told, styleFor(stderr, display))}\n`);
  return code;
};

/** Refusals that are about the command line, wherever they were noticed. */
const aboutFlags: ReadonlySet<string> = new Set([
  'output-is-input',
  'output-not-file',
  'external-file-name',
  'metric-output-unknown',
]);

const explain = (error: unknown, input: string): { diagnostic: Diagnostic; code: number } => {
  if (error instanceof UsageError) return { diagnostic: error.diagnostic, code: EXIT.usage };
  if (!(error instanceof CompileError)) return { diagnostic: crashReport(error, input), code: EXIT.bug };
  const { diagnostic } = error;
  return {
    diagnostic: input === '' ? diagnostic : inFile(diagnostic, input),
    code: aboutFlags.has(diagnostic.code) ? EXIT.usage : EXIT.refused,
  };
};

const main = async (): Promise<number> => {
  let command = 'compile';
  let input = '';
  try {
    const request = parseCommandLine(words, stdout.columns || 120);
    if (request.command === 'text') {
      stdout.write(request.text);
      return EXIT.done;
    }
    ({ command, input } = request);
    if (request.command === 'validate') return await runValidate(request);
    if (request.command === 'compile') await runCompile(request);
    else runInspect(request);
    return EXIT.done;
  } catch (error) {
    const { diagnostic, code } = explain(error, input);
    if (wantsJson(words)) printJson(command, { ok: false, exit_code: code, error: diagnostic });
    else stderr.write(`${diagnosticText(diagnostic, styleFor(stderr))}\n`);
    return code;
  }
};

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, () => {
    interruption.abort();
    process.exit(code);
  });
// A reader that has had enough (`| head`) is no failure.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.done);
  throw error;
});

process.exitCode = await main();
