import { throwIfAborted } from '../common/abort.js';
import { describeError } from '../common/error-like.js';
import { BitsError, BitsTransportError, isBitsError } from '../errors.js';
import { encodeRequest } from '../protocol/encode.js';
import type { FragmentPacket, RequestPacket } from '../protocol/packets.js';
import type { Refusal } from '../protocol/refusal.js';
import type { Command, Session, SessionEvent, Target } from '../session/session.js';
import { readRange } from '../source/range-reader.js';
import { LostSourceError } from '../source/sized-stream.js';
import type { OpenSource } from '../source/source.js';
import { hadStaleConnection, neverConnected } from '../transport/failure.js';
import type { WireBody } from '../transport/transport.js';
import { verifySource } from './guarded-source.js';
import { notSent } from './retry.js';
import type { Wire } from './wire.js';

/** What packets of a run are sent with. */
export interface SendPacketOptions {
  readonly signal: AbortSignal;
  /** A fragment is sent from its first byte, for the first time or once more. */
  readonly onBodyBegins?: ((start: number) => void) | undefined;
  readonly onBodySent?: ((bytes: number) => void) | undefined;
}

type SendCommand = Extract<Command, { type: 'send' }>;

/**
 * Sends one packet, follows redirects, and tells what the session is to make of the answer.
 * @throws BITS_ERR_ABORTED when the signal aborts after the packet went out; nothing else
 */
export async function sendPacket(
  session: Session,
  { packet, target, newConnection }: SendCommand,
  wire: Wire,
  source: OpenSource,
  { signal, onBodyBegins, onBodySent }: SendPacketOptions,
): Promise<SessionEvent> {
  const { options, remoteUrl } = wire;
  const body =
    packet.type === 'fragment' ? fragmentBody(source, packet.range, onBodyBegins) : undefined;
  // The last fragment of an upload-reply is answered when the server's application is done.
  const runsApplication = session.plan.reply !== 'none' && isLastFragment(packet);
  let mayHaveArrived = false;
  try {
    // The caller may have stopped the job while its record was being written.
    throwIfAborted(signal);
    const first = wire.redirects.first(target === 'origin' ? undefined : session.hostId);
    // Close is what makes the file visible, so it must still be the one that was read.
    if (packet.type === 'close-session') await verifySource(source, signal);
    const { method, headers } = encodeRequest(packet);
    if (newConnection) wire.dropConnections();
    let elapsedMs = 0;
    const decoded = await wire.redirects.follow(packet, first, async (url) => {
      // A redirect says that the server did nothing.
      mayHaveArrived = false;
      const fields = { ...headers, ...wire.headersFor(url) };
      const request = await wire.prepare(
        packet.type,
        { method, url, headers: fields, body },
        signal,
      );
      mayHaveArrived = true;
      const sent = await wire.transmit(packet.type, request, {
        signal,
        answerBody: 'discard',
        answerTimeoutMs: runsApplication ? options.timeouts.replyMs : undefined,
        // How long an application or a Close takes tells nothing of the line.
        kind: runsApplication || packet.type === 'close-session' ? undefined : packet.type,
        onBytesSent: onBodySent,
      });
      elapsedMs = sent.elapsedMs;
      return sent.response;
    });
    return 'ack' in decoded
      ? { type: 'acked', ack: decoded.ack, elapsedMs }
      : { type: 'failed', refusal: decoded.refusal };
  } catch (error) {
    if (mayHaveArrived) throwIfAborted(signal);
    if (signal.aborted) return notSent(signal);
    const known = transportError(error);
    const isLost = known.code === 'BITS_ERR_SOURCE_CHANGED' || known instanceof LostSourceError;
    if (isLost) return { type: 'sourceChanged', error: known };
    const refusal = toldWhoSentUs(refusalOf(known), session, target, remoteUrl);
    return { type: 'failed', refusal: mayHaveArrived ? refusal : { ...refusal, unsent: true } };
  }
}

/** Nobody knows a host by itself that only BITS-Host-Id has named. */
function toldWhoSentUs(
  refusal: Refusal,
  { hostId }: Session,
  target: Target,
  remoteUrl: URL,
): Refusal {
  const { error, unsent } = refusal;
  if (target === 'origin' || unsent !== true || error.code !== 'BITS_ERR_TRANSPORT') return refusal;
  const { message, retryable } = error;
  const sender = `${remoteUrl.host} moves this upload to ${hostId} (BITS-Host-Id)`;
  return {
    ...refusal,
    error: new BitsTransportError(`${sender}: ${message}`, { cause: error, retryable }),
  };
}

/** A failure without an answer, as the session sees it. */
export function refusalOf(error: BitsError): Refusal {
  const { retryAfterMs } = error as { retryAfterMs?: unknown };
  return {
    meaning: error.retryable ? 'transient' : 'fatal',
    error,
    ...(neverConnected(error) && { unsent: true }),
    ...(hadStaleConnection(error) && { staleConnection: true }),
    ...(typeof retryAfterMs === 'number' && { retryAfterMs }),
  };
}

function isLastFragment(packet: RequestPacket): boolean {
  return packet.type === 'fragment' && packet.range.end === packet.range.total;
}

function fragmentBody(
  source: OpenSource,
  { start, end }: FragmentPacket['range'],
  onBegins: SendPacketOptions['onBodyBegins'],
): WireBody {
  return {
    byteLength: end - start,
    pieces: () => {
      onBegins?.(start);
      return readRange(source, start, end);
    },
  };
}

function transportError(cause: unknown): BitsError {
  if (isBitsError(cause)) return cause;
  return new BitsError('BITS_ERR_TRANSPORT', `The transport failed: ${describeError(cause)}`, {
    cause,
  });
}
