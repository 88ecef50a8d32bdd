import { BitsArgumentError } from '../errors.js';
import { MAX_FRAGMENT_BYTES, MIN_FRAGMENT_BYTES } from '../protocol/constants.js';
import { parseRemoteUrl } from '../protocol/remote-url.js';
import type { ReplyOption } from '../reply/sink.js';
import type { ByteSource } from '../source/source.js';
import { type SourceInput, toByteSource } from '../source/to-source.js';
import type { JobStore } from '../store/store.js';
import { type AuthOptions, authMeans } from '../transport/auth/options.js';
import { proxyChoice } from '../transport/proxy/proxy-choice.js';
import type { ProxyOption } from '../transport/proxy/proxy-server.js';
import { resolveTls, type TlsOptions } from '../transport/tls-options.js';
import type { Transport } from '../transport/transport.js';
import type { RequestHook, ResponseHook } from './packet-hooks.js';
import type { RetryDecision } from './retry.js';

/** Every default of a job; the documentation's table is made from it. */
export const DEFAULTS = Object.freeze({
  stallTimeoutMs: 120_000,
  answerTimeoutMs: 300_000,
  replyTimeoutMs: 600_000,
  retries: Number.POSITIVE_INFINITY,
  minRetryDelayMs: 1_000,
  maxRetryDelayMs: 60_000,
  maxRetryAfterMs: 300_000,
  noProgressTimeoutMs: 600_000,
  maxRestarts: 3,
  onUncertainFragment: 'resend' as const,
  spoolMaxBytes: 4 * 1024 ** 3,
});

export interface UploadOptions {
  /** Where the file goes, http or https. One that ends in `/` gets the file's name appended. */
  url: string | URL;
  /** A path, bytes, a `Blob` or `File`, a stream, or a source of your own. */
  source: SourceInput;
  /** The file's name when the source has none, or another one. @default the source's name */
  name?: string | undefined;
  /**
   * Makes this an upload-reply job, and says where the reply goes; `optional` is memory, and
   * `replyOptional`. @default no reply
   */
  reply?: ReplyOption | 'optional' | undefined;
  /** Whether the upload also succeeds when the server announces no reply. @default false */
  replyOptional?: boolean | undefined;
  /** Whether the result tells the SHA-256 of the reply. @default false */
  replySha256?: boolean | undefined;
  /** Sent with every request. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** Fixed fragment size, 5 KiB to 2 GiB. @default learnt from the server's answers */
  fragmentBytes?: number | undefined;
  /** Longest time in which no byte of a request moves. @default 120000 ([MC-BUP] §3.1.2) */
  stallTimeoutMs?: number | undefined;
  /** Longest wait for an answer after the last byte sent. @default 300000 ([MC-BUP] §3.1.2) */
  answerTimeoutMs?: number | undefined;
  /** As `answerTimeoutMs`, for the last fragment of an upload-reply job. @default 600000 */
  replyTimeoutMs?: number | undefined;
  /** Retries in a row without progress. @default Infinity: `noProgressTimeoutMs` is the limit */
  retries?: number | undefined;
  /** The first back-off is at most this; each further one at most twice as long. @default 1000 */
  minRetryDelayMs?: number | undefined;
  /** No back-off is longer, but for a server's `Retry-After`. @default 60000 */
  maxRetryDelayMs?: number | undefined;
  /** The longest `Retry-After` that is honoured. @default 300000 */
  maxRetryAfterMs?: number | undefined;
  /**
   * Gives up so long after a failure when no byte was acknowledged, nor one of the reply received,
   * since. @default 600000
   */
  noProgressTimeoutMs?: number | undefined;
  /** Asked before each retry; `false` ends the job with the error. @default always true */
  shouldRetry?: ((decision: RetryDecision) => boolean | Promise<boolean>) | undefined;
  /** How often a session that the server lost is begun again from byte 0. @default 3 */
  maxRestarts?: number | undefined;
  /** `restart` for servers that append a fragment twice when it is sent twice. @default 'resend' */
  onUncertainFragment?: 'resend' | 'restart' | undefined;
  /** Other hosts that may get credentials: `web3.corp.example`, `*.corp.example`. @default none */
  trustedHosts?: readonly string[] | undefined;
  /** How to prove to the server who one is, when it asks. @default not at all */
  auth?: AuthOptions | undefined;
  /** Lets Basic and bearer tokens go over http to other machines than this one. @default false */
  allowInsecureAuth?: boolean | undefined;
  /** Certificates for https; `servername` counts for the URL's own host. */
  tls?: TlsOptions | undefined;
  /**
   * Where requests go through; `false`: nowhere.
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
  /** Aborting stops the wire at once; the server's session stays resumable. */
  signal?: AbortSignal | undefined;
  /**
   * Another way to send requests; it is not closed by the job.
   * @default undici, with the connection that the last job to the same server left
   */
  transport?: Transport | undefined;
  /**
   * Keeps a record of the job, so that another process can go on with it. Sources without an
   * identity, which are all but files, have no record. @default none
   */
  store?: JobStore | undefined;
  /**
   * Whether a job of the same file and URL in the store is gone on with; false gives that one up
   * and frees its session. @default true
   */
  resume?: boolean | undefined;
  /** Most bytes that a stream may spool to the temp directory. @default 4 GiB */
  spoolMaxBytes?: number | undefined;
}

export interface ResolvedOptions {
  readonly remoteUrl: URL;
  readonly source: ByteSource;
  readonly name: string | undefined;
  readonly reply: ReplyOption | undefined;
  readonly replyOptional: boolean;
  readonly replySha256: boolean;
  readonly headers: Readonly<Record<string, string>>;
  readonly hasCredentials: boolean;
  readonly fragmentBytes: number | undefined;
  readonly stallTimeoutMs: number;
  readonly answerTimeoutMs: number;
  readonly replyTimeoutMs: number;
  readonly retries: number;
  readonly minRetryDelayMs: number;
  readonly maxRetryDelayMs: number;
  readonly maxRetryAfterMs: number;
  readonly noProgressTimeoutMs: number;
  readonly shouldRetry: (decision: RetryDecision) => boolean | Promise<boolean>;
  readonly maxRestarts: number;
  readonly onUncertainFragment: 'resend' | 'restart';
  readonly trustedHosts: readonly string[];
  readonly auth: AuthOptions | undefined;
  readonly allowInsecureAuth: boolean;
  readonly tls: TlsOptions | undefined;
  readonly proxy: ProxyOption | undefined;
  readonly noProxy: string | undefined;
  readonly methodOverride: boolean;
  readonly onRequest: RequestHook | undefined;
  readonly onResponse: ResponseHook | undefined;
  readonly signal: AbortSignal | undefined;
  readonly transport: Transport | undefined;
  readonly store: JobStore | undefined;
  readonly resume: boolean;
}

/** Headers of the protocol and of the connection, which a caller would only break. */
const OWN_HEADERS = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'content-name',
  'content-range',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const CREDENTIAL_HEADERS = new Set(['authorization', 'cookie', 'proxy-authorization']);

/** True for headers that must not reach another host unasked. */
export function isCredentialHeader(name: string): boolean {
  return CREDENTIAL_HEADERS.has(name.toLowerCase());
}

const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze({});

/**
 * The one place where options get their defaults and are checked.
 * @throws BITS_ERR_ARGUMENT for an option that cannot work, before anything is sent
 */
export function resolveOptions(options: UploadOptions): ResolvedOptions {
  if (typeof options !== 'object' || options === null) {
    throw new BitsArgumentError('UploadJob takes an object of options, with url and source');
  }
  const given = options.headers === undefined ? NO_HEADERS : checkHeaders(options.headers);
  const headers = withUserAgent(given, options.userAgent);
  checkNetwork(options);
  return Object.freeze({
    remoteUrl: parseRemoteUrl(options.url),
    name: options.name,
    reply: options.reply === 'optional' ? true : options.reply,
    replyOptional: options.reply === 'optional' || (options.replyOptional ?? false),
    replySha256: options.replySha256 ?? false,
    headers,
    hasCredentials:
      options.auth !== undefined ||
      Object.keys(headers).some(isCredentialHeader) ||
      options.tls?.cert !== undefined ||
      options.tls?.pfx !== undefined,
    fragmentBytes: checkFragmentBytes(options.fragmentBytes),
    stallTimeoutMs: duration('stallTimeoutMs', options.stallTimeoutMs),
    answerTimeoutMs: duration('answerTimeoutMs', options.answerTimeoutMs),
    replyTimeoutMs: duration('replyTimeoutMs', options.replyTimeoutMs),
    retries:
      options.retries === Number.POSITIVE_INFINITY
        ? options.retries
        : wholeNumber('retries', options.retries, DEFAULTS.retries),
    minRetryDelayMs: duration('minRetryDelayMs', options.minRetryDelayMs, 0),
    maxRetryDelayMs: duration('maxRetryDelayMs', options.maxRetryDelayMs, 0),
    maxRetryAfterMs: duration('maxRetryAfterMs', options.maxRetryAfterMs, 0),
    noProgressTimeoutMs:
      options.noProgressTimeoutMs === Number.POSITIVE_INFINITY
        ? options.noProgressTimeoutMs
        : duration('noProgressTimeoutMs', options.noProgressTimeoutMs),
    shouldRetry: options.shouldRetry ?? (() => true),
    maxRestarts: wholeNumber('maxRestarts', options.maxRestarts, DEFAULTS.maxRestarts),
    onUncertainFragment: checkUncertain(options.onUncertainFragment),
    trustedHosts: Object.freeze([...(options.trustedHosts ?? [])]),
    auth: checkAuth(options.auth),
    allowInsecureAuth: options.allowInsecureAuth ?? false,
    tls: options.tls,
    proxy: options.proxy,
    noProxy: options.noProxy,
    methodOverride: options.methodOverride ?? false,
    onRequest: checkHook('onRequest', options.onRequest),
    onResponse: checkHook('onResponse', options.onResponse),
    signal: options.signal,
    transport: options.transport,
    store: options.store,
    resume: options.resume ?? true,
    // Last: a stream belongs to the source from here on.
    source: toByteSource(options.source, {
      name: checkName(options.name),
      spool: {
        maxBytes: wholeNumber('spoolMaxBytes', options.spoolMaxBytes, DEFAULTS.spoolMaxBytes),
        limitName: 'spoolMaxBytes',
      },
    }),
  });
}

type DurationName = {
  [K in keyof typeof DEFAULTS]: K extends `${string}Ms` ? K : never;
}[keyof typeof DEFAULTS];

/** Timers of Node cannot be longer; a longer one would fire at once. */
const MAX_DURATION_MS = 2 ** 31 - 1;

function duration(name: DurationName, value: number | undefined, least = 1): number {
  if (value === undefined) return DEFAULTS[name];
  if (typeof value !== 'number' || !(value >= least) || value > MAX_DURATION_MS) {
    throw new BitsArgumentError(
      `${name} must be a number of milliseconds from ${least} to ${MAX_DURATION_MS}`,
    );
  }
  return value;
}

function wholeNumber(name: string, value: number | undefined, fallback: number): number {
  if (value === undefined) return fallback;
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new BitsArgumentError(`${name} must be a whole number, 0 or more`);
  }
  return value;
}

function checkFragmentBytes(value: number | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!Number.isSafeInteger(value) || value < MIN_FRAGMENT_BYTES || value > MAX_FRAGMENT_BYTES) {
    throw new BitsArgumentError(
      `fragmentBytes must be a whole number from ${MIN_FRAGMENT_BYTES} (5 KiB) to ` +
        `${MAX_FRAGMENT_BYTES} (2 GiB)`,
    );
  }
  return value;
}

function checkName(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  if (typeof name !== 'string' || name === '') {
    throw new BitsArgumentError('name must be a file name, not empty');
  }
  if (/[\x00-\x1f\x7f]/.test(name)) {
    throw new BitsArgumentError('name must not have control characters');
  }
  return name;
}

function checkUncertain(value: UploadOptions['onUncertainFragment']): 'resend' | 'restart' {
  if (value === undefined) return DEFAULTS.onUncertainFragment;
  if (value !== 'resend' && value !== 'restart') {
    throw new BitsArgumentError("onUncertainFragment must be 'resend' or 'restart'");
  }
  return value;
}

function checkAuth(auth: AuthOptions | undefined): AuthOptions | undefined {
  // Made for its complaints: what is wrong shall be told before anything is sent.
  if (auth !== undefined) authMeans(auth);
  return auth;
}

/** Made for its complaints: what is wrong shall be told before anything is sent. */
function checkNetwork({ tls, proxy, noProxy, transport }: UploadOptions): void {
  if (tls !== undefined) resolveTls(tls);
  if (noProxy !== undefined && typeof noProxy !== 'string') {
    throw new BitsArgumentError('noProxy must be a text as NO_PROXY holds it');
  }
  if (transport === undefined) {
    // That of the environment is looked at when the transport is made.
    if (proxy !== undefined) proxyChoice(proxy, noProxy);
  } else if (proxy !== undefined && proxy !== false) {
    throw new BitsArgumentError('proxy is for the default transport: give it to your own instead');
  }
}

function checkHook<T>(name: string, hook: T | undefined): T | undefined {
  if (hook !== undefined && typeof hook !== 'function') {
    throw new BitsArgumentError(`${name} must be a function`);
  }
  return hook;
}

function withUserAgent(
  headers: Readonly<Record<string, string>>,
  userAgent: string | undefined,
): Readonly<Record<string, string>> {
  if (userAgent === undefined) return headers;
  if (Object.keys(headers).some((name) => name.toLowerCase() === 'user-agent')) {
    throw new BitsArgumentError('give userAgent or a User-Agent header, not both');
  }
  return checkHeaders({ ...headers, 'User-Agent': userAgent });
}

/** @throws BITS_ERR_ARGUMENT for a header that cannot, or must not, be sent */
export function checkHeaders(
  headers: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  for (const [name, value] of Object.entries(headers)) {
    if (!HEADER_NAME.test(name)) {
      throw new BitsArgumentError(`${JSON.stringify(name)} is not a legal header name`);
    }
    if (typeof value !== 'string' || !HEADER_VALUE.test(value)) {
      // The value may be a secret, so it is not shown.
      throw new BitsArgumentError(
        `the value of header ${name} has control or non-Latin-1 characters`,
      );
    }
    const lowerCase = name.toLowerCase();
    if (OWN_HEADERS.has(lowerCase) || lowerCase.startsWith('bits-')) {
      throw new BitsArgumentError(`header ${name} belongs to the protocol and cannot be set`);
    }
  }
  return Object.freeze({ ...headers });
}
