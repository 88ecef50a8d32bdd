import type { BitsError } from '../errors.js';
import type { ReplyOption } from '../reply/reply-option.js';
import type { SourceInput } from '../source/to-source.js';
import type { JobStore } from '../store/store.js';
import type { AuthOptions } from '../transport/auth/options.js';
import type { ProxyOption } from '../transport/proxy/proxy-server.js';
import type { TlsOptions } from '../transport/tls-options.js';
import type { Transport } from '../transport/transport.js';
import type { Bandwidth, BandwidthOptions } from './bandwidth.js';
import type { HeadersInput } from './check-headers.js';
import type { RequestHook, ResponseHook } from './packet-hooks.js';

/** Every default of a job; the documentation's table is made from it. */
export const DEFAULTS = Object.freeze({
  retry: Object.freeze({
    limit: Number.POSITIVE_INFINITY,
    minDelayMs: 1_000,
    maxDelayMs: 60_000,
    maxRetryAfterMs: 300_000,
  }),
  timeouts: Object.freeze({
    connectMs: 30_000,
    stallMs: 120_000,
    answerMs: 300_000,
    replyMs: 600_000,
    noProgressMs: 600_000,
  }),
  maxRestarts: 3,
  onUncertainFragment: 'resend' as const,
  spoolMaxBytes: 4 * 1024 ** 3,
});

/** Options of an `UploadJob`; only `url` and `source` are required. */
export interface UploadOptions {
  /** Where the file goes, http or https. One that ends in `/` gets the file's name appended. */
  url: string | URL;
  /**
   * A path, bytes, a `Blob` or `File`, a stream, `{ stream, byteLength }`, which is sent while it is
   * read, or a source of your own.
   */
  source: SourceInput;
  /** The file's name when the source has none, or another one. @default the source's name */
  name?: string | undefined;
  /** Makes this an upload-reply job, and says where the reply goes. @default no reply */
  reply?: ReplyOption | undefined;
  /** Sent with every request: an object, a `Headers`, or pairs of name and value, as `fetch` takes. */
  headers?: HeadersInput | undefined;
  /**
   * Fixed fragment size, 5 KiB to 2 GiB; smaller only after an answer of 413, or when three fragments in a
   * row get no answer. @default learnt from the server's answers
   */
  fragmentBytes?: number | undefined;
  /** What may take how long. */
  timeouts?: TimeoutOptions | undefined;
  /** Limits the speed: options, or a `Bandwidth` that several jobs share. @default no limit */
  bandwidth?: BandwidthOptions | Bandwidth | undefined;
  /** How failures that may pass are retried. */
  retry?: RetryInput | undefined;
  /** How often an upload starts over from byte 0 because the server lost its session. @default 3 */
  maxRestarts?: number | undefined;
  /** `restart` for servers that append a fragment twice when it is sent twice. @default 'resend' */
  onUncertainFragment?: 'resend' | 'restart' | undefined;
  /** Other hosts that may get credentials: `web3.corp.example`, `*.corp.example`. @default none */
  trustedHosts?: readonly string[] | undefined;
  /** How to authenticate when the server asks. @default not at all */
  auth?: AuthOptions | undefined;
  /** Lets Basic and bearer tokens go over http to other machines than this one. @default false */
  allowInsecureAuth?: boolean | undefined;
  /** Certificates for https; `servername` counts for the URL's own host. */
  tls?: TlsOptions | undefined;
  /**
   * The proxy that requests go through; `false`: none.
   * @default `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY` of the environment
   */
  proxy?: ProxyOption | undefined;
  /** Hosts that are reached without a proxy, written as in `NO_PROXY`. @default `NO_PROXY` */
  noProxy?: string | undefined;
  /** Sent as `User-Agent`. @default `bits-upload/<version>` */
  userAgent?: string | undefined;
  /**
   * Sends `POST` with `X-HTTP-Method-Override: BITS_POST`, for front ends that block the verb; the
   * server must know the header. @default false
   */
  methodOverride?: boolean | undefined;
  /** Called before each request; may add headers, such as a correlation id. */
  onRequest?: RequestHook | undefined;
  /** Called with each answer. */
  onResponse?: ResponseHook | undefined;
  /** Aborting stops the upload at once; the server's session can be resumed. */
  signal?: AbortSignal | undefined;
  /**
   * Another way to send requests; the job does not close it.
   * @default undici, with the connection that the last completed job to the same server left
   */
  transport?: Transport | undefined;
  /**
   * Keeps a record of the job, so that another process can resume it. Only sources with an identity,
   * which are files, have a record. @default none
   */
  store?: JobStore | undefined;
  /**
   * Whether an unfinished job of the same file and URL in the store is resumed; `false` cancels that
   * one and frees its session. @default true
   */
  resume?: boolean | undefined;
  /** Most bytes that a stream may spool to the temp directory. @default 4294967296 */
  spoolMaxBytes?: number | undefined;
}

/** Milliseconds; `Infinity` where it is said. */
export interface TimeoutOptions {
  /** Longest time to connect, TLS and a proxy's tunnel included. @default 30000 */
  connectMs?: number | undefined;
  /** Longest time in which no byte of a request moves. @default 120000 ([MC-BUP] §3.1.2) */
  stallMs?: number | undefined;
  /** Longest wait for an answer after the last byte sent. @default 300000 ([MC-BUP] §3.1.2) */
  answerMs?: number | undefined;
  /** As `answerMs`, for the last fragment of an upload-reply job. @default 600000 */
  replyMs?: number | undefined;
  /**
   * Gives up when, this long after a failure, no byte was acknowledged and none of the reply
   * received; `Infinity`: never. @default 600000
   */
  noProgressMs?: number | undefined;
}

/** How often, and after which delays, a failure that may pass is retried. */
export interface RetryInput {
  /** Retries in a row without progress. @default Infinity: `timeouts.noProgressMs` is the limit */
  limit?: number | undefined;
  /** The first delay is at most this; each further one at most twice as long. @default 1000 */
  minDelayMs?: number | undefined;
  /** No delay is longer, except for a server's `Retry-After`. @default 60000 */
  maxDelayMs?: number | undefined;
  /** The longest `Retry-After` that is honoured. @default 300000 */
  maxRetryAfterMs?: number | undefined;
  /** Asked before each retry; `false` ends the job with the error. @default always true */
  shouldRetry?: ((decision: RetryDecision) => boolean | Promise<boolean>) | undefined;
}

/** What `retry.shouldRetry` and the `retry` event are told. */
export interface RetryDecision {
  /** 1 for the first retry since the last progress. */
  readonly attempt: number;
  /** How long the job waits before it, at most. */
  readonly delayMs: number;
  readonly error: BitsError;
}

type Whole<T> = { readonly [K in keyof T]-?: Exclude<T[K], undefined> };

export type RetryOptions = Whole<RetryInput>;
export type Timeouts = Whole<TimeoutOptions>;
