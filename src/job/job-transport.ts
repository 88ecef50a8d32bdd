import { type PacketOptions, withSignal } from '../transport/packet-options.js';
import type { Transport, WireRequest, WireResponse } from '../transport/transport.js';

/** A transport as a job uses it. */
export interface JobTransport extends Pick<Transport, 'limitations' | 'maxBodyBytes'> {
  send(request: WireRequest, options: PacketOptions): Promise<WireResponse>;
}

/** Of a transport that is, or may be, a caller's own. */
export function jobTransport(transport: Transport): JobTransport {
  return {
    limitations: transport.limitations,
    ...(transport.maxBodyBytes !== undefined && { maxBodyBytes: transport.maxBodyBytes }),
    send: (request, options) => transport.send(request, withSignal(options)),
  };
}
