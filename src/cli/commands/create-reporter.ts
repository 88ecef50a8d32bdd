import type { CommandContext, Io } from '../context.js';
import { LineFile, timedLines } from '../log-file.js';
import { Heartbeat } from '../render/heartbeat.js';
import { JsonLinesReporter } from '../render/json-lines.js';
import { LineReporter } from '../render/lines.js';
import { sayWarning } from '../render/messages.js';
import { PacketLines } from '../render/packet-lines.js';
import { Reporter } from '../render/reporter.js';
import { signsOf } from '../render/signs.js';
import { TerminalReporter } from '../render/terminal.js';
import { WatchedReporter, type Watcher } from '../render/watchers.js';
import { parseDuration } from '../values.js';
import type { Flags } from './options.js';

/**
 * Shows progress as the flags say, or else as standard error can show it.
 * @throws UsageError
 */
export function createReporter(flags: Flags, { io, atEnd }: CommandContext): Reporter {
  const { stderr } = io;
  const { quiet = false, verbose = 0, stats, logFile } = flags;
  const now = (): number => performance.now();
  const statsMs = stats === undefined ? undefined : parseDuration('--stats', stats);
  const display = displayOf(flags, io, now);
  const isTerminal = display instanceof TerminalReporter;
  const watchers: Watcher[] = [];
  if (statsMs !== undefined && !quiet && !isTerminal) watchers.push(new Heartbeat(stderr, statsMs));
  if (verbose > 1 && !quiet) {
    watchers.push(new PacketLines(isTerminal ? display.above : stderr));
  }
  if (logFile !== undefined) {
    const file = new LineFile('--log-file', logFile, 'a', (message) =>
      sayWarning(isTerminal ? display.above : stderr, { message }),
    );
    atEnd(() => file.close());
    const lines = timedLines(file);
    watchers.push(new LineReporter(lines, { isDetailed: true, now }));
    if (statsMs !== undefined) watchers.push(new Heartbeat(lines, statsMs));
    if (verbose > 1) watchers.push(new PacketLines(lines));
  }
  return watchers.length === 0 ? display : new WatchedReporter(stderr, [display, ...watchers], now);
}

function displayOf(
  { json, quiet = false, verbose = 0 }: Flags,
  { stdout, stderr, env }: Io,
  now: () => number,
): Reporter {
  if (json) return new JsonLinesReporter(stdout, stderr, quiet);
  if (quiet) return new Reporter(stderr);
  if (!stderr.isTTY || env.TERM === 'dumb') {
    return new LineReporter(stderr, { isDetailed: verbose > 0, now });
  }
  return new TerminalReporter(stderr, {
    // https://no-color.org: set and not empty.
    color: !env.NO_COLOR,
    signs: signsOf(env),
    isDetailed: verbose > 0,
    now,
  });
}
