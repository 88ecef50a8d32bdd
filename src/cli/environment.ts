import { type Command, InvalidArgumentError, type Option } from 'commander';
import { NETWORK_OPTIONS, SECRET_VARIABLES } from './commands/network-flags.js';
import type { Environment } from './context.js';
import { firstNames, type Warning } from './render/messages.js';
import { UsageError } from './values.js';

const PREFIX = 'BITS_UPLOAD_';

/** The variable of the environment that stands for an option: `BITS_UPLOAD_MAX_TIME`. */
export function variableOf(option: Option): string {
  return `${PREFIX}${option.name().toUpperCase().replaceAll('-', '_')}`;
}

/**
 * Gives a command the options that its command line leaves out, from the environment.
 *
 * Those of the network stay out: what they mean depends on where they are given.
 * @throws UsageError
 */
export function readEnvironment(command: Command, env: Environment): void {
  for (const option of command.options) {
    const name = option.attributeName();
    const text = env[variableOf(option)];
    const isGiven = command.getOptionValueSource(name) === 'cli';
    if (isGiven || !text || option.hidden || NETWORK_OPTIONS.includes(option)) continue;
    const value = valueFrom(option, text);
    if (value !== undefined) command.setOptionValueWithSource(name, value, 'env');
  }
}

function valueFrom(option: Option, text: string): unknown {
  if (option.isBoolean() || option.negate) return switchOf(option, text);
  const { parseArg } = option;
  if (parseArg === undefined) return text;
  try {
    // An option that can be given several times has one value a line; a text of YAML ends in a line break.
    const lines = text.split(/\r?\n/).filter((line) => line !== '');
    return lines.reduce((given, line) => parseArg(line, given), option.defaultValue);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw new UsageError(`${variableOf(option)} in the environment is wrong: ${error.message}`);
  }
}

function switchOf(option: Option, text: string): unknown {
  const { parseArg } = option;
  // Such as BITS_UPLOAD_VERBOSE=2.
  if (parseArg !== undefined && /^\d$/.test(text)) {
    return Array.from({ length: Number(text) }).reduce<unknown>((n) => parseArg('', n), undefined);
  }
  if (!isOn(variableOf(option), text)) return undefined;
  return option.negate ? false : (parseArg?.('', undefined) ?? true);
}

/** @throws UsageError, which does not repeat the value */
export function isOn(variable: string, value: string): boolean {
  if (/^(?:1|true|yes|on)$/i.test(value)) return true;
  if (/^(?:0|false|no|off)$/i.test(value)) return false;
  throw new UsageError(`${variable} in the environment must be 1 or 0`);
}

/** A message that names variables in place of those options that come from the environment. */
export function withVariables(message: string, command: Command, env: Environment): string {
  return message.replace(/--[a-z][\w-]*/g, (flag) => {
    const option = command.options.find(({ long }) => long === flag);
    if (option === undefined || !env[variableOf(option)]) return flag;
    const isGiven = command.getOptionValueSource(option.attributeName()) === 'cli';
    return isGiven ? flag : variableOf(option);
  });
}

/**
 * A warning of variables that no command reads: a misspelt one would have no effect, and nobody would know
 * why. It names each, and the most similar one that a command does read; a value may be a secret.
 */
export function unknownVariables({ commands }: Command, env: Environment): Warning | undefined {
  const options = commands.flatMap((command) => command.options.filter(({ hidden }) => !hidden));
  const known = [...options.map(variableOf), ...SECRET_VARIABLES.map(({ variable }) => variable)];
  const hints = Object.keys(env).flatMap((given) => {
    // Windows does not tell capital letters from others.
    const name = process.platform === 'win32' ? given.toUpperCase() : given;
    if (!name.startsWith(PREFIX) || !env[given] || known.includes(name)) return [];
    return [`${given} (did you mean ${mostSimilar(name, known)}?)`];
  });
  if (hints.length === 0) return undefined;
  const message = `unknown variables of the environment are ignored: ${firstNames(hints)}`;
  return { code: 'unknown-variable', message };
}

function mostSimilar(name: string, others: readonly string[]): string | undefined {
  const ranked = others.map((other) => ({ other, edits: editsBetween(name, other) }));
  return ranked.sort((a, b) => a.edits - b.edits)[0]?.other;
}

/** How many characters have to be added, removed or replaced (Levenshtein). */
function editsBetween(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 0; i < a.length; i++) {
    const row = [i + 1];
    for (const [j, corner] of above.slice(0, -1).entries()) {
      const change = corner + (a[i] === b[j] ? 0 : 1);
      row.push(Math.min(change, (above[j + 1] ?? 0) + 1, (row[j] ?? 0) + 1));
    }
    above = row;
  }
  return above.at(-1) ?? 0;
}
