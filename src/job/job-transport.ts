import type { AbortSwitch } from '../common/abort-switch.js';
import type { SendOptions, Transport, WireRequest, WireResponse } from '../transport/transport.js';

export interface PacketOptions extends SendOptions {
  /** In place of `signal`. */
  readonly abortSwitch?: AbortSwitch | undefined;
}

/** A transport as a job uses it. */
export interface JobTransport extends Pick<Transport, 'limitations' | 'maxBodyBytes'> {
  send(request: WireRequest, options: PacketOptions): Promise<WireResponse>;
}

export function jobTransport(
  transport: Pick<Transport, 'send' | 'limitations' | 'maxBodyBytes'>,
): JobTransport {
  return {
    limitations: transport.limitations,
    ...(transport.maxBodyBytes !== undefined && { maxBodyBytes: transport.maxBodyBytes }),
    send: (request, options) => transport.send(request, withSignal(options)),
  };
}

function withSignal({ abortSwitch, ...options }: PacketOptions): SendOptions {
  return abortSwitch === undefined ? options : { ...options, signal: abortSwitch.signal };
}
