/**
 * The invariants of docs/architecture.md that a program can check: layers, who may touch the runtime, the process and
 * the passes, file sizes, names and headers. The rules are also run on files made to break them, one by one.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { dirname, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Lowest first. A file imports from its own folder and from lower rows, never from a neighbour in its row. */
const LAYERS: readonly (readonly string[])[] = [
  ['src/support'],
  ['src/diagnostics'],
  ['src/graph'],
  ['src/onnx', 'src/match'],
  ['src/analysis', 'src/rewrite'],
  ['src/reduction', 'src/runtime'],
  ['src/samples', 'src/metrics', 'src/timing'],
  ['passes', 'src/report', 'src/validate', 'src/calibrate'],
  ['src'], // the application: files directly in src/, src/flags and src/commands, and nothing else imports passes/
  ['src/cli.ts'],
];

/** Where the fused kernels are is said by an environment variable: it may import `env` of node:process, no more. */
const READS_ENVIRONMENT = 'src/runtime/kernels.ts';

const MOST_LINES = { src: 450, passes: 160 } as const;

interface Unit {
  readonly path: string;
  readonly text: string;
}

/** Folders of src/ that belong to the application. */
const APPLICATION: ReadonlySet<string> = new Set(['flags', 'commands']);

/** The folder of LAYERS that a product file belongs to; undefined for a folder that has no layer yet. */
function unitOf(path: string): string | undefined {
  if (path === 'src/cli.ts') return path;
  const parts = path.split('/');
  const folder =
    parts[0] === 'passes'
      ? 'passes'
      : parts.length === 2 || APPLICATION.has(parts[1] ?? '')
        ? 'src'
        : `${parts[0]}/${parts[1]}`;
  return LAYERS.flat().includes(folder) ? folder : undefined;
}

function layerBreach(from: string, to: string): string | undefined {
  const [a, b] = [unitOf(from), unitOf(to)];
  if (a === undefined || b === undefined) return `no layer is given for ${a === undefined ? from : to}`;
  if (a === b) return undefined;
  const level = (unit: string): number => LAYERS.findIndex((row) => row.includes(unit));
  return level(b) < level(a) ? undefined : `${a} may not import ${b} (${to})`;
}

/** Every way a module names another: import, export from, import(), import type, and any call with only that literal. */
function importsOf(source: ts.SourceFile): readonly string[] {
  const found = ts.preProcessFile(source.text, true, true).importedFiles.map((file) => file.fileName);
  const visit = (node: ts.Node): void => {
    const [argument] = ts.isCallExpression(node) ? node.arguments : [];
    const required = /^(require(\.resolve)?|import\.meta\.resolve)$/;
    if (argument && ts.isStringLiteralLike(argument) && ts.isCallExpression(node)) {
      if (required.test(node.expression.getText(source))) found.push(argument.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return [...new Set(found)];
}

/** Uses of the globals `process` and `console`; members, parameters and properties of that name do not count. */
function usesProcess(source: ts.SourceFile): boolean {
  let used = false;
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) && (node.text === 'process' || node.text === 'console')) {
      const { parent } = node;
      const member = ts.isPropertyAccessExpression(parent) && parent.name === node;
      const key = (ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent)) && parent.name === node;
      if ((!member && !key) || (member && parent.expression.getText(source) === 'globalThis')) used = true;
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return used;
}

/** True where `env` is all that is imported of node:process and node:console. */
function readsOnlyEnvironment(source: ts.SourceFile): boolean {
  const imports = source.statements.filter(ts.isImportDeclaration);
  const taken = imports.filter((i) => /^.node:(process|console).$/.test(i.moduleSpecifier.getText(source)));
  return taken.length > 0 && taken.every((i) => i.importClause?.getText(source) === '{ env }');
}

function exportsDefault(source: ts.SourceFile): boolean {
  return source.statements.some((statement) => {
    if (ts.isExportAssignment(statement)) return true;
    if (ts.canHaveModifiers(statement)) {
      if (ts.getModifiers(statement)?.some((m) => m.kind === ts.SyntaxKind.DefaultKeyword)) return true;
    }
    const clause = ts.isExportDeclaration(statement) ? statement.exportClause : undefined;
    return clause && ts.isNamedExports(clause) && clause.elements.some((e) => e.name.text === 'default');
  });
}

/** All breaches of one file, as sentences. `packages` are those a user of the published package has. */
function breaches({ path, text }: Unit, packages: ReadonlySet<string>): readonly string[] {
  const found: string[] = [];
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(name)) found.push('file name is not kebab-case');
  if (/^(utils?|helpers?|manager|misc|common)\.ts$/.test(name)) found.push('file name says nothing');
  if (!/^(#![^\n]*\n)?\/\*\*/.test(text)) found.push('does not open with a /** header');
  if (exportsDefault(source)) found.push('exports a default');

  const area = path.split('/')[0];
  if (area !== 'src' && area !== 'passes') return found;

  const lines = text.trimEnd().split('\n').length;
  if (lines > MOST_LINES[area]) found.push(`has ${lines} lines, more than ${MOST_LINES[area]}`);
  if (path !== 'src/cli.ts' && usesProcess(source)) found.push('touches process or console');
  for (const target of importsOf(source)) {
    if (target.startsWith('.')) {
      const breach = layerBreach(path, posix.join(dirname(path), target));
      if (breach) found.push(breach);
    } else if (target.startsWith('node:')) {
      const mayImport = path === 'src/cli.ts' || (path === READS_ENVIRONMENT && readsOnlyEnvironment(source));
      if (/^node:(process|console)$/.test(target) && !mayImport) found.push('touches process or console');
    } else {
      const pkg = target
        .split('/')
        .slice(0, target.startsWith('@') ? 2 : 1)
        .join('/');
      if (!packages.has(pkg)) found.push(`imports ${pkg}, which a user does not have`);
      if (/^onnxruntime-/.test(pkg) && !path.startsWith('src/runtime/'))
        found.push(`imports ${pkg} outside src/runtime`);
    }
  }
  return found;
}

function filesUnder(folder: string): readonly Unit[] {
  return readdirSync(`${root}${folder}`, { recursive: true, encoding: 'utf8' })
    .map((name) => posix.join(folder, name.replaceAll('\\', '/')))
    .filter((path) => path.endsWith('.ts'))
    .sort()
    .map((path) => ({ path, text: readFileSync(`${root}${path}`, 'utf8') }));
}

function packagesOfUsers(): ReadonlySet<string> {
  const manifest = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as Record<string, Record<string, string>>;
  return new Set([...Object.keys(manifest['dependencies'] ?? {}), ...Object.keys(manifest['peerDependencies'] ?? {})]);
}

describe('the sources keep the rules', () => {
  const packages = packagesOfUsers();
  test.each(['src', 'passes', 'test', 'bench'])('%s', (folder) => {
    const files = filesUnder(folder);
    if (folder !== 'bench') expect(files.length).toBeGreaterThan(0);
    const found = files.flatMap((file) => breaches(file, packages).map((breach) => `${file.path}: ${breach}`));
    expect(found).toEqual([]);
  });
});

describe('the rules notice', () => {
  const packages = new Set(['protobufjs', 'onnxruntime-node']);
  const header = '/** For the test. */\n';
  const cases: readonly (readonly [what: string, path: string, body: string, breach: RegExp])[] = [
    [
      'an import upward',
      'src/graph/a.ts',
      "import { x } from '../analysis/b.ts';",
      /src\/graph may not import src\/an/,
    ],
    ['an import sideways', 'src/analysis/a.ts', "import { x } from '../rewrite/b.ts';", /may not import src\/rewrite/],
    ['a type import upward', 'src/onnx/a.ts', "import type { X } from '../match/b.ts';", /may not import src\/match/],
    ['an export from above', 'src/graph/a.ts', "export * from '../onnx/b.ts';", /src\/graph may not import src\/onnx/],
    ['an import() upward', 'src/onnx/a.ts', "await import('../runtime/b.ts');", /may not import src\/runtime/],
    ['an import() type', 'src/onnx/a.ts', "type X = import('../report/b.ts').X;", /may not import src\/report/],
    ['passes imported by the machine', 'src/analysis/a.ts', "import { x } from '../../passes/b.ts';", /import passes/],
    ['the application imported', 'passes/a.ts', "import { x } from '../src/compile.ts';", /passes may not import src /],
    ['the command line imported', 'src/compile.ts', "import { x } from './cli.ts';", /may not import src\/cli.ts/],
    ['a folder without a layer', 'src/new/a.ts', "import { x } from '../graph/b.ts';", /no layer is given/],
    ['the runtime outside its folder', 'src/compile.ts', "await import('onnxruntime-node');", /outside src\/runtime/],
    ['the runtime required', 'passes/a.ts', "require('onnxruntime-node');", /outside src\/runtime/],
    ['a package users lack', 'src/onnx/a.ts', "import { x } from 'onnx-proto';", /which a user does not have/],
    ['process', 'src/compile.ts', 'const a = process.argv;', /touches process/],
    ['process by import', 'src/compile.ts', "import { argv } from 'node:process';", /touches process/],
    [
      'process beside the environment',
      'src/runtime/kernels.ts',
      "import { env, argv } from 'node:process';",
      /touches process/,
    ],
    ['the environment elsewhere', 'src/runtime/a.ts', "import { env } from 'node:process';", /touches process/],
    ['process by globalThis', 'src/compile.ts', 'globalThis.process.exit(1);', /touches process/],
    ['console', 'passes/a.ts', "console.log('x');", /touches process/],
    ['a default export', 'src/graph/a.ts', 'export default function a() {}', /exports a default/],
    ['a default export by name', 'test/a.test.ts', 'const a = 1; export { a as default };', /exports a default/],
    ['a file name', 'src/graph/graphEditor.ts', 'export {};', /kebab-case/],
    ['an empty file name', 'src/graph/utils.ts', 'export {};', /says nothing/],
    ['a long pass', 'passes/a.ts', 'void 0;\n'.repeat(160), /has 161 lines/],
    ['a long source', 'src/graph/a.ts', 'void 0;\n'.repeat(450), /has 451 lines/],
  ];

  test.each(cases)('%s', (_what, path, body, breach) => {
    const found = breaches({ path, text: header + body }, packages);
    expect(found).toHaveLength(1);
    expect(found[0]).toMatch(breach);
  });

  test('a missing header', () => {
    expect(breaches({ path: 'src/graph/a.ts', text: 'export {};\n' }, packages)).toEqual([
      'does not open with a /** header',
    ]);
  });

  test('and let good files be', () => {
    const good: readonly Unit[] = [
      {
        path: 'src/cli.ts',
        text: `#!/usr/bin/env node\n${header}import { c } from './compile.ts';\nprocess.exit(c());`,
      },
      { path: 'src/runtime/session.ts', text: `${header}await import('onnxruntime-node');` },
      { path: 'src/runtime/kernels.ts', text: `${header}import { env } from 'node:process';\nexport const a = env;` },
      { path: 'src/onnx/proto.ts', text: `${header}import p from 'protobufjs/light.js';\nexport const a = p;` },
      { path: 'src/graph/a.ts', text: `${header}const a = { process: 1 };\nexport const b = a.process;` },
      { path: 'src/compile.ts', text: `${header}import { x } from '../passes/pipeline.ts';\nexport { x };` },
    ];
    expect(good.flatMap((unit) => breaches(unit, packages))).toEqual([]);
  });
});
