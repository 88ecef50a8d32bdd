import { BitsArgumentError } from '../errors.js';
import { BITS_METHOD } from '../protocol/constants.js';
import type { WireRequest } from './transport.js';

/** A request that is safe to put on the wire: nothing in it can end a header line. */
export interface RequestHead {
  readonly method: string;
  readonly url: URL;
  /** What the caller gave, with `user-agent` and `content-length` where they belong. */
  readonly headers: Record<string, string>;
  readonly bodyBytes: number;
}

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// Bytes above 0x7F pass: a session id is echoed as it came.
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** These say how a message is framed, so that a second opinion about them is request smuggling. */
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

/** Names that have passed, in lower case: few occur, and each in every request. */
const passedNames = new Map<string, string>();
const MAX_PASSED_NAMES = 100;

/** @throws BITS_ERR_ARGUMENT for a name that cannot be sent, or is not the caller's to send. */
function lowerCaseName(name: string): string {
  const passed = passedNames.get(name);
  if (passed !== undefined) return passed;
  if (!TOKEN.test(name)) {
    throw new BitsArgumentError(`${JSON.stringify(name)} is no header name`);
  }
  const lowerCase = name.toLowerCase();
  if (OWNED_BY_TRANSPORT.has(lowerCase)) {
    throw new BitsArgumentError(`The header ${name} is set by the transport: leave it out`);
  }
  if (passedNames.size < MAX_PASSED_NAMES) passedNames.set(name, lowerCase);
  return lowerCase;
}

/** A value that may stand in a header line as it is, one byte a character. */
export function isHeaderValue(value: string): boolean {
  return HEADER_VALUE.test(value);
}

/**
 * Checks a request before a byte of it is sent.
 * @throws BITS_ERR_ARGUMENT for a URL, method, header or size that cannot be sent as it is.
 */
export function requestHead(request: WireRequest, userAgent: string): RequestHead {
  const { method, url, body } = request;
  const { protocol } = url;
  if (protocol !== 'http:' && protocol !== 'https:') {
    throw new BitsArgumentError(`Only http: and https: URLs can be used, not ${protocol}`);
  }
  if (!TOKEN.test(method)) throw new BitsArgumentError('The request method is no HTTP token');
  const bodyBytes = body?.byteLength ?? 0;
  if (!Number.isSafeInteger(bodyBytes) || bodyBytes < 0) {
    throw new BitsArgumentError(`${bodyBytes} is no body length`);
  }
  const headers: Record<string, string> = {};
  let hasUserAgent = false;
  for (const name of Object.keys(request.headers)) {
    const lowerCase = lowerCaseName(name);
    const value = request.headers[name] as string;
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
