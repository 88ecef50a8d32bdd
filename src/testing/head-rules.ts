import {
  BITS_UPLOAD_PROTOCOL,
  MAX_CONTENT_NAME_LENGTH,
  PACKET_TYPE_NAMES,
} from '../protocol/constants.js';
import { headerOf, longHeaders, type PacketRequest } from './packet-request.js';
import type { ViolationCode } from './violations.js';

const FORBIDDEN_IN_NAMES = /[\\/:*?"<>|]/;
const PRINTABLE = /^[\x20-\x7e]*$/;

/** Judges the head of a packet by itself, whatever came before ([MC-BUP] §2.2). */
export function* headViolations(
  request: PacketRequest,
): Generator<readonly [code: ViolationCode, message: string]> {
  const { packet, exchange, headers, sessionId } = request;
  const name = PACKET_TYPE_NAMES[packet];

  if (exchange.req.httpVersionMinor === 0) yield ['http-version', 'The request uses HTTP/1.0'];
  if (exchange.contentLength === undefined) {
    yield ['content-length', `${name} has no Content-Length`];
  }
  for (const header of longHeaders(request)) {
    yield ['header-too-long', `${header} is longer than 4 KiB`];
  }
  if (packet !== 'fragment' && (exchange.contentLength ?? 0) > 0) {
    yield ['body-on-control-packet', `${name} has a body of ${exchange.contentLength} bytes`];
  }
  if (packet === 'create-session' || packet === 'ping') {
    if (sessionId !== undefined) yield ['session-id', `${name} has a BITS-Session-Id`];
  } else if (sessionId === undefined || sessionId === '') {
    yield ['session-id', `${name} has no BITS-Session-Id`];
  }
  if (packet === 'create-session') {
    const offered = headerOf(headers, 'bits-supported-protocols');
    if (offered !== BITS_UPLOAD_PROTOCOL) {
      yield ['protocol-id', `BITS-Supported-Protocols is not exactly ${BITS_UPLOAD_PROTOCOL}`];
    }
  }
  if (packet === 'fragment') yield* fragmentViolations(request);
}

function* fragmentViolations({
  headers,
  range,
  exchange,
}: PacketRequest): Generator<readonly [code: ViolationCode, message: string]> {
  if (range === undefined) {
    yield ['content-range', 'Content-Range is missing, malformed or has no total'];
  } else if (
    exchange.contentLength !== undefined &&
    range.end - range.start !== exchange.contentLength
  ) {
    yield ['content-range', 'Content-Range and Content-Length do not agree'];
  }
  const contentName = headerOf(headers, 'content-name');
  if (
    contentName === undefined ||
    contentName === '' ||
    contentName.length > MAX_CONTENT_NAME_LENGTH ||
    !PRINTABLE.test(contentName) ||
    FORBIDDEN_IN_NAMES.test(contentName)
  ) {
    yield ['content-name', 'Content-Name is missing, too long or has forbidden characters'];
  }
}
