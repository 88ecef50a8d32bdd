import { isBitsError } from '../errors.js';
import { PACKET_TYPE_NAMES } from '../protocol/constants.js';
import { neverConnected } from '../transport/failure.js';
import type { Transport, WireRequest } from '../transport/transport.js';

const REPEATABLE: ReadonlySet<string | undefined> = new Set([
  PACKET_TYPE_NAMES['create-session'],
  PACKET_TYPE_NAMES.ping,
]);

/**
 * Sends once more what is lost with a connection that an earlier job left.
 *
 * A server may close an idle connection at the very moment when a request is on its way to it. That
 * is no failure of the server: with a connection of its own the job would not have met it, so it
 * costs none of the retries. It concerns the first request to each host, and none that could do harm
 * if the server had seen it after all.
 */
export function overUsedConnections(
  transport: Pick<Transport, 'send' | 'limitations' | 'close'>,
): Transport {
  const reached = new Set<string>();
  let latest: URL | undefined;
  return {
    limitations: transport.limitations,
    close: () => transport.close(),
    send: (request, options) => {
      const { url } = request;
      const sent = transport.send(request, options);
      if (url === latest || reached.has(url.origin)) return sent;
      latest = url;
      reached.add(url.origin);
      if (!isRepeatable(request)) return sent;
      return sent.catch((error) => {
        if (!brokeOff(error)) throw error;
        return transport.send(request, options);
      });
    },
  };
}

function isRepeatable({ method, headers }: WireRequest): boolean {
  return method === 'GET' || REPEATABLE.has(headers['BITS-Packet-Type']);
}

/** True for a connection that was there and ended before the answer. */
function brokeOff(error: unknown): boolean {
  if (!isBitsError(error) || neverConnected(error)) return false;
  return error.code === 'BITS_ERR_TRANSPORT' && error.retryable;
}
