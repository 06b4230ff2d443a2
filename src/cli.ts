#!/usr/bin/env node
/**
 * The program: arguments in, text and an exit code out. The only file that touches the process; what to do is decided
 * in flags/, what it does in commands/, how it is worded in the messages files and reports.
 */
import { benchFiles } from './commands/bench.ts';
import { memoryOfModel } from './commands/bench-memory.ts';
import { compileFile } from './commands/compile.ts';
import { checkInputNames } from './commands/input-names.ts';
import { crashReport } from './crash.ts';
import { CompileError, type Diagnostic } from './diagnostics/diagnostic.ts';
import { validationGate } from './diagnostics/messages-validate.ts';
import { diagnosticText, inFile } from './diagnostics/render.ts';
import { colourStyle, plainStyle, type Style } from './diagnostics/style.ts';
import { parseCommandLine, wantsJson } from './flags/command-line.ts';
import type { CalibrateRequest } from './flags/calibrate.ts';
import type { BenchMemoryRequest, BenchRequest } from './flags/bench.ts';
import type { CompileRequest } from './flags/compile.ts';
import type { InspectRequest } from './flags/inspect.ts';
import type { Display } from './flags/read.ts';
import { UsageError } from './flags/usage-error.ts';
import type { ValidateRequest } from './flags/validate.ts';
import { inspectModel } from './commands/inspect.ts';
import { readModel } from './onnx/read.ts';
import { calibrationTable } from './report/calibration.ts';
import { benchTable } from './report/bench-table.ts';
import { inspectionText } from './report/inspection.ts';
import { compileTable } from './report/table.ts';
import { validationText } from './report/validation.ts';
import { removeTemporaryFolders } from './support/temporary-folders.ts';
import { toolVersion } from './version.ts';

const EXIT = { done: 0, refused: 1, usage: 2, bug: 70, interrupted: 130, terminated: 143 } as const;

const { stdout, stderr, env } = process;
const words = process.argv.slice(2);
const interruption = new AbortController();

/** Of the signal that interrupted. */
let interruptedCode: number = EXIT.interrupted;

/** Set by commands that end by themselves when interrupted, with what they have so far; a second signal ends them. */
let endsByItself = false;

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
  const { report, plan, diagnostics, calibration } = await compileFile(request, {
    progress: progress.step,
    signal: interruption.signal,
    node: process.version,
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
      ...(calibration !== undefined && { calibration }),
      diagnostics: told,
    });
    return;
  }
  if (display.quiet) return;
  for (const diagnostic of told) stderr.write(`${diagnosticText(diagnostic, styleFor(stderr, display))}\n`);
  if (calibration !== undefined) print(`${calibrationTable(calibration, styleFor(stdout, display))}\n`);
  print(compileTable(report, styleFor(stdout, display)));
};

const runInspect = ({ input, hints, display }: InspectRequest): void => {
  const model = readModel(input);
  checkInputNames(model, hints);
  const inspection = inspectModel(model, input, hints);
  if (display.json) printJson('inspect', { ok: true, ...inspection });
  else print(inspectionText(inspection, styleFor(stdout, display)));
};

const runCalibrate = async (request: CalibrateRequest): Promise<number> => {
  const { display, hints } = request;
  const { calibrateToFile } = await import('./commands/calibrate.ts');
  endsByItself = true;
  const progress = makeProgress(display);
  const { report, calibration, diagnostics } = await calibrateToFile(
    { ...request, options: hints },
    { progress: progress.step, signal: interruption.signal, node: process.version },
  ).finally(progress.end);
  const told = diagnostics.map((diagnostic) => inFile(diagnostic, request.input));
  const code = report.interrupted ? interruptedCode : report.missed.length > 0 ? EXIT.refused : EXIT.done;
  if (display.json)
    printJson('calibrate', {
      ok: code === EXIT.done,
      ...(code !== EXIT.done && { exit_code: code }),
      output: request.output,
      plan: calibration.plan,
      report,
      diagnostics: told,
    });
  else if (!display.quiet) print(calibrationTable(report, styleFor(stdout, display)));
  for (const diagnostic of display.json ? [] : told)
    if (!display.quiet || diagnostic.severity === 'error')
      stderr.write(`${diagnosticText(diagnostic, styleFor(stderr, display))}\n`);
  return code;
};

const runBench = async (request: BenchRequest): Promise<void> => {
  const { display } = request;
  const progress = makeProgress(display);
  const { report, diagnostics } = await benchFiles(request, {
    progress: progress.step,
    signal: interruption.signal,
    self: { program: process.execPath, args: [...process.execArgv, process.argv[1] ?? ''] },
    node: process.version,
  }).finally(progress.end);
  if (display.json) {
    printJson('bench', { ok: true, ...report, diagnostics });
    return;
  }
  if (display.quiet) return;
  for (const diagnostic of diagnostics) stderr.write(`${diagnosticText(diagnostic, styleFor(stderr, display))}\n`);
  print(benchTable(report, styleFor(stdout, display)));
};

const runBenchMemory = async (request: BenchMemoryRequest): Promise<void> => {
  print(JSON.stringify(await memoryOfModel(request, () => process.resourceUsage().maxRSS)));
};

/** The exit code: figures are told whether demands are met or not. */
const runValidate = async (request: ValidateRequest): Promise<number> => {
  const { display } = request;
  // Loaded here: other commands need none of it.
  const { validateFiles } = await import('./commands/validate.ts');
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

const isAbort = (error: unknown): boolean => error instanceof Error && error.name === 'AbortError';

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
    switch (request.command) {
      case 'compile':
        await runCompile(request);
        return EXIT.done;
      case 'inspect':
        runInspect(request);
        return EXIT.done;
      case 'calibrate':
        return await runCalibrate(request);
      case 'validate':
        return await runValidate(request);
      case 'bench':
        await runBench(request);
        return EXIT.done;
      case 'bench-memory':
        await runBenchMemory(request);
        return EXIT.done;
    }
  } catch (error) {
    // What rejects once it is interrupted has nothing to say.
    if (interruption.signal.aborted && isAbort(error)) return interruptedCode;
    const { diagnostic, code } = explain(error, input);
    if (wantsJson(words)) printJson(command, { ok: false, exit_code: code, error: diagnostic });
    else stderr.write(`${diagnosticText(diagnostic, styleFor(stderr))}\n`);
    return code;
  }
};

for (const [signal, code] of [
  ['SIGINT', EXIT.interrupted],
  ['SIGTERM', EXIT.terminated],
] as const)
  process.on(signal, () => {
    const again = interruption.signal.aborted;
    interruptedCode = code;
    interruption.abort();
    if (!endsByItself || again) process.exit(code);
  });
process.on('exit', removeTemporaryFolders);
// A reader that has had enough (`| head`) is no failure.
stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(EXIT.done);
  throw error;
});

process.exitCode = await main();
