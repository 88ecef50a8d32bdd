import { BITS_METHOD, BITS_UPLOAD_PROTOCOL, PACKET_TYPE_NAMES } from './constants.js';
import { encodeContentName } from './content-name.js';
import { formatContentRange } from './content-range.js';
import type { RequestPacket } from './packets.js';

/** A request packet as HTTP; `Host`, `Content-Length`, `Connection` and `User-Agent` are added later. */
export interface EncodedRequest {
  readonly method: string;
  /** In the order in which Windows sends them. */
  readonly headers: Record<string, string>;
}

/**
 * Writes a packet as an HTTP request ([MC-BUP] §2.2.1.1, §2.2.2 to §2.2.11).
 *
 * @throws RangeError for a Fragment without a byte.
 */
export function encodeRequest(packet: RequestPacket): EncodedRequest {
  const headers: Record<string, string> = {
    Accept: '*/*',
    'BITS-Packet-Type': PACKET_TYPE_NAMES[packet.type],
  };
  switch (packet.type) {
    case 'create-session':
      headers['BITS-Supported-Protocols'] = BITS_UPLOAD_PROTOCOL;
      break;
    case 'ping':
      break;
    case 'fragment':
      headers['BITS-Session-Id'] = packet.sessionId;
      headers['Content-Name'] = encodeContentName(packet.contentName);
      headers['Content-Range'] = formatContentRange(packet.range);
      break;
    case 'close-session':
    case 'cancel-session':
      headers['BITS-Session-Id'] = packet.sessionId;
      break;
  }
  return { method: BITS_METHOD, headers };
}
