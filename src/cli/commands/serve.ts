import { stat } from 'node:fs/promises';
import net from 'node:net';
import { Option } from 'commander';
import type { BitsServer, LoggedRequest } from '../../testing/index.js';
import type { CliCommand, CommandContext } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { say } from '../render/text.js';
import { another, parseWholeNumber, UsageError } from '../values.js';
import type { Flags } from './options.js';

interface ServeFlags extends Flags {
  readonly root?: string;
  readonly port?: string;
  readonly host: string;
  readonly allowHost?: readonly string[];
  readonly read?: boolean;
}

/** How many requests and violations the server keeps in memory: it may run for a long time. */
const LOG_LIMIT = 1000;

const HELP = `
An upload is stored in the directory under the path of its URL. Directories that
are missing in that path are made; IIS answers 404 instead. A file that exists
is not overwritten, and no file of the directory can be read: --read allows it
for uploads that this server has received. Requests for a host other than the
one it listens on are refused, as web pages may send them: allow the names by
which clients reach this server with --allow-host. With --host 0.0.0.0 or ::
other machines may use any name, but web pages may not.

When the server is ready, it prints one line on standard output: "listening on
http://127.0.0.1:PORT/". Standard error gets a line for each request and for
each violation of the protocol by a client. There is no authentication and no
TLS: use this server for tests only.

The server runs until it is stopped by a signal. Exit codes: 130 after SIGINT
(Ctrl-C), 143 after SIGTERM, 1 when the port is not available, 2 when the
command line is wrong.`;

export const SERVE: CliCommand = {
  summary: 'run a BITS server for tests',
  examples: [
    'bits-upload serve --root ./incoming',
    'bits-upload serve --root ./incoming --port 8080 --quiet',
  ],
  help: HELP,
  options: [
    new Option('--root <dir>', 'an existing directory for uploads'),
    new Option('--port <n>', 'port to listen on (default: any free one)'),
    new Option('--host <host>', 'name or address to listen on').default('127.0.0.1'),
    new Option(
      '--allow-host <host>',
      'another name of this server; can be given several times',
    ).argParser(another),
    new Option('--read', 'let GET read uploads that this server has received'),
    new Option('--quiet', 'do not print a line for each request'),
  ],
  run: serve,
};

async function serve(
  _: readonly string[],
  flags: ServeFlags,
  { io: { stdout, stderr }, interruption }: CommandContext,
): Promise<ExitCode> {
  const { host, quiet, allowHost = [], read = false } = flags;
  const port = flags.port === undefined ? 0 : parseWholeNumber('--port', flags.port, 65_535);
  const root = await existingDirectory(flags.root);
  // No other command needs a server: all of them start 5 ms sooner without it.
  const { createBitsServer } = await import('../../testing/index.js');
  let server: BitsServer | undefined;
  const onRequest = (request: LoggedRequest): void => {
    const { violations = [] } = server ?? {};
    for (const { message } of violations.filter((one) => one.request.number === request.number)) {
      say(stderr, `violation of the protocol in request ${request.number}: ${message}`);
    }
    if (!quiet) say(stderr, logLine(request));
  };
  try {
    server = await createBitsServer({
      root,
      port,
      host,
      allowedHosts: allowHost,
      serveUploads: read,
      logLimit: LOG_LIMIT,
      onRequest,
    });
  } catch (error) {
    say(stderr, `bits-upload: cannot listen on ${host}${whyNot(error, port)}`);
    return EXIT.failed;
  }
  try {
    stdout.write(`listening on ${server.url}\n`);
    if (!isLoopback(host)) {
      say(
        stderr,
        `bits-upload: warning: ${host} is not a loopback address, and there is no authentication: ` +
          'everybody who can reach this machine can store files here',
      );
    }
    await interruption.stopped();
  } finally {
    await server.close();
  }
  return interruption.reason?.exitCode ?? EXIT.done;
}

function whyNot(error: unknown, port: number): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const reasons: Partial<Record<string, string>> = {
    EADDRINUSE: `, port ${port}: another program uses it (${code}); give another --port`,
    EACCES: `, port ${port}: this user may not (${code}); give a --port above 1023`,
    EADDRNOTAVAIL: `: this machine has no such address (${code}); give another --host`,
    ENOTFOUND: `: there is no such name (${code}); give another --host`,
  };
  return reasons[code ?? ''] ?? `: ${message}`;
}

async function existingDirectory(root: string | undefined): Promise<string> {
  if (root === undefined || root === '') {
    throw new UsageError('serve needs --root DIR, the directory for uploads');
  }
  const stats = await stat(root).catch(() => undefined);
  if (stats?.isDirectory()) return root;
  throw new UsageError(`--root ${root} is not an existing directory`);
}

function isLoopback(host: string): boolean {
  if (/^localhost\.?$/i.test(host) || host === '::1') return true;
  return net.isIPv4(host) && host.startsWith('127.');
}

function logLine(request: LoggedRequest): string {
  const { method, packet, target, range, status, outcome } = request;
  const path = target.replace(/\?.*$/s, '?…');
  const part = range === undefined ? '' : ` ${range.start}-${range.end}/${range.total}`;
  const hint = status === 421 ? `: allow the host ${request.headers.host} with --allow-host` : '';
  return `${new Date(request.arrivedAtMs).toISOString()} ${method} ${packet} ${path}${part} ${
    status ?? outcome
  }${hint}`;
}
