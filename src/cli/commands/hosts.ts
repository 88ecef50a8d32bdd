import type { UploadOptions } from '../../index.js';
import type { Failure } from '../failure.js';

/** Failures that the next upload to the same host will most likely meet, too. */
const UNREACHABLE: ReadonlySet<string> = new Set([
  'BITS_ERR_TRANSPORT',
  'BITS_ERR_TLS',
  'BITS_ERR_PROXY',
  'BITS_ERR_TIMEOUT',
  'BITS_ERR_NO_PROGRESS',
]);

/** After two uploads in a row that did not reach a host, nothing more is sent there. */
const MAX_UNREACHABLE = 2;

/** The hosts of a command, by name and port. */
export class Hosts {
  readonly #connectTimeoutMs: number;
  readonly #hosts = new Map<string, Host>();
  /** Every upload uses the same proxy. */
  #proxyRefusal: Failure | undefined;

  /** @param connectTimeoutMs how long to wait for a host that has never answered */
  constructor(connectTimeoutMs: number) {
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  of(url: URL | string): Host {
    const { host: name } = new URL(url);
    const host = this.#hosts.get(name) ?? new Host(name, this.#connectTimeoutMs);
    this.#hosts.set(name, host);
    return host;
  }

  /** Why nothing is sent to a URL; undefined: try it. */
  reasonToSkip(url: URL | string): Failure | undefined {
    return this.#proxyRefusal ?? this.of(url).reasonToSkip;
  }

  /** @param failure undefined: it succeeded */
  ended(url: URL | string, failure: Failure | undefined): void {
    if (failure?.code === 'BITS_ERR_AUTH' && failure.status === 407) {
      const message = 'not attempted: the proxy refuses the credentials, or requires some';
      this.#proxyRefusal = { code: failure.code, message, retryable: false };
    } else {
      this.of(url).ended(failure);
    }
  }
}

/**
 * What a command has learnt about a host: one that refuses the credentials gets no more requests,
 * because they could lock the account; one that does not answer is not waited for once per file.
 */
export class Host {
  readonly #name: string;
  readonly #connectTimeoutMs: number;
  #hasAnswered = false;
  #hasAnsweredThisUpload = false;
  /** The time of the first request of this upload. */
  #startedAtMs: number | undefined;
  #unreachable = 0;
  #reasonToSkip: Failure | undefined;

  constructor(name: string, connectTimeoutMs: number) {
    this.#name = name;
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  get reasonToSkip(): Failure | undefined {
    return this.#reasonToSkip;
  }

  /** The options of an upload with the patience that the host deserves. */
  watched<T extends Partial<UploadOptions>>(
    options: T,
  ): T & Pick<UploadOptions, 'retry' | 'onRequest' | 'onResponse'> {
    return {
      ...options,
      retry: { ...options.retry, shouldRetry: ({ delayMs }) => this.#shouldRetry(delayMs) },
      onRequest: () => {
        this.#startedAtMs ??= performance.now();
      },
      onResponse: () => {
        this.#hasAnswered = true;
        this.#hasAnsweredThisUpload = true;
      },
    };
  }

  #shouldRetry(delayMs: number): boolean {
    if (this.#hasAnsweredThisUpload) return true;
    if (this.#unreachable > 0) return false;
    if (this.#hasAnswered || this.#startedAtMs === undefined) return true;
    return performance.now() + delayMs - this.#startedAtMs <= this.#connectTimeoutMs;
  }

  ended(failure: Failure | undefined): void {
    if (failure !== undefined && UNREACHABLE.has(failure.code)) this.#unreachable++;
    else if (this.#hasAnsweredThisUpload) this.#unreachable = 0;
    this.#hasAnsweredThisUpload = false;
    this.#startedAtMs = undefined;
    if (failure === undefined) return;
    const { code, retryable } = failure;
    if (code === 'BITS_ERR_AUTH') {
      const message = `not attempted: ${this.#name} refuses the credentials, or requires some`;
      this.#reasonToSkip = { code, message, retryable };
    } else if (this.#unreachable >= MAX_UNREACHABLE) {
      const message = `not begun: ${this.#name} did not respond to the uploads before`;
      this.#reasonToSkip = { code, message, retryable };
    }
  }
}
