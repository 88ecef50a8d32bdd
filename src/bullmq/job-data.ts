import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JobsOptions } from 'bullmq';
import { assertKnown } from '../common/check-options.js';
import { BitsArgumentError, BitsError } from '../errors.js';
import type { RetryInput, TimeoutOptions, UploadOptions } from '../job/options.js';
import { resolveOptions } from '../job/resolve-options.js';
import { parseRemoteUrl } from '../protocol/remote-url.js';
import { PRIORITIES, type Priority } from '../queue/line.js';
import type { ReplyOptions } from '../reply/reply-option.js';

/** Where the reply of an upload goes: a file of the worker that receives it. */
export interface FleetReplyOptions extends Omit<ReplyOptions, 'to'> {
  /** Path of the file. */
  to: string;
}

/** One upload for `enqueueUploads`. It is kept in Redis, so it holds no secret. */
export interface FleetUploadOptions
  extends Pick<
    UploadOptions,
    'name' | 'fragmentBytes' | 'maxRestarts' | 'onUncertainFragment' | 'methodOverride'
  > {
  /** Where the file goes, http or https, without a query. One that ends in `/` gets the file's name. */
  url: string | URL;
  /**
   * The path of a file that each worker sees, or a reference such as `s3://bucket/key`, which the
   * workers' `resolveSource` opens.
   */
  source: string | URL;
  /** Makes this an upload-reply job. @default no reply */
  reply?: FleetReplyOptions | undefined;
  /** What may take how long. */
  timeouts?: TimeoutOptions | undefined;
  /** How failures that may pass are retried while a worker is at the upload. */
  retry?: Omit<RetryInput, 'shouldRetry'> | undefined;
  /** The name of credentials that the workers have. @default 'default', if they have them */
  credentials?: string | undefined;
  /** Which jobs come first. @default 'normal' */
  priority?: Priority | undefined;
  /**
   * BullMQ's own options of the job, such as `jobId`, `delay` or `attempts`.
   * @default 5 attempts, 5 s and longer apart; the last 1000 completed jobs are kept for a day
   */
  jobOptions?: JobsOptions | undefined;
}

/** What a job of BullMQ holds: an upload, checked. */
export interface FleetJobData
  extends Omit<FleetUploadOptions, 'priority' | 'jobOptions' | 'url' | 'source'> {
  readonly version: typeof DATA_VERSION;
  readonly url: string;
  readonly source: string;
}

/** This worker cannot do a job, and another one perhaps can. */
export class OtherWorkerError extends BitsError {}

/** The name of the jobs. */
export const JOB_NAME = 'upload';

export const DATA_VERSION = 1;

const FIELDS: Readonly<Record<keyof FleetJobData, true>> = {
  version: true,
  url: true,
  source: true,
  name: true,
  reply: true,
  fragmentBytes: true,
  timeouts: true,
  retry: true,
  maxRestarts: true,
  onUncertainFragment: true,
  methodOverride: true,
  credentials: true,
};

function otherVersion(version: unknown): OtherWorkerError {
  const found = Number.isSafeInteger(version) ? `version ${version}` : 'no version';
  return new OtherWorkerError(
    'BITS_ERR_STATE',
    `The job has ${found}, and this worker knows version ${DATA_VERSION}: run the release of ` +
      'bits-upload that enqueued it.',
  );
}

/** Which jobs BullMQ takes first; 1 is the first. */
export function bullmqPriority(priority: Priority = 'normal'): number {
  const index = PRIORITIES.indexOf(priority);
  if (index >= 0) return index + 1;
  throw new BitsArgumentError(`priority must be one of ${PRIORITIES.join(', ')}.`);
}

/**
 * Checks an upload as the worker will, and leaves what Redis may hold.
 * @throws BITS_ERR_ARGUMENT for what cannot work, and for what may be a secret
 */
export function toJobData(options: FleetUploadOptions): FleetJobData {
  if (typeof options !== 'object' || options === null) {
    throw new BitsArgumentError('An upload must be an object of options, with url and source.');
  }
  const { priority, jobOptions, ...upload } = options;
  bullmqPriority(priority);
  const { reply, source } = upload;
  const data: FleetJobData = {
    ...upload,
    version: DATA_VERSION,
    url: parseRemoteUrl(upload.url).href,
    source: sourceText(source),
    ...(typeof reply?.to === 'string' && { reply: { ...reply, to: resolve(reply.to) } }),
  };
  checkData(data);
  // As Redis will hold it: what is undefined is left out.
  return JSON.parse(JSON.stringify(data)) as FleetJobData;
}

/**
 * Reads the data of a job, which anyone may have written who can write to Redis.
 * @throws BITS_ERR_ARGUMENT, or an OtherWorkerError for one of another version
 */
export function parseJobData(data: unknown): FleetJobData {
  if (typeof data !== 'object' || data === null) {
    throw new BitsArgumentError('The job holds no upload: enqueue it with enqueueUploads.');
  }
  const { version } = data as Partial<FleetJobData>;
  if (version !== DATA_VERSION) throw otherVersion(version);
  checkData(data as FleetJobData);
  return withPlainPaths(data as FleetJobData);
}

/** Without `..`, so that what is checked of a path is what is opened. */
function withPlainPaths(data: FleetJobData): FleetJobData {
  const { source, reply } = data;
  return {
    ...data,
    ...(!isReference(source) && { source: resolve(source) }),
    ...(reply !== undefined && { reply: { ...reply, to: resolve(reply.to) } }),
  };
}

/** Whether a source is for `resolveSource`, and not the path of a file. */
export function isReference(source: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(source);
}

function checkData(data: FleetJobData): void {
  assertKnown('', data, FIELDS);
  const { version, source, credentials, ...upload } = data;
  if (typeof source !== 'string' || source === '' || source.includes('\0')) {
    throw new BitsArgumentError('source must be the path of a file, or a reference.');
  }
  if (isReference(source)) checkReference(source);
  else if (!isAbsolute(source)) throw new BitsArgumentError('source must be an absolute path.');
  if (credentials !== undefined && (typeof credentials !== 'string' || credentials === '')) {
    throw new BitsArgumentError('credentials must be the name of credentials of the workers.');
  }
  const { reply, retry } = upload;
  if (reply !== undefined && (typeof reply?.to !== 'string' || !isAbsolute(reply.to))) {
    throw new BitsArgumentError('reply.to must be the path of a file of the worker.');
  }
  if (typeof retry === 'object' && retry !== null && 'shouldRetry' in retry) {
    throw new BitsArgumentError('retry.shouldRetry is a function, which Redis cannot hold.');
  }
  const { remoteUrl } = resolveOptions({ ...upload, source: new Uint8Array() });
  if (remoteUrl.search !== '') {
    throw new BitsArgumentError(
      'The URL has a query, which may be a token and would be kept in Redis: give the workers ' +
        'the query as query of credentials.',
    );
  }
}

function sourceText(source: string | URL): string {
  if (source instanceof URL) {
    return source.protocol === 'file:' ? fileURLToPath(source) : source.href;
  }
  if (typeof source !== 'string' || source === '') {
    throw new BitsArgumentError(
      'The source of an upload in a fleet must be the path of a file that each worker sees, or a ' +
        'reference that resolveSource of the workers opens: Redis holds no bytes.',
    );
  }
  return isReference(source) ? source : resolve(source);
}

function checkReference(source: string): void {
  const hasUser = /^[^/]*:\/\/[^/?#]*@/.test(source);
  const hasQuery = /^https?:/i.test(source) && source.includes('?');
  if (!hasUser && !hasQuery) return;
  throw new BitsArgumentError(
    'The source has a user name, a password or a query, which would be kept in Redis: give a ' +
      'reference without it, and sign it in resolveSource of the workers.',
  );
}
