import { stat } from 'node:fs/promises';
import net from 'node:net';
import type { Command } from 'commander';
import { type BitsServer, createBitsServer, type LoggedRequest } from '../../testing/index.js';
import type { CommandContext, Io } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import type { Interruption } from '../interruption.js';
import { say } from '../render/text.js';
import { parseWholeNumber, UsageError } from '../values.js';

interface ServeFlags {
  readonly root?: string;
  readonly port?: string;
  readonly host: string;
  readonly quiet?: boolean;
}

/** Requests and violations that a server without end keeps in memory. */
const LOG_LIMIT = 1000;

const EXAMPLES = `
Puts uploads into the directory, under the path of their URL; a file that is there already is not
overwritten. Standard output gets one line, "listening on http://127.0.0.1:PORT/", when the server
is ready; standard error gets a line for each request, and one for each violation of the protocol by a
client. There is neither authentication nor TLS: it is a server for tests.

Examples:
  bits-upload serve --root ./incoming
  bits-upload serve --root ./incoming --port 8080 --quiet

It serves until a signal: 130 is its exit code after SIGINT (Ctrl-C), 143 after SIGTERM. 1: the port
cannot be had, 2: the command line is wrong.`;

/** Adds the options and the action of `serve`. */
export function defineServe(
  command: Command,
  { io, interruption, exitWith }: CommandContext,
): void {
  command
    .description('Run a BITS server for tests.')
    .option('--root <dir>', 'directory for uploads; it must exist')
    .option('--port <n>', 'port to listen on (default: any free one)')
    .option('--host <host>', 'name or address to listen on', '127.0.0.1')
    .option('--quiet', 'no line for each request')
    .addHelpText('after', EXAMPLES)
    .action(async (flags: ServeFlags) => exitWith(await serve(flags, io, interruption)));
}

async function serve(
  flags: ServeFlags,
  { stdout, stderr }: Io,
  interruption: Interruption,
): Promise<ExitCode> {
  const { host, quiet } = flags;
  const port = flags.port === undefined ? 0 : parseWholeNumber('--port', flags.port, 65_535);
  const root = await existingDirectory(flags.root);
  const log: { server?: BitsServer } = {};
  const onRequest = (request: LoggedRequest): void => {
    for (const { message } of violationsOf(request, log.server)) {
      say(stderr, `violation of the protocol in request ${request.number}: ${message}`);
    }
    if (!quiet) say(stderr, logLine(request));
  };
  let server: BitsServer;
  try {
    server = await createBitsServer({ root, port, host, logLimit: LOG_LIMIT, onRequest });
  } catch (error) {
    const { message } = error as Error;
    say(stderr, `bits-upload: cannot listen on ${host}, port ${port}: ${message}`);
    return EXIT.failed;
  }
  log.server = server;
  try {
    stdout.write(`listening on ${server.url}\n`);
    if (!isLoopback(host)) {
      say(
        stderr,
        `bits-upload: warning: ${host} is not a loopback address, and there is no authentication: ` +
          'whoever reaches this machine can store files here',
      );
    }
    await interruption.stopped();
  } finally {
    await server.close();
  }
  return interruption.reason?.exitCode ?? EXIT.done;
}

async function existingDirectory(root: string | undefined): Promise<string> {
  if (root === undefined || root === '') {
    throw new UsageError('serve needs --root DIR, the directory for uploads');
  }
  const stats = await stat(root).catch(() => undefined);
  if (stats?.isDirectory()) return root;
  throw new UsageError(`--root ${root} is not a directory that exists`);
}

function isLoopback(host: string): boolean {
  if (/^localhost\.?$/i.test(host) || host === '::1') return true;
  return net.isIPv4(host) && host.startsWith('127.');
}

function violationsOf(request: LoggedRequest, server: BitsServer | undefined) {
  return (
    server?.violations.filter((violation) => violation.request.number === request.number) ?? []
  );
}

function logLine(request: LoggedRequest): string {
  const { method, packet, target, range, status, outcome } = request;
  const path = target.replace(/\?.*$/s, '?…');
  const part = range === undefined ? '' : ` ${range.start}-${range.end}/${range.total}`;
  return `${new Date(request.arrivedAtMs).toISOString()} ${method} ${packet} ${path}${part} ${
    status ?? outcome
  }`;
}
