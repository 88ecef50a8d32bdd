import type { CommandContext } from '../context.js';
import { JsonLinesReporter } from '../render/json-lines.js';
import { LineReporter } from '../render/lines.js';
import { Reporter } from '../render/reporter.js';
import { signsOf } from '../render/signs.js';
import { TerminalReporter } from '../render/terminal.js';
import type { OutputFlags } from './upload-options.js';

/**
 * Shows progress as the flags say, or else as standard error can show it.
 * @param isOneFile so that its output in a pipe may have more than its result
 */
export function createReporter(
  { json, quiet, verbose = 0 }: OutputFlags,
  { io }: CommandContext,
  isOneFile: boolean,
): Reporter {
  const { stdout, stderr, env } = io;
  const now = (): number => performance.now();
  if (json) return new JsonLinesReporter(stdout, stderr, quiet ?? false);
  if (quiet) return new Reporter(stderr);
  if (!stderr.isTTY || env.TERM === 'dumb') {
    return new LineReporter(stderr, { isDetailed: isOneFile || verbose > 0, now });
  }
  // https://no-color.org: set and not empty.
  return new TerminalReporter(stderr, { color: !env.NO_COLOR, signs: signsOf(env), now });
}
