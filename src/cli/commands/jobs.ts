import { Option } from 'commander';
import type { CliEvent } from '../../cli-events.js';
import type { JobRecord, LockOwner } from '../../index.js';
import type { CliCommand, CommandContext } from '../context.js';
import { EXIT, type ExitCode } from '../exit-codes.js';
import { sayWarning } from '../render/messages.js';
import { printable, say, writeEvent } from '../render/text.js';
import { formatAge, formatBytes, formatPercent } from '../render/units.js';
import { nameOf, openJobState } from '../state-directory.js';
import { ageOf, driverOf, type SourceStatus, sourceStatusOf, targetOf } from './find-jobs.js';
import { type Flags, JSON_OUTPUT, STATE_OPTIONS } from './options.js';
import { reportError } from './report.js';

interface JobsFlags extends Flags {
  readonly ids?: boolean;
}

interface ListedJob {
  readonly record: JobRecord;
  readonly source: SourceStatus;
  readonly driver: LockOwner | undefined;
}

const HELP = `
Each line has the id of an unfinished upload, how much of it the server has
acknowledged, its condition, its age, the file and the URL. Records that cannot
be read are listed on standard error.

With --json: objects of type "job" and "problem" (docs/cli.md has their fields).
state is the state of the protocol when the record was last written; source is
unchanged, changed, gone or unreadable; process has pid and hostName of the
process that is uploading the file, or is null.

Exit codes: 0 listed, 1 the directory cannot be read, 2 the command line is
wrong.`;

export const JOBS: CliCommand = {
  summary: 'list unfinished uploads',
  examples: ['bits-upload jobs', "bits-upload jobs --json | jq -r 'select(.ageMs > 864e5).id'"],
  help: HELP,
  options: [
    ...STATE_OPTIONS,
    JSON_OUTPUT,
    new Option('--ids', 'only the ids and the files, for the completion').hideHelp(),
  ],
  run: listJobs,
};

async function listJobs(
  _: readonly string[],
  flags: JobsFlags,
  { io }: CommandContext,
): Promise<ExitCode> {
  const state = openJobState(flags);
  const { stdout, stderr } = io;
  try {
    const { records, problems } = await state.store.list();
    if (flags.ids) {
      // Whoever presses the tabulator does not wait for the disks of the files.
      for (const { id, source } of records) stdout.write(`${id}\t${printable(source.path)}\n`);
      return EXIT.done;
    }
    const jobs = await Promise.all(
      records.map(async (record): Promise<ListedJob> => {
        const [source, driver] = await Promise.all([
          sourceStatusOf(record),
          driverOf(state.store, record),
        ]);
        return { record, source, driver };
      }),
    );
    if (flags.json) {
      for (const job of jobs) writeEvent(stdout, eventOf(job));
      for (const { where, error } of problems) {
        writeEvent(stdout, { type: 'problem', where, message: error.message });
      }
      return EXIT.done;
    }
    for (const line of tableOf(jobs.map((job) => columnsOf(job)))) say(stdout, line);
    if (jobs.length === 0) say(stderr, `no unfinished uploads in ${await nameOf(state)}`);
    for (const { error } of problems) sayWarning(stderr, error);
    return EXIT.done;
  } catch (error) {
    return reportError(error, io, flags);
  }
}

function eventOf({ record, source, driver }: ListedJob): CliEvent {
  const { id, session, totalBytes, state, createdAtMs, updatedAtMs, reply } = record;
  return {
    type: 'job',
    id,
    ...targetOf(record),
    bytes: session.offset,
    bytesTotal: totalBytes,
    state,
    source,
    process: driver ?? null,
    createdAt: new Date(createdAtMs).toISOString(),
    updatedAt: new Date(updatedAtMs).toISOString(),
    ageMs: ageOf(record),
    replyFile: reply?.file,
  };
}

function columnsOf(job: ListedJob): string[] {
  const { record } = job;
  const { id, session, totalBytes } = record;
  const { file, url } = targetOf(record);
  return [
    id,
    formatPercent(session.offset, totalBytes),
    `of ${formatBytes(totalBytes)}`,
    describe(job),
    formatAge(ageOf(record)),
    `${file} -> ${url}`,
  ];
}

function describe({ record, source, driver }: ListedJob): string {
  if (driver !== undefined) return `running, process ${driver.pid} on ${driver.hostName}`;
  if (source !== 'unchanged') return `file ${source === 'gone' ? 'missing' : source}`;
  if (record.state === 'suspended') return 'stopped';
  return record.state === 'error' ? 'failed' : 'interrupted';
}

/** Aligned columns; the last one is not padded. */
function tableOf(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}
