import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { TlsOptions } from 'node:tls';
import { BitsArgumentError } from '../errors.js';
import type { LoggedRequest } from './access-log.js';
import type { Fault } from './faults.js';
import type { ReplyResult } from './replies.js';
import type { SinkKind } from './sinks.js';

/** A complete upload, as the application behind the server sees it. */
export interface Upload {
  /** The URL by which the client called. */
  readonly url: string;
  /** Where the file is, or, for `reply`, where Close-Session will put it. */
  readonly path: string;
  readonly bytes: number;
  /** As the client sent it, percent-encoded or not; undefined for an empty upload. */
  readonly contentName: string | undefined;
  /** Of the request that completed the upload, in lower case. */
  readonly headers: Readonly<IncomingHttpHeaders>;
  /** Lower-case hexadecimal, with the sink `sha256`. */
  readonly sha256: string | undefined;
  /** 1 for the first call for this upload. */
  readonly attempt: number;
  /**
   * Reads the uploaded bytes.
   * @throws BITS_ERR_STATE with sinks that keep none.
   */
  open(): Readable;
}

export interface BitsServerOptions {
  /** Folder for uploads, on one file system. @default a temporary one, deleted by `close()` */
  readonly root?: string;
  /** @default '127.0.0.1' */
  readonly host?: string;
  /** @default 0, any free one */
  readonly port?: number;
  /**
   * Serves HTTPS, with these options of `tls.createServer`: `key` and `cert` at least.
   *
   * Offer HTTP/2 with `ALPNProtocols: ['h2', 'http/1.1']` to catch clients that take it: choosing
   * it is a violation.
   */
  readonly tls?: TlsOptions;
  /** @default 'disk' */
  readonly sink?: SinkKind;
  /** False answers every packet with 501 and 0x80070005. @default true */
  readonly uploadsEnabled?: boolean;
  /** False refuses names that exist with 403 and 0x80070005, as IIS does. @default false */
  readonly allowOverwrite?: boolean;
  /** False refuses uploads into missing directories with 404, as IIS does. @default true */
  readonly createDirectories?: boolean;
  /** Larger files are refused with 500 and 0x80200020. @default no limit */
  readonly maxUploadBytes?: number;
  /** Larger Fragments are refused with 413. @default no limit */
  readonly maxFragmentBytes?: number;
  /**
   * Fragments that start below the wanted offset: `strict` answers 416 (§3.2.5.2.6), `accept`
   * keeps the part that it lacks (Win32: ack-for-fragment). @default 'strict'
   */
  readonly overlap?: 'strict' | 'accept';
  /** Leaves `BITS-Session-Id` off every ack but that of Create-Session, as IIS does. @default true */
  readonly omitSessionIdOnAck?: boolean;
  /** `BITS-Host-Id` of new sessions; a function is asked for each. @default none */
  readonly hostId?: string | (() => string | undefined);
  /** `BITS-Host-Id-Fallback-Timeout`, sent in whole seconds. @default none */
  readonly hostIdFallbackTimeoutMs?: number;
  /** Unused sessions end after this time. @default 14 days */
  readonly sessionTimeoutMs?: number;
  /**
   * Makes the server an upload-reply server: called when the last byte of an upload has come.
   *
   * What it throws is answered with 500 and the error context of the application, 0x7. An empty
   * upload has no Fragment and so no reply.
   */
  readonly reply?: (upload: Upload) => ReplyResult | Promise<ReplyResult>;
  /**
   * Whether a last Fragment that is sent again calls `reply` again; else it is answered from what
   * the first call gave. @default false
   */
  readonly replyAgain?: boolean;
  /** Called after Close-Session has put a file into place, before its ack. */
  readonly onUpload?: (upload: Upload) => void | Promise<void>;
  /** More can be added later with `addFault`. @default none */
  readonly faults?: readonly Fault[];
  /** Milliseconds since the epoch; replace it to test time-outs. @default Date.now */
  readonly now?: () => number;
  /** Longest silence of a client before its connection is destroyed. @default 120,000 */
  readonly idleTimeoutMs?: number;
  /** How many requests, and how many violations, are remembered. @default 100,000 */
  readonly logLimit?: number;
  /** Called when a request has ended; for an access log. */
  readonly onRequest?: (request: LoggedRequest) => void;
}

export type ResolvedOptions = Required<
  Omit<BitsServerOptions, 'root' | 'tls' | 'hostId' | 'reply' | 'onUpload' | 'onRequest'>
> & {
  readonly root: string | undefined;
  readonly tls: TlsOptions | undefined;
  readonly hostId: () => string | undefined;
  readonly reply: BitsServerOptions['reply'];
  readonly onUpload: BitsServerOptions['onUpload'];
  readonly onRequest: BitsServerOptions['onRequest'];
};

const DAY_MS = 24 * 60 * 60 * 1000;

/** @throws BITS_ERR_ARGUMENT for sizes and times that make no sense. */
export function resolveOptions(options: BitsServerOptions): ResolvedOptions {
  const { hostId } = options;
  return {
    root: options.root,
    host: options.host ?? '127.0.0.1',
    port: options.port ?? 0,
    tls: options.tls,
    sink: options.sink ?? 'disk',
    uploadsEnabled: options.uploadsEnabled ?? true,
    allowOverwrite: options.allowOverwrite ?? false,
    createDirectories: options.createDirectories ?? true,
    maxUploadBytes: limit('maxUploadBytes', options.maxUploadBytes, Number.MAX_SAFE_INTEGER),
    maxFragmentBytes: limit('maxFragmentBytes', options.maxFragmentBytes, Number.MAX_SAFE_INTEGER),
    overlap: options.overlap ?? 'strict',
    omitSessionIdOnAck: options.omitSessionIdOnAck ?? true,
    hostId: typeof hostId === 'function' ? hostId : () => hostId,
    hostIdFallbackTimeoutMs: limit(
      'hostIdFallbackTimeoutMs',
      options.hostIdFallbackTimeoutMs,
      Number.POSITIVE_INFINITY,
    ),
    sessionTimeoutMs: limit('sessionTimeoutMs', options.sessionTimeoutMs, 14 * DAY_MS),
    reply: options.reply,
    replyAgain: options.replyAgain ?? false,
    onUpload: options.onUpload,
    faults: options.faults ?? [],
    now: options.now ?? Date.now,
    idleTimeoutMs: limit('idleTimeoutMs', options.idleTimeoutMs, 120_000),
    logLimit: limit('logLimit', options.logLimit, 100_000),
    onRequest: options.onRequest,
  };
}

function limit(name: string, value: number | undefined, byDefault: number): number {
  if (value === undefined) return byDefault;
  if (!(value >= 0)) throw new BitsArgumentError(`${name} must be a number from 0`);
  return value;
}
