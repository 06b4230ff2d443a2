/**
 * A diagnostic as lines of text: severity and code, the sentence with its file, where in the model, notes, a way out.
 * Decides no wording: sentences come from the messages files.
 */
import type { Diagnostic, Place, Severity } from './diagnostic.ts';
import { plainStyle, type Style } from './style.ts';

const paint = (style: Style, severity: Severity): ((text: string) => string) =>
  severity === 'error' ? style.red : severity === 'warning' ? style.yellow : style.cyan;

/** The sentence with the file it is about, once. */
const withFile = (message: string, file: string | undefined): string => {
  if (file === undefined || message.includes(file)) return message;
  const itself = /^(?:the|this) model (?=has|holds|uses|already|takes)/.exec(message);
  return itself === null ? `${file}: ${message}` : `${file} ${message.slice(itself[0].length)}`;
};

/** What the sentence does not name itself. */
const whereabouts = (message: string, { node, value, axis }: Place): string | undefined => {
  const parts = [
    node !== undefined && node !== '' && !message.includes(node) ? `node "${node}"` : undefined,
    value !== undefined && value !== '' && !message.includes(value) ? `value "${value}"` : undefined,
    axis === undefined ? undefined : `axis ${axis}`,
  ].filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : `at ${parts.join(', ')}`;
};

/** Lines joined by newlines, without one at the end. */
export const diagnosticText = (diagnostic: Diagnostic, style: Style = plainStyle): string => {
  const { severity, code, message, at = {}, notes = [], fix } = diagnostic;
  const place = whereabouts(message, at);
  return [
    `${paint(style, severity)(style.bold(severity))} ${style.bold(code)}: ${withFile(message, at.file)}`,
    ...(place === undefined ? [] : [`  ${place}`]),
    ...notes.map((note) => `  ${note}`),
    ...(fix === undefined ? [] : [`  ${style.green('fix:')} ${fix}`]),
  ].join('\n');
};

/** The diagnostic with a file, where it names none. */
export const inFile = (diagnostic: Diagnostic, file: string): Diagnostic =>
  diagnostic.at?.file === undefined ? { ...diagnostic, at: { file, ...diagnostic.at } } : diagnostic;
