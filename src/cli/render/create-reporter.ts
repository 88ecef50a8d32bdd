import type { Io } from '../io.js';
import { BarReporter } from './bar.js';
import { JsonLinesReporter } from './json-lines.js';
import { LineReporter } from './lines.js';
import { QuietReporter } from './quiet.js';
import type { Reporter } from './reporter.js';

/** How to show progress: as asked for, else as standard error can show it. */
export function createReporter(
  flags: { readonly json?: boolean; readonly quiet?: boolean },
  { stdout, stderr, env }: Io,
): Reporter {
  const now = (): number => performance.now();
  if (flags.json) return new JsonLinesReporter(stdout, stderr, { quiet: flags.quiet ?? false });
  if (flags.quiet) return new QuietReporter(stderr);
  if (!stderr.isTTY || env.TERM === 'dumb') return new LineReporter(stderr, now);
  // https://no-color.org: set and not empty.
  return new BarReporter(stderr, { color: !env.NO_COLOR, now });
}
