import { InvalidArgumentError, Option } from 'commander';
import type {
  FleetJob,
  FleetResult,
  NamedCredentials,
  UploadWorker,
  UploadWorkerOptions,
} from '../../bullmq.js';
import type { CliCommand, CommandContext, Io } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { withFlags } from '../failure.js';
import { sayWarning } from '../render/messages.js';
import { say, writeEvent } from '../render/text.js';
import { formatBytes, formatElapsed } from '../render/units.js';
import { another, parseHeaders, UsageError } from '../values.js';
import { networkOptions, secretWarnings } from './network-options.js';
import {
  CONNECTION_OPTIONS,
  type Flags,
  FRAGMENT_OPTIONS,
  LIMIT_RATE,
  OUTPUT_OPTIONS,
  TRANSFERS,
} from './options.js';
import { type Fleet, REDIS_OPTIONS, redisConnection, withFleet } from './redis-options.js';
import { reportStop } from './report.js';
import { limitRate, sendingOptions, transfers } from './upload-options.js';

interface WorkerFlags extends Flags {
  readonly origin?: readonly string[];
  readonly directory?: readonly string[];
  readonly name?: string;
}

const HELP = `
Takes the jobs that bits-upload enqueue adds, until a signal stops it. Run it on
as many machines as you like: when one dies, another one resumes its uploads
within a minute, where the server stands.

SIGTERM and SIGINT suspend the uploads under way and return them to the queue,
so that other workers resume them at once. A job whose file this worker cannot
see goes back to the queue, for another one; in the end it fails.

--user, --header, --cert and the like stay here, for the servers of --origin
alone, because whoever can write to Redis chooses the URLs. For the same
reason name the directories that files may be in with --directory.

Standard output gets one line for each stored file: its URL. Everything else is
written to standard error.

Exit codes: 1 Redis failed or does not answer within 10 s, 2 the command line is
wrong, 129 stopped by SIGHUP, 130 by SIGINT (Ctrl-C), 143 by SIGTERM.`;

export const WORKER: CliCommand = {
  summary: 'upload what is in the queue of a fleet',
  examples: [
    'bits-upload worker --redis redis://queue:6379 --directory /mnt/photos',
    'bits-upload worker --redis redis://queue -u me --origin https://bits.example',
  ],
  help: HELP,
  options: [
    ...REDIS_OPTIONS,
    TRANSFERS,
    LIMIT_RATE,
    ...FRAGMENT_OPTIONS,
    ...CONNECTION_OPTIONS,
    new Option(
      '--origin <url>',
      'a server that gets the credentials; can be given several times',
    ).argParser(another),
    new Option('--credentials <name>', 'the name by which jobs ask for them (default: default)'),
    new Option(
      '--directory <dir>',
      'where files may be read and replies be written; can be given several times (default: anywhere)',
    ).argParser(another),
    new Option(
      '--name <name>',
      'of this worker in the fleet (default: host name and process id)',
    ).argParser(notEmpty),
    ...OUTPUT_OPTIONS,
  ],
  run: (_, flags: WorkerFlags, context) =>
    withFleet(flags, context.io, (fleet) => work(flags, context, fleet)),
};

async function work(flags: WorkerFlags, context: CommandContext, fleet: Fleet): Promise<ExitCode> {
  const { io, interruption } = context;
  const options = workerOptions(flags, context);
  for (const warning of secretWarnings(flags)) sayWarning(io.stderr, warning);
  const worker = await fleet.createUploadWorker(options);
  report(worker, flags, io);
  if (!flags.quiet) say(io.stderr, `worker ${worker.name} waits for jobs`);
  if (flags.json) writeEvent(io.stdout, { type: 'ready', worker: worker.name });
  await interruption.stopped();
  const { reason } = interruption;
  const code = reason && reportStop(reason, io, ': its uploads go to other workers');
  await worker.close();
  return code ?? EXIT.failed;
}

/** @throws UsageError */
function workerOptions(
  flags: WorkerFlags,
  { io, interruption }: CommandContext,
): UploadWorkerOptions {
  const { name, directory, header } = flags;
  const { auth, allowInsecureAuth, tls, ...network } = networkOptions(flags, {
    env: io.env,
    signal: interruption.signal,
  });
  const concurrency = transfers(flags);
  if (concurrency === 'auto')
    throw new UsageError('--transfers of a worker takes a whole number, not auto');
  const { cert, key, pfx, passphrase, ...publicTls } = tls ?? {};
  const hasCertificate = cert !== undefined || pfx !== undefined;
  const secrets = {
    tls: hasCertificate ? tls : undefined,
    auth,
    headers: header && parseHeaders(header),
    allowInsecureAuth,
  };
  return {
    ...redisConnection(flags),
    concurrency,
    defaults: { ...network, tls: publicTls, ...sendingOptions(flags) },
    ...credentialsOf(flags, secrets),
    bandwidth: limitRate(flags),
    directories: directory,
    name,
  };
}

function credentialsOf(
  { origin, credentials }: WorkerFlags,
  secrets: Omit<NamedCredentials, 'origins'>,
): Pick<UploadWorkerOptions, 'credentials'> {
  const hasSecrets = Object.values(secrets).some((value) => value !== undefined);
  if (hasSecrets && origin === undefined) {
    throw new UsageError(
      '--user, --header, --cert and the like need --origin: the servers that may get them, such as https://bits.example',
    );
  }
  if (!hasSecrets || origin === undefined) return {};
  return { credentials: { [credentials ?? 'default']: { origins: origin, ...secrets } } };
}

function report(worker: UploadWorker, { json, quiet }: WorkerFlags, { stdout, stderr }: Io): void {
  const log = (text: string): void => {
    if (!quiet) say(stderr, text);
  };
  worker.on('started', (job) => {
    if (json) writeEvent(stdout, { type: 'started', ...whatOf(job) });
  });
  worker.on('progress', (job, { state, acknowledgedBytes, totalBytes, bytesPerSecond }) => {
    if (!json || state === 'returned') return;
    const bytes = { bytes: acknowledgedBytes, bytesTotal: totalBytes, bytesPerSecond };
    writeEvent(stdout, { type: 'job-progress', ...whatOf(job), state, ...bytes });
  });
  worker.on('done', (job, result) => {
    if (json) writeEvent(stdout, { type: 'job-done', ...whatOf(job), ...doneFields(result) });
    else say(stdout, result.url);
    log(
      `${whatOf(job).file}: done, ${formatBytes(result.bytes)} in ${formatElapsed(result.durationMs)}`,
    );
  });
  worker.on('returned', (job, reason, delayMs) => {
    const rounded = Math.round(delayMs);
    if (json) writeEvent(stdout, { type: 'returned', ...whatOf(job), reason, delayMs: rounded });
    log(`${whatOf(job).file}: back to the queue: ${reason}`);
  });
  worker.on('failed', (job, error, isFinal) => {
    const message = withFlags(error.message);
    if (json) writeEvent(stdout, { type: 'job-failed', ...whatOf(job), message, final: isFinal });
    say(
      stderr,
      `bits-upload: ${whatOf(job).file}: ${message}${isFinal ? '' : ' (it is tried again)'}`,
    );
  });
  worker.on('warning', ({ code, message }, job) => {
    const file = job === undefined ? null : whatOf(job).file;
    if (json) writeEvent(stdout, { type: 'warning', file, code, message: withFlags(message) });
    sayWarning(stderr, { message: withFlags(file === null ? message : `${file}: ${message}`) });
  });
}

function doneFields({ url: _, id: __, worker: ___, reply, ...result }: FleetResult) {
  return { ...result, replyFile: reply?.file, replyBytes: reply?.bytes };
}

/** Anyone who can write to Redis may have made the job. */
function whatOf({ id, data }: FleetJob): { job: string; file: string; url: string } {
  const { source, url } = (data ?? {}) as { source?: unknown; url?: unknown };
  return { job: String(id), file: String(source ?? ''), url: String(url ?? '') };
}

function notEmpty(value: string): string {
  if (value === '' || /[\s:]/.test(value)) {
    throw new InvalidArgumentError('a name has no spaces and no colons');
  }
  return value;
}
