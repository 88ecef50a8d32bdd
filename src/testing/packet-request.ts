import type { IncomingHttpHeaders } from 'node:http';
import { trimBlanks } from '../common/header-fields.js';
import {
  BITS_UPLOAD_PROTOCOL,
  MAX_HEADER_VALUE_BYTES,
  PACKET_TYPE_NAMES,
} from '../protocol/constants.js';
import { parseContentRange } from '../protocol/content-range.js';
import type { ContentRange, PacketType } from '../protocol/packets.js';
import type { LogEntry } from './access-log.js';
import type { Exchange } from './http1-connection.js';
import type { UrlPath } from './paths.js';

/** A packet of a client, read but not yet judged. */
export interface PacketRequest {
  readonly packet: PacketType;
  readonly exchange: Exchange;
  readonly entry: LogEntry;
  readonly headers: IncomingHttpHeaders;
  /** Undefined when the URL cannot name a file of this server. */
  readonly path: UrlPath | undefined;
  readonly sessionId: string | undefined;
  readonly range: ContentRange | undefined;
}

export function readPacketType(value: string | undefined): PacketType | undefined {
  const wanted = trimBlanks(value ?? '').toLowerCase();
  return (Object.keys(PACKET_TYPE_NAMES) as PacketType[]).find(
    (type) => PACKET_TYPE_NAMES[type].toLowerCase() === wanted,
  );
}

export function readRange(value: string | undefined): ContentRange | undefined {
  const range = value === undefined ? undefined : parseContentRange(value);
  if (range?.total === undefined) return undefined;
  return { start: range.start, end: range.end, total: range.total };
}

export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

// Tickets of Negotiate and cookies are longer than what IIS allows BITS headers.
const LONG_HEADERS = new Set(['authorization', 'proxy-authorization', 'cookie']);

/** Names of headers over the length that IIS accepts ([MC-BUP] <2>). */
export function longHeaders({ headers }: PacketRequest): string[] {
  return Object.keys(headers).filter(
    (name) =>
      !LONG_HEADERS.has(name) && (headerOf(headers, name)?.length ?? 0) > MAX_HEADER_VALUE_BYTES,
  );
}

/** Whether a Create-Session offers a protocol that this server speaks. */
export function offersUploadProtocol({ headers }: PacketRequest): boolean {
  const offered = headerOf(headers, 'bits-supported-protocols') ?? '';
  return offered
    .toLowerCase()
    .split(/[\s,]+/)
    .includes(BITS_UPLOAD_PROTOCOL);
}
