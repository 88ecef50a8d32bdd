import { resolve } from 'node:path';
import type { Writable } from 'node:stream';
import {
  appendFileName,
  fileSource,
  parseRemoteUrl,
  redactUrl,
  type StreamSourceOptions,
  streamSource,
  type UploadOptions,
} from '../../index.js';
import type { Io } from '../io.js';
import { parseSize } from '../parse/size.js';
import type { Target } from '../render/reporter.js';
import type { StateFlags } from '../state-directory.js';
import { UsageError } from '../usage-error.js';
import { type OutputFlags, type TransferFlags, transferOptions } from './common-options.js';

/** The options of `put` as the command line has them. */
export interface PutFlags extends TransferFlags, OutputFlags, StateFlags {
  readonly reply?: boolean;
  readonly replyFile?: string;
  readonly replyOptional?: boolean;
  readonly spoolSize?: string;
  /** False after `--no-resume`. */
  readonly resume: boolean;
}

/** One upload that was asked for. */
export interface PlannedUpload {
  readonly target: Target & { readonly file: string };
  readonly options: UploadOptions & { readonly url: URL };
}

/** Names standard input. */
export const STDIN = '-';

const SPOOL_SIZE = '--spool-size';

/**
 * What to upload where, from the arguments alone: no file is touched, nothing is sent.
 * @throws UsageError, BITS_ERR_ARGUMENT
 */
export function planUploads(
  paths: readonly string[],
  flags: PutFlags,
  io: Pick<Io, 'stdin' | 'stdout' | 'env'>,
): PlannedUpload[] {
  const files = paths.slice(0, -1);
  const remoteUrl = parseRemoteUrl(lastOf(paths));
  checkFiles(files, remoteUrl);
  checkReplyFlags(flags, files.length);
  const spool = spoolOptions(flags, files);
  const shared = {
    ...transferOptions(flags, io.env),
    ...replyOptions(flags, io.stdout),
    resume: flags.resume,
  };
  return files.map((file) => {
    const source = file === STDIN ? streamSource(io.stdin, spool) : fileSource(file);
    const url =
      'name' in source && source.name ? appendFileName(remoteUrl, source.name) : remoteUrl;
    return {
      target: { file, url: redactUrl(url) },
      options: { ...shared, url, source },
    };
  });
}

function lastOf(paths: readonly string[]): string {
  const last = paths.at(-1) ?? '';
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
      'a FILE looks like a URL: the URL comes last; write ./ before a path that begins so',
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

function checkNames(files: readonly string[]): void {
  const byName = new Map<string, string>();
  for (const file of files) {
    const { name = file } = fileSource(file);
    const other = byName.get(name);
    if (other !== undefined) {
      throw new UsageError(`${other} and ${file} would have the same URL: upload one at a time`);
    }
    byName.set(name, file);
  }
}

function checkReplyFlags({ reply, replyFile, replyOptional, json }: PutFlags, files: number): void {
  const replies = reply || replyFile !== undefined;
  if (reply && replyFile !== undefined) {
    throw new UsageError('--reply and --reply-file exclude each other');
  }
  if (replies && files > 1) {
    throw new UsageError('--reply and --reply-file take one FILE only');
  }
  if (reply && json) {
    throw new UsageError('--reply would mix the reply with the output of --json: use --reply-file');
  }
  if (replyOptional && !replies) {
    throw new UsageError('--reply-optional goes with --reply or --reply-file');
  }
}

function replyOptions(flags: PutFlags, stdout: Writable): Partial<UploadOptions> {
  const { reply, replyFile, replyOptional } = flags;
  if (!reply && replyFile === undefined) return {};
  return {
    reply: { to: replyFile === undefined ? stdout : resolve(replyFile), optional: replyOptional },
  };
}

function spoolOptions({ spoolSize }: PutFlags, files: readonly string[]): StreamSourceOptions {
  if (spoolSize === undefined) return { limitName: SPOOL_SIZE };
  if (!files.includes(STDIN)) {
    throw new UsageError(`${SPOOL_SIZE} goes with ${STDIN}, standard input`);
  }
  const sizes = { least: 1, most: Number.MAX_SAFE_INTEGER };
  return { limitName: SPOOL_SIZE, maxBytes: parseSize(SPOOL_SIZE, spoolSize, sizes) };
}
