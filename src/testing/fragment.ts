import { setTimeout as delay } from 'node:timers/promises';
import { throwIfAborted, unlessAborted } from '../common/abort.js';
import { BG_E_TOO_LARGE, E_INVALIDARG } from '../protocol/hresult.js';
import { type Answer, ack, CONTEXT_APPLICATION, hresultOf, refuse } from './answer.js';
import { askForReply } from './application.js';
import type { FaultEffect } from './fault-effects.js';
import { headerOf, type PacketRequest } from './packet-request.js';
import type { ServerState } from './server-state.js';
import type { UploadSession } from './sessions.js';

// Large enough for few system calls, small enough to lose when a connection breaks.
const BATCH_BYTES = 512 * 1024;

/** Appends a Fragment to its session and acknowledges it ([MC-BUP] §3.2.5.2). */
export async function receiveFragment(
  request: PacketRequest,
  session: UploadSession,
  state: ServerState,
  effect: FaultEffect,
): Promise<Answer> {
  const { options, sessions } = state;
  const { range, exchange, path } = request;
  const length = exchange.contentLength;
  if (range === undefined || length !== range.end - range.start) return refuse(400, E_INVALIDARG);
  if (length > options.maxFragmentBytes) return refuse(413, hresultOf(413));
  if (path?.key !== session.path.key) return refuse(400, E_INVALIDARG);
  if (session.total !== undefined && session.total !== range.total) {
    return refuse(400, E_INVALIDARG);
  }
  if (range.total > options.maxUploadBytes) return refuse(500, BG_E_TOO_LARGE);
  session.total = range.total;
  session.contentName = headerOf(request.headers, 'content-name');

  // A client whose last ack was lost gets it again, reply URL included (§3.2.5.1.2).
  const completeAgain =
    options.reply !== undefined && session.complete && range.end === range.total;
  const inStep =
    range.start === session.committed ||
    (options.overlap === 'accept' && range.start < session.committed);
  // Whatever the server holds, the ack of such a one names the Fragment's own end.
  if (options.overlap === 'append') session.committed = range.start;
  else if (!inStep && !completeAgain) return outOfStep(session);

  await storeBody(request, session, session.committed - range.start, effect);
  const { loseBytes = 0 } = effect;
  if (loseBytes > 0) {
    session.committed = Math.max(0, session.committed - loseBytes);
    await session.sink.truncate(session.committed);
  }
  sessions.use(session.id);
  return acknowledge(request, session, state);
}

function outOfStep({ committed, storedReply }: UploadSession): Answer {
  const { status, headers } = refuse(416, E_INVALIDARG);
  return {
    status,
    headers: {
      ...headers,
      'BITS-Received-Content-Range': String(committed),
      ...(storedReply !== undefined && { 'BITS-Reply-URL': storedReply.url }),
    },
  };
}

async function acknowledge(
  request: PacketRequest,
  session: UploadSession,
  state: ServerState,
): Promise<Answer> {
  const headers = { 'BITS-Received-Content-Range': String(session.committed) };
  const { options } = state;
  if (!session.complete || options.reply === undefined) return ack(headers);
  if (options.replyAgain) session.reply = undefined;
  session.reply ??= askForReply(request, session, state);
  const { signal } = request.exchange.connection;
  try {
    const stored = await unlessAborted(session.reply, signal);
    return stored === undefined ? ack(headers) : ack({ ...headers, 'BITS-Reply-URL': stored.url });
  } catch {
    throwIfAborted(signal);
    session.reply = undefined;
    return refuse(500, hresultOf(500), CONTEXT_APPLICATION);
  }
}

/**
 * Appends a Fragment's body from `skip` on.
 *
 * What has arrived stays, even if the rest never comes.
 */
async function storeBody(
  { exchange, entry }: PacketRequest,
  session: UploadSession,
  skip: number,
  { bytesPerSecond, delivery, keepBytes = Infinity }: FaultEffect,
): Promise<void> {
  const { req, connection, contentLength = 0 } = exchange;
  const { signal } = connection;
  const cutInHalf = delivery === 'reset-halfway';
  const wanted = cutInHalf ? Math.floor(contentLength / 2) : contentLength;
  const writer = await session.sink.openWriter();
  let batch: Buffer[] = [];
  let batchBytes = 0;
  let position = 0;
  const flush = async () => {
    const chunks = batch;
    const bytes = batchBytes;
    batch = [];
    batchBytes = 0;
    if (bytes === 0) return;
    await writer.append(chunks);
    session.committed += bytes;
  };
  try {
    // Leaving this loop must not destroy the request: the answer to it is still to come.
    for await (const chunk of req.iterator({ destroyOnReturn: false })) {
      const piece: Buffer = chunk.subarray(0, wanted - position);
      const fresh = piece.subarray(Math.max(0, skip - position), Math.max(0, keepBytes - position));
      position += piece.length;
      entry.bodyBytes += piece.length;
      batch.push(fresh);
      batchBytes += fresh.length;
      if (cutInHalf && position === wanted) break;
      if (batchBytes >= BATCH_BYTES) await flush();
      if (bytesPerSecond !== undefined) {
        await delay((piece.length / bytesPerSecond) * 1000, undefined, { signal });
      }
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    try {
      await flush();
    } finally {
      await writer.close();
    }
  }
  if (position === contentLength) return;
  connection.reset();
  throwIfAborted(signal);
}
