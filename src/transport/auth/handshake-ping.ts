import { encodeRequest } from '../../protocol/encode.js';
import type { SendOptions, WireRequest } from '../transport.js';

// Those of the packet itself; the caller's own headers go with the Ping, too.
const PACKET_HEADER = /^(?:accept|bits-.*|content-.*|if-.*|range)$/i;

/** A Ping to where the request goes, with what the caller adds to each. */
export function pingFor({ method, url, headers }: WireRequest): WireRequest {
  const own = Object.entries(headers).filter(([name]) => !PACKET_HEADER.test(name));
  return {
    method,
    url,
    headers: { ...encodeRequest({ type: 'ping' }).headers, ...Object.fromEntries(own) },
  };
}

export function pingOptions({ signal, stallTimeoutMs, answerTimeoutMs }: SendOptions): SendOptions {
  return { signal, stallTimeoutMs, answerTimeoutMs, answerBody: 'discard' };
}
