import {
  type ByteSource,
  fileSource,
  type StreamSourceOptions,
  streamSource,
  type UploadOptions,
} from '../../index.js';
import { appendFileName, namesThatMeet, parseRemoteUrl, redactUrl } from '../../internal.js';
import type { CommandContext } from '../context.js';
import type { Target } from '../render/messages.js';
import type { StateFlags } from '../state-directory.js';
import { parseSize, UsageError } from '../values.js';
import {
  type BatchFlags,
  checkReplyFlags,
  type OutputFlags,
  type ReplyFlags,
  type TransferFlags,
  uploadOptions,
} from './upload-options.js';

/** The options of `put` as the command line has them. */
export interface PutFlags extends TransferFlags, BatchFlags, ReplyFlags, OutputFlags, StateFlags {
  readonly spoolSize?: string;
  /** False after `--no-resume`. */
  readonly resume: boolean;
}

/** One file and where it goes. */
export interface PlannedUpload {
  readonly target: Target & { readonly file: string; readonly url: string };
  /** Undefined: standard input. */
  readonly file: ByteSource | undefined;
  readonly options: UploadOptions & { readonly url: URL };
}

/** Names standard input. */
const STDIN = '-';

const SPOOL_SIZE = '--spool-size';

/**
 * What to upload where, from the arguments alone: no file is touched, nothing is sent.
 * @throws UsageError, BITS_ERR_ARGUMENT
 */
export function planUploads(
  paths: readonly string[],
  flags: PutFlags,
  context: CommandContext,
): PlannedUpload[] {
  const files = paths.slice(0, -1);
  const remoteUrl = parseRemoteUrl(lastOf(paths));
  checkFiles(files, remoteUrl);
  checkFlags(flags, files.length);
  const spool = spoolOptions(flags, files);
  const shared = uploadOptions(flags, context);
  return files.map((path) => {
    const file = path === STDIN ? undefined : fileSource(path);
    const url = file?.name ? appendFileName(remoteUrl, file.name) : remoteUrl;
    const source = file ?? streamSource(context.io.stdin, spool);
    return {
      target: { file: path, url: redactUrl(url) },
      file,
      options: { ...shared, url, source },
    };
  });
}

function lastOf(paths: readonly string[]): string {
  const last = paths.at(-1) ?? '';
  if (!isUrl(last) && paths.some(isUrl)) {
    throw new UsageError('the URL comes last: put FILE URL');
  }
  if (paths.length > 1) return last;
  throw new UsageError(
    isUrl(last) ? 'put needs a FILE before the URL' : 'put needs a URL after the FILE',
  );
}

function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text);
}

function checkFiles(files: readonly string[], remoteUrl: URL): void {
  // Not repeated in the message: it may hold a password.
  if (files.some(isUrl)) {
    throw new UsageError(
      'a FILE looks like a URL: the URL comes last; write ./ before a path that looks like a URL',
    );
  }
  const isDirectory = remoteUrl.pathname.endsWith('/');
  if (files.length > 1 && !isDirectory) {
    throw new UsageError('more than one FILE needs a URL that ends in /');
  }
  if (files.includes(STDIN) && isDirectory) {
    throw new UsageError(
      'standard input has no name: give the URL of the file, not one that ends in /',
    );
  }
  if (files.length > 1) checkNames(files);
}

/** One of two files with the same name would be lost, and be reported as stored. */
function checkNames(files: readonly string[]): void {
  const names = files.map((file) => fileSource(file).name ?? file);
  const [meeting] = namesThatMeet(names);
  if (meeting === undefined) return;
  const same = files.filter((_, index) => meeting.includes(names[index] ?? '')).join(' and ');
  throw new UsageError(
    new Set(meeting).size === 1
      ? `${same} would have the same URL: upload one at a time`
      : `${same} would be the same file on a Windows server, which ignores case, and dots and spaces at the end: rename all but one`,
  );
}

function checkFlags(flags: PutFlags, files: number): void {
  checkReplyFlags(flags);
  const { reply, replyFile, replyOptional, maxReplySize } = flags;
  const replies = reply || replyFile !== undefined;
  if (replies && files > 1) throw new UsageError('--reply and --reply-file take only one FILE');
  const lonely = replyOptional ? '--reply-optional' : maxReplySize && '--max-reply-size';
  if (lonely && !replies) throw new UsageError(`${lonely} needs --reply or --reply-file`);
}

function spoolOptions({ spoolSize }: PutFlags, files: readonly string[]): StreamSourceOptions {
  if (spoolSize === undefined) return { limitName: SPOOL_SIZE };
  if (!files.includes(STDIN)) {
    throw new UsageError(`${SPOOL_SIZE} needs ${STDIN}, standard input, as a FILE`);
  }
  const sizes = { least: 1, most: Number.MAX_SAFE_INTEGER };
  return { limitName: SPOOL_SIZE, maxBytes: parseSize(SPOOL_SIZE, spoolSize, sizes) };
}
