import { Argument, Option } from 'commander';
import { BitsAbortError, type DiagnosisStep, diagnose } from '../../index.js';
import { parseRemoteUrl } from '../../internal.js';
import type { CliCommand, CommandContext, OutputStream } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { withFlags } from '../failure.js';
import { sayWarning } from '../render/messages.js';
import { ASCII, type Signs, signsOf } from '../render/signs.js';
import { say, writeEvent } from '../render/text.js';
import { parseDuration, parseHeaders, UsageError } from '../values.js';
import { NETWORK_OPTIONS } from './network-flags.js';
import { networkOptions, secretWarnings } from './network-options.js';
import { type Flags, HEADER, JSON_OUTPUT, TRACE } from './options.js';
import { reportStop } from './report.js';

interface PingFlags extends Flags {
  readonly probe?: boolean;
}

const DEFAULT_TIMEOUT_MS = 30_000;
const MAX_TIMEOUT_MS = 60 * 60 * 1000;

const HELP = `
Checks the way of an upload step by step: dns, tcp, proxy, tls, auth, ping; with
--probe also create and cancel, which create a session and cancel it. Nothing is
uploaded. Standard output gets one line for each step, and what to check if it
fails; the steps after a failure are skipped.

With --json: an object of type "step" for each step, with step, ok (true, false
or "skipped"), durationMs, detail, and if there is any, advice and code.

Exit codes: 0 no step failed, 1 a step failed, 2 the command line is wrong,
4 the server or a proxy refuses the credentials, or requires some, 129 stopped
by SIGHUP, 130 by SIGINT, 143 by SIGTERM.`;

export const PING: CliCommand = {
  summary: 'find out why uploads to a server fail',
  examples: [
    'bits-upload ping https://bits.example/uploads/',
    "bits-upload ping --probe -u 'CORP\\me' https://bits.example/in/",
  ],
  help: HELP,
  argument: new Argument('[urls...]'),
  usage: 'URL',
  options: [
    new Option('--probe', 'also create a session and cancel it, to test the permission to write'),
    JSON_OUTPUT,
    new Option('--timeout <duration>', 'time limit for one step: 500ms, 3s or 5m (default: 30s)'),
    TRACE,
    HEADER,
    ...NETWORK_OPTIONS,
  ],
  run: ping,
};

async function ping(
  urls: readonly string[],
  flags: PingFlags,
  { io, interruption }: CommandContext,
): Promise<ExitCode> {
  const [url, ...others] = urls;
  if (url === undefined) throw new UsageError('ping needs a URL');
  if (others.length > 0) throw new UsageError('ping takes one URL');
  const { timeout, header, probe = false, json = false } = flags;
  const steps = diagnose({
    ...networkOptions(flags, { env: io.env, signal: interruption.signal }),
    headers: header && parseHeaders(header),
    url: parseRemoteUrl(url),
    probe,
    stepTimeoutMs:
      timeout === undefined
        ? DEFAULT_TIMEOUT_MS
        : parseDuration('--timeout', timeout, MAX_TIMEOUT_MS),
    signal: interruption.signal,
  });
  for (const warning of secretWarnings(flags)) sayWarning(io.stderr, warning);
  // In a pipe, words are easier to search for.
  const signs = io.stdout.isTTY ? signsOf(io.env) : ASCII;
  const failed: DiagnosisStep[] = [];
  try {
    for await (const step of steps) {
      if (json) writeEvent(io.stdout, { type: 'step', ...inFlags(step) });
      else showStep(inFlags(step), io.stdout, signs);
      if (step.ok === false) failed.push(step);
    }
  } catch (error) {
    const { reason } = interruption;
    if (reason === undefined || !(error instanceof BitsAbortError)) throw error;
    return reportStop(reason, io);
  }
  if (failed.length === 0) return EXIT.done;
  return failed.some(({ code }) => code === 'BITS_ERR_AUTH') ? EXIT.auth : EXIT.failed;
}

function inFlags(step: DiagnosisStep): DiagnosisStep {
  const { detail, advice } = step;
  return {
    ...step,
    detail: withFlags(detail),
    ...(advice !== undefined && { advice: withFlags(advice) }),
  };
}

const SIGNS = { true: 'ok', false: 'fail', skipped: 'skip' } as const;

/** `ok    dns     3 ms  localhost is 127.0.0.1` */
function showStep(
  { step, ok, durationMs, detail, advice }: DiagnosisStep,
  to: OutputStream,
  signs: Signs,
): void {
  const sign = signs[SIGNS[`${ok}`]];
  const time = ok === 'skipped' ? '' : `${durationMs} ms`;
  const head = `${sign}  ${step.padEnd(6)}  ${time.padStart(8)}  `;
  say(to, `${head}${detail}`);
  if (advice !== undefined) say(to, `${' '.repeat(head.length)}-> ${advice}`);
}
