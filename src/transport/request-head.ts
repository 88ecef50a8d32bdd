import { isHeaderValue, isToken } from '../common/header-fields.js';
import { BitsArgumentError } from '../errors.js';
import { BITS_METHOD } from '../protocol/constants.js';
import { VERSION } from '../version.js';
import type { WireRequest } from './transport.js';

/** A request that is safe to put on the wire: nothing in it can end a header line. */
export interface RequestHead {
  readonly method: string;
  readonly url: URL;
  /** What the caller gave, with `User-Agent` and `Content-Length` where they belong. */
  readonly headers: Record<string, string>;
  readonly bodyBytes: number;
}

/** They frame the message: a second opinion about that is request smuggling. */
const OWNED_BY_TRANSPORT: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Methods whose request carries `Content-Length: 0` when it has no body ([MC-BUP] §2.2.1.1). */
const ALWAYS_HAS_LENGTH: ReadonlySet<string> = new Set([BITS_METHOD, 'POST', 'PUT', 'PATCH']);

/**
 * What a transport sends as `User-Agent`.
 * @throws BITS_ERR_ARGUMENT
 */
export function userAgentOf(given: string | undefined): string {
  if (given === undefined) return `bits-upload/${VERSION}`;
  if (typeof given === 'string' && isHeaderValue(given)) return given;
  throw new BitsArgumentError('userAgent holds a character that a header cannot carry');
}

/**
 * Checks a request before a byte of it is sent.
 * @throws BITS_ERR_ARGUMENT for a URL, method, header or size that cannot be sent as it is
 */
export function requestHead(request: WireRequest, userAgent: string): RequestHead {
  const { method, url, body } = request;
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw new BitsArgumentError(`Only http: and https: URLs can be used, not ${url.protocol}`);
  }
  if (!isToken(method)) throw new BitsArgumentError('The request method is not an HTTP token');
  const bodyBytes = body?.byteLength ?? 0;
  if (!Number.isSafeInteger(bodyBytes) || bodyBytes < 0) {
    throw new BitsArgumentError(`${bodyBytes} is not a body length`);
  }
  const headers: Record<string, string> = {};
  let hasUserAgent = false;
  for (const [name, value] of Object.entries(request.headers)) {
    if (!isToken(name)) {
      throw new BitsArgumentError(`${JSON.stringify(name)} is not a header name`);
    }
    const lowerCase = name.toLowerCase();
    if (OWNED_BY_TRANSPORT.has(lowerCase)) {
      throw new BitsArgumentError(`The header ${name} is set by the transport: leave it out`);
    }
    if (!isHeaderValue(value)) {
      throw new BitsArgumentError(
        `The value of the header ${name} holds a control character or one above U+00FF: encode it`,
      );
    }
    hasUserAgent ||= lowerCase === 'user-agent';
    headers[name] = value;
  }
  if (!hasUserAgent) headers['User-Agent'] = userAgent;
  if (bodyBytes > 0 || ALWAYS_HAS_LENGTH.has(method)) headers['Content-Length'] = String(bodyBytes);
  return { method, url, headers, bodyBytes };
}
