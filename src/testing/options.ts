import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { TlsOptions } from 'node:tls';
import {
  assertKnown,
  assertOptions,
  flag,
  isObject,
  mustBe,
  optionalFunction,
  text,
  texts,
  wholeNumber,
} from '../common/check-options.js';
import type { LoggedRequest } from './access-log.js';
import type { Fault } from './faults.js';
import type { ReplyResult } from './replies.js';
import type { SinkKind } from './sinks.js';

/** A complete upload, as the application behind the server sees it. */
export interface Upload {
  /** The URL that the client sent it to. */
  readonly url: string;
  /** The file in the root; for `reply`, the file that Close-Session will create. */
  readonly path: string;
  readonly bytes: number;
  /** As the client sent it, percent-encoded or not; undefined for an empty upload. */
  readonly contentName: string | undefined;
  /** Headers of the request that completed the upload; names in lower case. */
  readonly headers: Readonly<IncomingHttpHeaders>;
  /** In lower-case hexadecimal; only with the sink `sha256`. */
  readonly sha256: string | undefined;
  /** 1 for the first call for this upload. */
  readonly attempt: number;
  /**
   * Reads the uploaded bytes.
   * @throws BITS_ERR_STATE with a sink that does not keep them.
   */
  open(): Readable;
}

/** Options of `createBitsServer`; all may be left out. */
export interface BitsServerOptions {
  /** The folder for uploads, created when missing. @default a temporary one, deleted by `close()` */
  readonly root?: string;
  /** The name or address to listen on. @default '127.0.0.1' */
  readonly host?: string;
  /** The port to listen on. @default 0, any free port */
  readonly port?: number;
  /**
   * Names in URLs by which clients may reach this server, besides `host`, the address they connect
   * to, host-ids that were sent and, for clients on this machine, `localhost`. Requests for other
   * hosts are refused with 421; set 'any' behind a proxy that names hosts of its own. @default none
   */
  readonly allowedHosts?: 'any' | readonly string[];
  /**
   * Serves HTTPS, with these options of `tls.createServer`: `key` and `cert` at least.
   *
   * With `ALPNProtocols: ['h2', 'http/1.1']` a client that chooses HTTP/2 commits a violation.
   */
  readonly tls?: TlsOptions;
  /** What becomes of uploaded bytes. @default 'disk' */
  readonly sink?: SinkKind;
  /** False: every packet is refused with 501 and 0x80070005. @default true */
  readonly uploadsEnabled?: boolean;
  /** False: names that exist are refused with 403 and 0x80070005, as by IIS. @default false */
  readonly allowOverwrite?: boolean;
  /** False: uploads into missing directories are refused with 404, as by IIS. @default true */
  readonly createDirectories?: boolean;
  /** True: GET and HEAD also serve the uploads that this server has received. @default false */
  readonly serveUploads?: boolean;
  /** Larger files are refused with 500 and 0x80200020. @default no limit */
  readonly maxUploadBytes?: number;
  /** Larger Fragments are refused with 413. @default no limit */
  readonly maxFragmentBytes?: number;
  /**
   * A Fragment that does not start at the next offset.
   *
   * - `strict`: answers 416 (§3.2.5.2.6).
   * - `accept`: when it starts below, keeps the new part (Win32: ack-for-fragment).
   * - `append`: appends all of it and acknowledges its own end, as some servers do wrongly.
   * @default 'strict'
   */
  readonly overlap?: 'strict' | 'accept' | 'append';
  /** True: only the ack of Create-Session has a `BITS-Session-Id`, as from IIS. @default true */
  readonly omitSessionIdOnAck?: boolean;
  /** `BITS-Host-Id` of new sessions; a function is called for each. @default none */
  readonly hostId?: string | (() => string | undefined);
  /** `BITS-Host-Id-Fallback-Timeout`, sent in whole seconds. @default none */
  readonly hostIdFallbackTimeoutMs?: number;
  /** Sessions end when they have not been used for this time. @default 14 days */
  readonly sessionTimeoutMs?: number;
  /**
   * Makes the server an upload-reply server: called when an upload is complete.
   *
   * When it throws, the answer is 500 with the error context of the application, 0x7. An empty
   * upload has no Fragment and therefore no reply.
   */
  readonly reply?: (upload: Upload) => ReplyResult | Promise<ReplyResult>;
  /** True: a last Fragment that is sent again calls `reply` again. @default false */
  readonly replyAgain?: boolean;
  /** Called after Close-Session has moved a file into place, before its ack. */
  readonly onUpload?: (upload: Upload) => void | Promise<void>;
  /** What goes wrong; `addFault` adds more. @default none */
  readonly faults?: readonly Fault[];
  /** Milliseconds since the epoch; a clock of its own lets a test skip time. @default Date.now */
  readonly now?: () => number;
  /** A connection is closed when no request has come for this time. @default 120,000 */
  readonly idleTimeoutMs?: number;
  /** A connection is closed when a request's head takes longer than this. @default 30,000 */
  readonly headTimeoutMs?: number;
  /** A connection is closed when a body is slower than 1 KiB/s for this time. @default 60,000 */
  readonly bodyTimeoutMs?: number;
  /** More connections are closed at once. @default 500 */
  readonly maxConnections?: number;
  /** More sessions are refused with 503. @default 10,000 */
  readonly maxSessions?: number;
  /** How many requests, violations and uploads are remembered. @default 100,000 */
  readonly logLimit?: number;
  /** Called when a request has an outcome; for an access log. */
  readonly onRequest?: (request: LoggedRequest) => void;
}

/** The options with every default filled in. */
export type ResolvedOptions = ReturnType<typeof resolveOptions>;

const SINKS: readonly SinkKind[] = ['disk', 'sha256', 'discard'];
const OVERLAPS = ['strict', 'accept', 'append'] as const;

const DAY_MS = 24 * 60 * 60 * 1000;

/** @throws BITS_ERR_ARGUMENT for an option that is unknown or cannot work */
export function resolveOptions(options: BitsServerOptions) {
  assertOptions('createBitsServer', options);
  const { allowedHosts, tls, faults = [] } = options;
  mustBe(tls === undefined || isObject(tls), 'tls', 'an object of options of tls.createServer');
  mustBe(Array.isArray(faults), 'faults', 'an array of faults');
  const resolved = {
    root: text('root', options.root),
    host: text('host', options.host) ?? '127.0.0.1',
    port: wholeNumber('port', options.port, 0),
    allowedHosts:
      allowedHosts === 'any' ? allowedHosts : (texts('allowedHosts', allowedHosts) ?? []),
    tls,
    sink: choice('sink', options.sink ?? 'disk', SINKS),
    serveUploads: flag('serveUploads', options.serveUploads),
    uploadsEnabled: flag('uploadsEnabled', options.uploadsEnabled, true),
    allowOverwrite: flag('allowOverwrite', options.allowOverwrite),
    createDirectories: flag('createDirectories', options.createDirectories, true),
    maxUploadBytes: limit('maxUploadBytes', options.maxUploadBytes, Number.MAX_SAFE_INTEGER),
    maxFragmentBytes: limit('maxFragmentBytes', options.maxFragmentBytes, Number.MAX_SAFE_INTEGER),
    overlap: choice('overlap', options.overlap ?? 'strict', OVERLAPS),
    omitSessionIdOnAck: flag('omitSessionIdOnAck', options.omitSessionIdOnAck, true),
    hostId: hostIdOf(options.hostId),
    hostIdFallbackTimeoutMs: limit(
      'hostIdFallbackTimeoutMs',
      options.hostIdFallbackTimeoutMs,
      Number.POSITIVE_INFINITY,
    ),
    sessionTimeoutMs: limit('sessionTimeoutMs', options.sessionTimeoutMs, 14 * DAY_MS),
    reply: optionalFunction('reply', options.reply),
    replyAgain: flag('replyAgain', options.replyAgain),
    onUpload: optionalFunction('onUpload', options.onUpload),
    faults,
    now: optionalFunction('now', options.now) ?? Date.now,
    idleTimeoutMs: limit('idleTimeoutMs', options.idleTimeoutMs, 120_000),
    headTimeoutMs: limit('headTimeoutMs', options.headTimeoutMs, 30_000),
    bodyTimeoutMs: limit('bodyTimeoutMs', options.bodyTimeoutMs, 60_000),
    maxConnections: limit('maxConnections', options.maxConnections, 500),
    maxSessions: limit('maxSessions', options.maxSessions, 10_000),
    logLimit: limit('logLimit', options.logLimit, 100_000),
    onRequest: optionalFunction('onRequest', options.onRequest),
  };
  assertKnown('', options, resolved);
  return resolved;
}

function hostIdOf(hostId: BitsServerOptions['hostId']): () => string | undefined {
  if (typeof hostId === 'function') return hostId;
  const always = text('hostId', hostId);
  return () => always;
}

function choice<T extends string>(name: string, value: T, choices: readonly T[]): T {
  mustBe(choices.includes(value), name, `one of ${choices.join(', ')}, not ${String(value)}`);
  return value;
}

function limit(name: string, value: number | undefined, byDefault: number): number {
  if (value === undefined) return byDefault;
  mustBe(typeof value === 'number' && value >= 0, name, 'a number that is not negative');
  return value;
}
