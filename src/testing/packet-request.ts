import type { IncomingHttpHeaders } from 'node:http';
import { PACKET_TYPE_NAMES } from '../protocol/constants.js';
import { parseContentRange } from '../protocol/content-range.js';
import type { ContentRange, PacketType } from '../protocol/packets.js';
import type { LogEntry } from './access-log.js';
import type { Exchange } from './http1.js';
import type { UrlPath } from './paths.js';

/** A packet of a client, read but not yet judged. */
export interface PacketRequest {
  readonly packet: PacketType;
  readonly exchange: Exchange;
  readonly entry: LogEntry;
  readonly headers: IncomingHttpHeaders;
  /** Undefined when the URL can name no file of this server. */
  readonly path: UrlPath | undefined;
  readonly sessionId: string | undefined;
  readonly range: ContentRange | undefined;
  /** How a fault wants the body to be read. */
  readonly reading: BodyReading;
}

export interface BodyReading {
  readonly bytesPerSecond?: number;
  /** The connection is reset when this many bytes are in. */
  readonly cutAfterBytes?: number;
}

/** What the server says to a packet; it has no body (§3.2.5). */
export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
}

export function readPacketType(value: string | undefined): PacketType | undefined {
  const wanted = value?.trim().toLowerCase();
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
