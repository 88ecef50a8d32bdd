import { acceptOtherCopies } from './across-copies.js';

/** Codes that never change meaning between releases; match on these, not on messages. */
export type BitsErrorCode =
  | 'BITS_ERR_ARGUMENT'
  | 'BITS_ERR_STATE'
  | 'BITS_ERR_ABORTED'
  | 'BITS_ERR_TRANSPORT'
  | 'BITS_ERR_TLS'
  | 'BITS_ERR_PROXY'
  | 'BITS_ERR_TIMEOUT'
  | 'BITS_ERR_PROTOCOL'
  | 'BITS_ERR_NOT_BITS'
  | 'BITS_ERR_SERVER'
  | 'BITS_ERR_SESSION_NOT_FOUND'
  | 'BITS_ERR_AUTH'
  | 'BITS_ERR_UNTRUSTED_HOST'
  | 'BITS_ERR_NO_PROGRESS'
  | 'BITS_ERR_SOURCE'
  | 'BITS_ERR_SOURCE_CHANGED'
  | 'BITS_ERR_REPLY'
  | 'BITS_ERR_REPLY_TOO_LARGE'
  | 'BITS_ERR_STORE';

/** What a `BitsError` is made with. */
export interface BitsErrorOptions {
  /** Whether the same request may succeed when it is tried again later. */
  retryable?: boolean;
  /** The error that led to this one. */
  cause?: unknown;
}

/**
 * The base of every error that this package throws or rejects with. `instanceof` also knows the errors of
 * another copy of this package.
 *
 * Messages name what to check and hold neither a secret nor a response body.
 */
export class BitsError extends Error {
  override name = 'BitsError';
  readonly code: BitsErrorCode;
  readonly retryable: boolean;

  constructor(code: BitsErrorCode, message: string, options: BitsErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }

  /** A plain copy for logs and for a structured clone, which keep only the message of an `Error`. */
  toJSON(): BitsErrorJson {
    const { name, code, message, retryable } = this;
    return { name, code, message, retryable };
  }
}

/** What `BitsError.toJSON` gives: plain values only. */
export interface BitsErrorJson extends Partial<ServerErrorDetails> {
  readonly name: string;
  readonly code: BitsErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  /** Of a `BitsStoreError`. */
  readonly reason?: StoreErrorReason;
}

/** An option, path, URL or size that cannot work; thrown before anything is sent. */
export class BitsArgumentError extends BitsError {
  override name = 'BitsArgumentError';
  constructor(message: string, options: BitsErrorOptions = {}) {
    super('BITS_ERR_ARGUMENT', message, options);
  }
}

/** A call that the job's or the session's present state does not allow. */
export class BitsStateError extends BitsError {
  override name = 'BitsStateError';
  constructor(message: string) {
    super('BITS_ERR_STATE', message);
  }
}

/** The caller aborted, suspended or cancelled the job. */
export class BitsAbortError extends BitsError {
  // As the DOM and Node name an abort, so that code which looks at names knows it.
  override name = 'AbortError';
  constructor(message: string, options: BitsErrorOptions = {}) {
    super('BITS_ERR_ABORTED', message, options);
  }
}

/** No HTTP answer came: DNS, connection, TLS or socket failure, or the proxy's. */
export class BitsTransportError extends BitsError {
  override name = 'BitsTransportError';
  constructor(
    message: string,
    options: BitsErrorOptions & {
      code?: 'BITS_ERR_TRANSPORT' | 'BITS_ERR_TLS' | 'BITS_ERR_PROXY';
    } = {},
  ) {
    super(options.code ?? 'BITS_ERR_TRANSPORT', message, { retryable: true, ...options });
  }
}

/** The server took longer than a configured time. */
export class BitsTimeoutError extends BitsError {
  override name = 'BitsTimeoutError';
  constructor(message: string, options: BitsErrorOptions = {}) {
    super('BITS_ERR_TIMEOUT', message, { retryable: true, ...options });
  }
}

/** The answer breaks [MC-BUP] in a way that the upload cannot survive. */
export class BitsProtocolError extends BitsError {
  override name = 'BitsProtocolError';
  constructor(
    message: string,
    options: BitsErrorOptions & { code?: 'BITS_ERR_PROTOCOL' | 'BITS_ERR_NOT_BITS' } = {},
  ) {
    super(options.code ?? 'BITS_ERR_PROTOCOL', message, options);
  }
}

/** What an answer of the server says about a failure. */
export interface ServerErrorDetails {
  /** HTTP status of the answer. */
  status: number;
  /** `BITS-Error-Code` or `BITS-Error` as an unsigned 32-bit number. */
  hresult?: number;
  /** Name of {@link hresult}, such as `BG_E_SESSION_NOT_FOUND`. */
  hresultName?: string;
  /** `BITS-Error-Context`: 0x5 the server, 0x7 the server application. */
  context?: number;
  /** What the server asked for with `Retry-After`, in milliseconds. */
  retryAfterMs?: number;
}

/** The server refused a packet ([MC-BUP] §2.2.1.2). */
export class BitsServerError extends BitsError {
  override name = 'BitsServerError';
  readonly status: number;
  readonly hresult: number | undefined;
  readonly hresultName: string | undefined;
  readonly context: number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    details: ServerErrorDetails,
    options: BitsErrorOptions & {
      code?: 'BITS_ERR_SERVER' | 'BITS_ERR_SESSION_NOT_FOUND' | 'BITS_ERR_AUTH';
    } = {},
  ) {
    super(options.code ?? 'BITS_ERR_SERVER', message, options);
    this.status = details.status;
    this.hresult = details.hresult;
    this.hresultName = details.hresultName;
    this.context = details.context;
    this.retryAfterMs = details.retryAfterMs;
  }

  override toJSON(): BitsErrorJson {
    const { status, hresult, hresultName, context, retryAfterMs } = this;
    return {
      ...super.toJSON(),
      status,
      ...(hresult !== undefined && { hresult }),
      ...(hresultName !== undefined && { hresultName }),
      ...(context !== undefined && { context }),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    };
  }
}

/**
 * `damaged`: not a record, or one that contradicts itself. `unknown-version`: written by another
 * release. `foreign`: not a regular file, or a file or directory that another user owns or can write
 * to. `full`, `denied`: the disk, or its permissions. `unavailable`: anything else that keeps the
 * store from working.
 */
export type StoreErrorReason =
  | 'damaged'
  | 'unknown-version'
  | 'foreign'
  | 'full'
  | 'denied'
  | 'unavailable';

/** Job records could not be read or written. */
export class BitsStoreError extends BitsError {
  override name = 'BitsStoreError';
  readonly reason: StoreErrorReason;

  constructor(reason: StoreErrorReason, message: string, cause?: unknown) {
    super('BITS_ERR_STORE', message, { cause });
    this.reason = reason;
  }

  override toJSON(): BitsErrorJson {
    return { ...super.toJSON(), reason: this.reason };
  }
}

acceptOtherCopies({
  BitsError,
  BitsArgumentError,
  BitsStateError,
  BitsAbortError,
  BitsTransportError,
  BitsTimeoutError,
  BitsProtocolError,
  BitsServerError,
  BitsStoreError,
});

/** The class that a code belongs to, where there is just one. */
type ErrorOfCode<C extends BitsErrorCode> = C extends
  | 'BITS_ERR_SERVER'
  | 'BITS_ERR_SESSION_NOT_FOUND'
  ? BitsServerError
  : C extends 'BITS_ERR_STORE'
    ? BitsStoreError
    : BitsError & { readonly code: C };

/**
 * True for errors of this package, also when two copies of it are loaded.
 * @param code asks for this code too, and narrows the type by it
 */
export function isBitsError(value: unknown): value is BitsError;
export function isBitsError<C extends BitsErrorCode>(
  value: unknown,
  code: C,
): value is ErrorOfCode<C>;
export function isBitsError(value: unknown, code?: BitsErrorCode): boolean {
  return value instanceof BitsError && (code === undefined || value.code === code);
}
