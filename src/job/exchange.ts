import type { AbortSwitch } from '../common/abort-switch.js';
import { describeError } from '../common/error-like.js';
import { BitsError, isBitsError } from '../errors.js';
import { decodeAnswer } from '../protocol/decode.js';
import { encodeRequest } from '../protocol/encode.js';
import { isTrustedHost, withHost } from '../protocol/host-id.js';
import type { FragmentPacket, HostId, RequestPacket } from '../protocol/packets.js';
import type { Refusal } from '../protocol/refusal.js';
import type { Session, SessionEvent, Target } from '../session/session.js';
import { readRange } from '../source/range-reader.js';
import type { OpenSource } from '../source/source.js';
import { neverConnected } from '../transport/failure.js';
import type { WireBody } from '../transport/transport.js';
import { verifySource } from './guarded-source.js';
import type { ResolvedOptions } from './options.js';
import type { PacketSender } from './packet-sender.js';
import type { Redirects } from './redirects.js';

export interface ExchangeParts {
  readonly sender: PacketSender;
  readonly redirects: Redirects;
  readonly source: OpenSource;
  readonly remoteUrl: URL;
  readonly options: ResolvedOptions;
  /** Monotonic, for durations. */
  readonly now: () => number;
  /** Wall clock, for `Retry-After` dates. */
  readonly wallNow: () => number;
  /** A fragment is sent from its first byte, for the first time or once more. */
  readonly onBodyBegins: (session: Session, packet: FragmentPacket) => void;
  readonly onBodySent: (bytes: number) => void;
}

/**
 * Sends one packet and tells the session what came of it.
 * @throws BITS_ERR_ABORTED when `abortSwitch` is used; nothing else
 */
export async function exchange(
  session: Session,
  command: { readonly packet: RequestPacket; readonly target: Target },
  parts: ExchangeParts,
  abortSwitch: AbortSwitch,
): Promise<SessionEvent> {
  const { packet, target } = command;
  const body = packet.type === 'fragment' ? fragmentBody(parts.source, packet.range) : undefined;
  try {
    // The caller may have stopped the job while its record was being written.
    abortSwitch.throwIfAborted();
    let url = parts.redirects.current(targetUrl(session, target, parts));
    // Close is what makes the file visible, so it must still be the one that was read.
    if (packet.type === 'close-session') await verifySource(parts.source, abortSwitch);
    const { method, headers } = encodeRequest(packet);
    Object.assign(headers, parts.options.headers);
    for (let hops = 0; ; hops++) {
      if (packet.type === 'fragment') parts.onBodyBegins(session, packet);
      const sentMs = parts.now();
      const answer = await parts.sender.send(
        packet.type,
        { method, url, headers, ...(body && { body }) },
        {
          abortSwitch,
          stallTimeoutMs: parts.options.stallTimeoutMs,
          answerTimeoutMs: answerTimeoutMs(session, packet, parts.options),
          answerBody: 'discard',
          onBytesSent: parts.onBodySent,
        },
      );
      const decoded = decodeAnswer(packet, answer, { nowMs: parts.wallNow() });
      if ('ack' in decoded) {
        return { type: 'acked', ack: decoded.ack, elapsedMs: parts.now() - sentMs };
      }
      const { refusal } = decoded;
      if (refusal.meaning !== 'redirect' || refusal.location === undefined) {
        return { type: 'failed', refusal };
      }
      url = parts.redirects.next(url, answer.status, refusal.location, hops);
    }
  } catch (error) {
    abortSwitch.throwIfAborted();
    const known = unforeseen(error);
    if (known.code === 'BITS_ERR_SOURCE_CHANGED') return { type: 'sourceChanged', error: known };
    return { type: 'failed', refusal: refusalOf(known) };
  }
}

/** A failure without an answer, as the session sees it. */
export function refusalOf(error: BitsError): Refusal {
  const retryAfterMs = (error as { retryAfterMs?: unknown }).retryAfterMs;
  return {
    meaning: error.retryable ? 'transient' : 'fatal',
    error,
    ...(neverConnected(error) && { unsent: true }),
    ...(typeof retryAfterMs === 'number' && { retryAfterMs }),
  };
}

/**
 * The URL of the present server.
 * @throws BITS_ERR_UNTRUSTED_HOST when credentials would go to a host that nobody vouched for
 */
function targetUrl(session: Session, target: Target, parts: ExchangeParts): URL {
  const { hostId } = session;
  if (target === 'origin' || hostId === undefined) return parts.remoteUrl;
  const { hasCredentials, trustedHosts } = parts.options;
  if (hasCredentials && !isTrustedHost(hostId, parts.remoteUrl, trustedHosts)) {
    throw untrustedHost(hostId);
  }
  return withHost(parts.remoteUrl, hostId);
}

function untrustedHost(hostId: HostId): BitsError {
  return new BitsError(
    'BITS_ERR_UNTRUSTED_HOST',
    `the server moves this upload to ${hostId} (BITS-Host-Id), and this job has credentials that ` +
      'must not go to another host unasked. If that host is yours, name it in trustedHosts.',
  );
}

function answerTimeoutMs(
  session: Session,
  packet: RequestPacket,
  options: ResolvedOptions,
): number {
  const waitsForApplication =
    session.plan.reply !== 'none' &&
    packet.type === 'fragment' &&
    packet.range.end === packet.range.total;
  return waitsForApplication ? options.replyTimeoutMs : options.answerTimeoutMs;
}

function fragmentBody(source: OpenSource, { start, end }: FragmentPacket['range']): WireBody {
  return { byteLength: end - start, pieces: () => readRange(source, start, end) };
}

function unforeseen(cause: unknown): BitsError {
  if (isBitsError(cause)) return cause;
  return new BitsError('BITS_ERR_TRANSPORT', `the transport failed: ${describeError(cause)}`, {
    cause,
  });
}
