import { BitsProtocolError, BitsServerError, type ServerErrorDetails } from '../errors.js';
import { type AnswerRow, adviceOn, CONTEXT_SERVER_APPLICATION, findAnswer } from './answers.js';
import {
  ACK_PACKET_TYPE,
  BITS_UPLOAD_PROTOCOL,
  MAX_SESSION_ID_LENGTH,
  PACKET_TYPE_NAMES,
} from './constants.js';
import { parseOffset } from './content-range.js';
import { parseHostId } from './host-id.js';
import { formatHresult, hresultName, parseHex, parseHresult } from './hresult.js';
import type { Ack, AnswerHead, RequestPacket, WireHeaders } from './packets.js';
import type { Refusal, RefusalMeaning } from './refusal.js';
import { redactUrl } from './remote-url.js';
import { parseRetryAfterMs } from './retry-after.js';

/** The ack for a packet, or the refusal in its place. */
export type Decoded = { readonly ack: Ack } | { readonly refusal: Refusal };

/** What an answer is read with. */
export interface DecodeContext {
  /** The wall clock, for a `Retry-After` that gives a date. */
  readonly nowMs: number;
  /** What was asked for, for advice about its name and about redirects from http to https. */
  readonly url?: URL;
  /** The host of the upload's URL: another one that refuses is named, because only the server chose it. */
  readonly ownHost?: string;
}

/**
 * Reads the answer to a packet ([MC-BUP] §2.2.3 to §2.2.12).
 *
 * Whatever the server sends, the outcome is a value: nothing is thrown, and the target of a redirect is
 * the only header text in a message. An offset above the total is for the session to reject: the total
 * is not known here.
 */
export function decodeAnswer(
  packet: RequestPacket,
  answer: AnswerHead,
  context: DecodeContext,
): Decoded {
  const success = answer.status >= 200 && answer.status <= 299;
  if (!success) return decodeRefusal(packet, answer, context);
  // Error headers on a success are ignored: some servers send them with the ack for a Ping.
  if (field(answer.headers, 'bits-packet-type')?.toLowerCase() !== ACK_PACKET_TYPE.toLowerCase()) {
    return notBits(packet, answer.status);
  }
  return decodeAck(packet, answer);
}

function decodeAck(packet: RequestPacket, { status, headers }: AnswerHead): Decoded {
  if (packet.type === 'fragment') {
    return otherSession(packet, headers) ?? decodeFragmentAck(packet, headers);
  }
  if (receivedOffset(headers) !== undefined) {
    return misfit(packet, 'an offset, which belongs to a Fragment');
  }
  switch (packet.type) {
    case 'create-session':
      return decodeCreateAck(packet, status, headers);
    case 'ping':
      return { ack: { type: 'ping' } };
    case 'close-session':
    case 'cancel-session':
      return otherSession(packet, headers) ?? { ack: { type: packet.type } };
  }
}

// Printable ASCII: the id is sent back in a request header and must not be able to end that header.
const SESSION_ID = /^[\x20-\x7e]+$/;

function decodeCreateAck(packet: RequestPacket, status: number, headers: WireHeaders): Decoded {
  if (status !== 200 && status !== 201) {
    return violation(packet, `status ${status} instead of 200 or 201`);
  }
  const protocol = field(headers, 'bits-protocol');
  if (protocol !== undefined && !isSameId(protocol, BITS_UPLOAD_PROTOCOL)) {
    return violation(packet, 'a BITS-Protocol that this client did not offer');
  }
  const sessionId = field(headers, 'bits-session-id');
  if (sessionId === undefined) return misfit(packet, 'no BITS-Session-Id');
  if (sessionId.length > MAX_SESSION_ID_LENGTH || !SESSION_ID.test(sessionId)) {
    return violation(packet, 'a BITS-Session-Id that is too long or not legal in a header');
  }
  const hostIdText = field(headers, 'bits-host-id');
  if (hostIdText === undefined) return { ack: { type: 'create-session', sessionId } };
  const hostId = parseHostId(hostIdText);
  if (hostId === undefined) {
    return violation(packet, 'a BITS-Host-Id that is not a host name or address', 'BITSHostId');
  }
  const hostIdFallbackTimeoutMs = fallbackTimeoutMs(headers);
  return {
    ack: {
      type: 'create-session',
      sessionId,
      hostId,
      ...(hostIdFallbackTimeoutMs !== undefined && { hostIdFallbackTimeoutMs }),
    },
  };
}

// [MC-BUP] §3.1.2.3: this number of seconds, or more, means never.
const INFINITE_SECONDS = 0xffff_ffff;
// The longest delay of a JavaScript timer; a longer one would fire at once.
const MAX_TIMER_MS = 2 ** 31 - 1;

function fallbackTimeoutMs(headers: WireHeaders): number | undefined {
  const text = field(headers, 'bits-host-id-fallback-timeout');
  const seconds = text === undefined ? undefined : parseOffset(text);
  if (seconds === undefined || seconds === 0 || seconds >= INFINITE_SECONDS) return undefined;
  return Math.min(seconds * 1000, MAX_TIMER_MS);
}

function decodeFragmentAck(packet: RequestPacket, headers: WireHeaders): Decoded {
  const nextOffset = receivedOffset(headers);
  if (nextOffset === undefined) {
    return misfit(packet, 'no readable BITS-Received-Content-Range');
  }
  const replyUrl = field(headers, 'bits-reply-url');
  return { ack: { type: 'fragment', nextOffset, ...(replyUrl !== undefined && { replyUrl }) } };
}

function receivedOffset(headers: WireHeaders): number | undefined {
  const text =
    field(headers, 'bits-received-content-range') ??
    // One server's spelling.
    field(headers, 'bits-recieved-content-range');
  return text === undefined ? undefined : parseOffset(text);
}

// IIS sends the id only with the first ack, contrary to [MC-BUP] §2.2: only another id is wrong.
function otherSession(
  packet: Extract<RequestPacket, { sessionId: string }>,
  headers: WireHeaders,
): Decoded | undefined {
  const sessionId = field(headers, 'bits-session-id');
  if (sessionId === undefined || isSameId(sessionId, packet.sessionId)) return undefined;
  return misfit(packet, 'the BITS-Session-Id of another session');
}

/** Some servers send a GUID back in another case, or with braces. */
function isSameId(a: string, b: string): boolean {
  return a === b || (guidOf(a) !== undefined && guidOf(a) === guidOf(b));
}

function guidOf(id: string): string | undefined {
  return /^(\{?)([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?$/i.exec(id)?.[2]?.toLowerCase();
}

function decodeRefusal(
  packet: RequestPacket,
  { status, headers }: AnswerHead,
  context: DecodeContext,
): Decoded {
  const hresult =
    parseHresult(field(headers, 'bits-error-code') ?? '') ??
    parseHresult(field(headers, 'bits-error') ?? '');
  const errorContext = parseHex(field(headers, 'bits-error-context') ?? '');
  const retryAfterMs = parseRetryAfterMs(field(headers, 'retry-after'), context.nowMs);
  const location = field(headers, 'location');

  const traits = { packetType: packet.type, status, hresult, context: errorContext };
  const meaning = meaningOf(findAnswer(traits), location);
  const name = hresult === undefined ? undefined : hresultName(hresult);
  const details: ServerErrorDetails = {
    status,
    ...(hresult !== undefined && { hresult }),
    ...(name !== undefined && { hresultName: name }),
    ...(errorContext !== undefined && { context: errorContext }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  };
  const advice = httpsAdvice(status, location, context.url) ?? adviceOn(traits, context.url);
  const message = `${whatWasRefused(packet, details, location, context)}: ${advice}`;
  const error = new BitsServerError(message, details, {
    code: errorCodeOf(meaning),
    retryable: meaning === 'transient',
  });

  const nextOffset = meaning === 'out-of-step' ? receivedOffset(headers) : undefined;
  const replyUrl = meaning === 'out-of-step' ? field(headers, 'bits-reply-url') : undefined;
  return {
    refusal: {
      meaning,
      error,
      ...(ERROR_HEADERS.some((name) => headers[name] !== undefined) && { isFromBits: true }),
      ...(nextOffset !== undefined && { nextOffset }),
      ...(replyUrl !== undefined && { replyUrl }),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
      ...(meaning === 'redirect' && location !== undefined && { location }),
    },
  };
}

const ERROR_HEADERS = ['bits-error-code', 'bits-error', 'bits-error-context'];

function meaningOf(row: AnswerRow, location: string | undefined): RefusalMeaning {
  return row.meaning === 'redirect' && location === undefined ? 'fatal' : row.meaning;
}

function errorCodeOf(meaning: RefusalMeaning) {
  if (meaning === 'session-not-found') return 'BITS_ERR_SESSION_NOT_FOUND';
  return meaning === 'unauthorized' ? 'BITS_ERR_AUTH' : 'BITS_ERR_SERVER';
}

function whatWasRefused(
  packet: RequestPacket,
  { status, hresult, hresultName: name, context }: ServerErrorDetails,
  location: string | undefined,
  { url, ownHost }: DecodeContext,
): string {
  const by = ownHost === undefined || url?.host === ownHost ? '' : ` by ${url?.host}`;
  const what = [`HTTP status ${status}`];
  if (hresult !== undefined) {
    what.push(name === undefined ? formatHresult(hresult) : `${formatHresult(hresult)} ${name}`);
  }
  if (context === CONTEXT_SERVER_APPLICATION) what.push('from the server application');
  if (status >= 300 && status <= 399) what.push(`pointing to ${hostOf(location)}`);

  return `${PACKET_TYPE_NAMES[packet.type]} was refused${by} with ${what.join(', ')}`;
}

/** A redirect of the same URL from http to https is none of a login page. */
function httpsAdvice(
  status: number,
  location: string | undefined,
  url: URL | undefined,
): string | undefined {
  if (![301, 302, 303].includes(status) || url?.protocol !== 'http:') return undefined;
  const target = parsed(location, url);
  const isSame = target?.hostname === url.hostname && target.pathname === url.pathname;
  if (target?.protocol !== 'https:' || !isSame) return undefined;
  target.search = '';
  return `the server requires TLS: check the URL, and use ${redactUrl(target)}`;
}

// As URL writes it, a host is ASCII and holds nothing that could forge a line of a log.
function hostOf(location: string | undefined): string {
  if (location === undefined) return 'nowhere';
  // The base matters only for a location without scheme or host.
  const host = parsed(location, new URL('http://same.invalid/'))?.host ?? '';
  if (host === 'same.invalid') return 'the same host';
  return host === '' || host.length > 260 ? 'no host' : `host ${host}`;
}

function parsed(location: string | undefined, base: URL): URL | undefined {
  try {
    return new URL(location ?? '', base);
  } catch {
    return undefined;
  }
}

function notBits(packet: RequestPacket, status: number): Decoded {
  const error = new BitsProtocolError(
    `${PACKET_TYPE_NAMES[packet.type]} was answered with HTTP status ${status} but without ` +
      '"BITS-Packet-Type: Ack": no BITS server answers at this URL, or a captive portal or a proxy ' +
      'sent a page of its own; check the URL, the proxy, and that BITS uploads are enabled',
    { code: 'BITS_ERR_NOT_BITS' },
  );
  return { refusal: { meaning: 'not-bits', error } };
}

/** The ack may belong to another packet: the same packet over another connection tells. */
function misfit(packet: RequestPacket, got: string): Decoded {
  return { refusal: { meaning: 'misfit', error: badAck(packet, got) } };
}

function violation(packet: RequestPacket, got: string, setting?: string): Decoded {
  return { refusal: { meaning: 'fatal', error: badAck(packet, got, setting) } };
}

function badAck(packet: RequestPacket, got: string, setting?: string): BitsProtocolError {
  const check = setting === undefined ? '' : ` (its setting ${setting})`;
  return new BitsProtocolError(
    `The ack for ${PACKET_TYPE_NAMES[packet.type]} has ${got}: check the BITS server${check}, and ` +
      'whether a proxy changes headers or mixes up answers',
  );
}

/**
 * The value of a header, also of one that a front end sends twice. Two different values stay joined, so
 * that they are no value that BITS has.
 */
function field(headers: WireHeaders, name: string): string | undefined {
  const value = headers[name]?.trim() ?? '';
  if (value === '') return undefined;
  const half = (value.length - 2) / 2;
  const isTwice = value.startsWith(', ', half) && value.slice(0, half) === value.slice(half + 2);
  return isTwice ? value.slice(0, half) : value;
}
