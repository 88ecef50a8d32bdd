import { resolve } from 'node:path';
import type { Writable } from 'node:stream';
import type { WritableStream } from 'node:stream/web';
import { assertKnown, flag, isObject, mustBe, type OptionNames } from '../common/check-options.js';
import { BitsArgumentError } from '../errors.js';

/** As for GetReplyData of Windows. */
const MAX_MEMORY_BYTES = 1024 ** 2;
/** A server that never stops shall not fill the disk. */
const MAX_BYTES = 1024 ** 3;

/** Where a reply goes and what may become of it; `true` takes all defaults. */
export type ReplyOption = true | ReplyOptions;

/** Where the reply of an upload-reply job goes, and what it may be. */
export interface ReplyOptions {
  /**
   * `'memory'`: `data` of the result. Any other string: the path of a file, which appears when the
   * reply is whole. A stream: gets each byte once, at its own pace, and is ended when the reply is
   * whole (standard output and standard error are not); after a failure it is left as it is.
   * @default 'memory'
   */
  to?: 'memory' | (string & {}) | Writable | WritableStream | undefined;
  /** Whether the upload also succeeds when the server announces no reply. @default false */
  optional?: boolean | undefined;
  /** Whether the result has the SHA-256 of the reply. @default false */
  sha256?: boolean | undefined;
  /** Refuses a larger reply. @default 1048576 (1 MiB) for memory, else 1073741824 (1 GiB) */
  maxBytes?: number | undefined;
  /** Whether a file that exists already may be replaced. @default false */
  overwrite?: boolean | undefined;
}

/** A {@link ReplyOption} that was checked and has its defaults. */
export interface ResolvedReply {
  /** Absolute, of the file that the reply goes to; with neither this nor a stream it goes to memory. */
  readonly path?: string | undefined;
  readonly stream?: Writable | WritableStream | undefined;
  readonly optional: boolean;
  readonly sha256: boolean;
  readonly maxBytes: number;
  readonly overwrite: boolean;
}

const OPTION_NAMES: OptionNames<ReplyOptions> = {
  to: true,
  optional: true,
  sha256: true,
  maxBytes: true,
  overwrite: true,
};

/** @throws BITS_ERR_ARGUMENT for an option that cannot work */
export function resolveReply(option: ReplyOption | undefined): ResolvedReply | undefined {
  if (option === undefined) return undefined;
  const options = optionsOf(option);
  const target = targetOf(options.to);
  const isMemory = target.path === undefined && target.stream === undefined;
  const { maxBytes = isMemory ? MAX_MEMORY_BYTES : MAX_BYTES } = options;
  const isLimit = Number.isSafeInteger(maxBytes) && maxBytes > 0;
  mustBe(isLimit, 'reply.maxBytes', 'a whole number above 0');
  const overwrite = flag('reply.overwrite', options.overwrite);
  if (overwrite && target.path === undefined) {
    throw new BitsArgumentError(
      'reply.overwrite is only for a reply to a file: give its path as reply.to',
    );
  }
  return Object.freeze({
    ...target,
    optional: flag('reply.optional', options.optional),
    sha256: flag('reply.sha256', options.sha256),
    maxBytes,
    overwrite,
  });
}

function optionsOf(option: ReplyOption): ReplyOptions {
  if (option === true) return {};
  mustBe(!isStream(option), 'reply', 'true or an object: give the stream as reply: { to: stream }');
  const examples = '{ to: path }, { to: stream } or { maxBytes: 65536 }';
  mustBe(isObject(option), 'reply', `true or an object such as ${examples}`);
  assertKnown('reply.', option, OPTION_NAMES);
  return option;
}

function targetOf(to: ReplyOptions['to']): Pick<ResolvedReply, 'path' | 'stream'> {
  if (to === undefined || to === 'memory') return {};
  if (typeof to === 'string' && to !== '' && !to.includes('\0')) return { path: resolve(to) };
  if (isStream(to)) {
    if (!isWebStream(to)) hearErrors(to);
    return { stream: to };
  }
  throw new BitsArgumentError(
    "reply.to must be 'memory', the path of a file, a Writable or a WritableStream",
  );
}

/** A stream that fails before its reply comes would end the process; the job finds it destroyed then. */
function hearErrors(stream: Writable): void {
  if (isStandardStream(stream) || stream.listeners('error').includes(onEarlyError)) return;
  stream.on('error', onEarlyError);
}

function onEarlyError(): void {}

export function isStandardStream(stream: Writable): boolean {
  return stream === process.stdout || stream === process.stderr;
}

/** By shape: a stream may come from another realm, or from a package of its own. */
function isStream(value: unknown): value is Writable | WritableStream {
  if (typeof value !== 'object' || value === null) return false;
  return isWebStream(value) || ('write' in value && 'end' in value);
}

export function isWebStream(value: object): value is WritableStream {
  return 'getWriter' in value;
}
