import { type Command, InvalidArgumentError, type Option } from 'commander';
import { NETWORK_OPTIONS } from './commands/network-flags.js';
import type { Environment } from './context.js';
import { UsageError } from './values.js';

/** The variable of the environment that stands for an option: `BITS_UPLOAD_MAX_TIME`. */
export function variableOf(option: Option): string {
  return `BITS_UPLOAD_${option.name().toUpperCase().replaceAll('-', '_')}`;
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
