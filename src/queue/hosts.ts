import { isDeepStrictEqual } from 'node:util';
import { headerValue } from '../common/header-fields.js';
import { BitsError, type BitsErrorCode } from '../errors.js';
import { checkHeaders } from '../job/check-headers.js';
import type { UploadState } from '../job/events.js';
import type { RetryDecision, UploadOptions } from '../job/options.js';
import { parseRemoteUrl } from '../protocol/remote-url.js';

/** Failures that the next upload to the same host will most likely meet, too. */
const UNREACHABLE: readonly BitsErrorCode[] = [
  'BITS_ERR_TRANSPORT',
  'BITS_ERR_TLS',
  'BITS_ERR_PROXY',
  'BITS_ERR_TIMEOUT',
  'BITS_ERR_NO_PROGRESS',
];

/** After two uploads in a row that did not reach a host, nothing more is sent there for a while. */
const MAX_UNREACHABLE = 2;

/** Then one upload finds out whether it can be reached again: a queue may live as long as an app. */
export const GIVEN_UP_MS = 60_000;

/** Refused credentials may be right by now, and an account that was locked open: as jobs have it. */
export const REFUSED_MS = 15 * 60_000;

/** A job in one of these has had no answer of the server yet. */
const UNANSWERED: ReadonlySet<UploadState> = new Set([
  'init',
  'create-session',
  'ping',
  'cancel-session',
  'suspended',
  'error',
  'failed',
  'cancelled',
]);

/** What is looked at of a failure. */
export interface HostFailure {
  readonly code: string;
  readonly retryable: boolean;
  readonly status?: number | undefined;
}

export interface HostsOptions {
  /** How long a host that has never answered is waited for. */
  readonly unreachableAfterMs: number;
  /** Milliseconds since some moment; for tests. */
  readonly now?: () => number;
}

/** Who an upload authenticates as, and where. */
interface Identity {
  readonly auth: unknown;
  readonly authorization: string | undefined;
}

/** Credentials that a host, or the proxy that an upload is given, has refused. */
interface Refused {
  readonly by: Host | UploadOptions['proxy'];
  readonly identity: Identity;
  readonly error: BitsError;
  readonly atMs: number;
}

/**
 * What many uploads have learnt about their hosts: one that refuses the credentials gets no more
 * requests, because they could lock the account; one that does not answer is not waited for once per
 * file. Either is forgotten after a while.
 *
 * So the first upload to a host goes alone, until the host has answered it.
 */
export class Hosts {
  readonly #patienceMs: number;
  readonly #now: () => number;
  readonly #hosts = new Map<string, Host>();
  readonly #refused: Refused[] = [];

  constructor({ unreachableAfterMs, now = () => performance.now() }: HostsOptions) {
    this.#patienceMs = unreachableAfterMs;
    this.#now = now;
  }

  /** An upload that is to come. */
  attempt(options: AttemptOptions): Attempt {
    const { host: name } = parseRemoteUrl(options.url);
    const host = this.#hosts.get(name) ?? new Host(name);
    this.#hosts.set(name, host);
    return new Attempt(host, options, this.#refused, this.#patienceMs, this.#now);
  }
}

/** One host, by name and port. */
class Host {
  readonly name: string;
  hasAnswered = false;
  /** The upload that is to find out whether the host answers. */
  first: Attempt | undefined;
  /** Uploads in a row that did not reach it. */
  unreachable = 0;
  givenUp: { readonly error: BitsError; readonly atMs: number } | undefined;

  constructor(name: string) {
    this.name = name;
  }
}

type AttemptOptions = Pick<UploadOptions, 'url' | 'auth' | 'headers' | 'proxy'>;

/** What one upload learns about its host. */
export class Attempt {
  readonly #host: Host;
  readonly #proxy: UploadOptions['proxy'];
  readonly #identity: Identity;
  /** Of all hosts and proxies. */
  readonly #refused: Refused[];
  readonly #patienceMs: number;
  readonly #now: () => number;
  #hasAnswered = false;
  /** When its first request was sent. */
  #startedAtMs: number | undefined;

  constructor(
    host: Host,
    options: AttemptOptions,
    refused: Refused[],
    patienceMs: number,
    now: () => number,
  ) {
    this.#host = host;
    this.#proxy = options.proxy;
    this.#identity = identityOf(options);
    this.#refused = refused;
    this.#patienceMs = patienceMs;
    this.#now = now;
  }

  /** Why nothing is sent to the host; undefined: try it. */
  get reasonToSkip(): BitsError | undefined {
    const refused = this.#refused.find(
      (one) =>
        (one.by === this.#host || one.by === this.#proxy) &&
        this.#ageMs(one) < REFUSED_MS &&
        isDeepStrictEqual(one.identity, this.#identity),
    );
    if (refused !== undefined) return refused.error;
    const { givenUp } = this.#host;
    return givenUp && this.#ageMs(givenUp) < GIVEN_UP_MS ? givenUp.error : undefined;
  }

  /** False while another upload finds out whether the host answers. */
  get mayBegin(): boolean {
    const { hasAnswered, first } = this.#host;
    return hasAnswered || first === undefined || first === this;
  }

  begins(): void {
    if (!this.#host.hasAnswered) this.#host.first = this;
  }

  /** The options of the upload with the patience that the host deserves. */
  watched<T extends Partial<UploadOptions>>(options: T): T & Pick<UploadOptions, 'retry'> {
    const { retry } = options;
    const own = retry?.shouldRetry;
    // What is wrong with them is told when the job is made.
    if (typeof (retry ?? {}) !== 'object' || typeof (own ?? Boolean) !== 'function') return options;
    const shouldRetry = (decision: RetryDecision) =>
      this.#shouldRetry(decision) && (own?.(decision) ?? true);
    return { ...options, retry: { ...retry, shouldRetry } };
  }

  entered(state: UploadState): void {
    if (!UNANSWERED.has(state)) this.answered();
    else if (state !== 'init') this.#startedAtMs ??= this.#now();
  }

  answered(): void {
    this.#hasAnswered = true;
    this.#host.hasAnswered = true;
    this.#host.first = undefined;
    this.#host.givenUp = undefined;
  }

  /** It has ended, or rests; `failure` is undefined unless it failed. */
  ended(failure?: HostFailure): void {
    const host = this.#host;
    if (host.first === this) host.first = undefined;
    if (failure?.status !== undefined && failure.code !== 'BITS_ERR_AUTH') this.answered();
    const unreachable = UNREACHABLE.find((code) => code === failure?.code);
    if (unreachable !== undefined) host.unreachable++;
    else if (this.#hasAnswered) host.unreachable = 0;
    this.#hasAnswered = false;
    this.#startedAtMs = undefined;
    if (failure?.code === 'BITS_ERR_AUTH') this.#refuse(failure);
    if (unreachable !== undefined && host.unreachable >= MAX_UNREACHABLE) {
      const why = `${host.name} did not respond to the uploads before`;
      host.givenUp = { error: notBegun(unreachable, failure, why), atMs: this.#now() };
      // So that the next upload goes alone.
      host.hasAnswered = false;
    }
  }

  #refuse(failure: HostFailure): void {
    const byProxy = failure.status === 407;
    const who = byProxy ? 'the proxy' : this.#host.name;
    const why = `${who} refuses the credentials, or requires some`;
    const error = notBegun('BITS_ERR_AUTH', failure, why);
    // In place of what counts no more.
    const current = this.#refused.filter((one) => this.#ageMs(one) < REFUSED_MS);
    const by = byProxy ? this.#proxy : this.#host;
    const refusal: Refused = { by, identity: this.#identity, error, atMs: this.#now() };
    this.#refused.splice(0, this.#refused.length, ...current, refusal);
  }

  #ageMs({ atMs }: { readonly atMs: number }): number {
    return this.#now() - atMs;
  }

  #shouldRetry({ delayMs, error }: RetryDecision): boolean {
    if ('status' in error && error.status !== undefined) this.answered();
    if (this.#hasAnswered) return true;
    if (this.#host.unreachable > 0) return false;
    if (this.#host.hasAnswered || this.#startedAtMs === undefined) return true;
    return this.#now() + delayMs - this.#startedAtMs <= this.#patienceMs;
  }
}

function identityOf({ auth, headers = {} }: Pick<UploadOptions, 'auth' | 'headers'>): Identity {
  return { auth, authorization: headerValue(checkHeaders(headers), 'authorization') };
}

function notBegun(code: BitsErrorCode, failure: HostFailure | undefined, why: string): BitsError {
  return new BitsError(code, `not begun: ${why}`, { retryable: failure?.retryable ?? false });
}
