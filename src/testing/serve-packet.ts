import { setTimeout as delay } from 'node:timers/promises';
import { throwIfAborted } from '../common/abort.js';
import { type Answer, changeHeaders } from './answer.js';
import { effectOf, type FaultEffect } from './fault-effects.js';
import type { PacketRequest } from './packet-request.js';
import { answerPacket } from './packets.js';
import type { Responder } from './responder.js';
import type { ServerState } from './server-state.js';

/** Handles one BITS packet: the referee judges it, the server or a fault answers it. */
export async function servePacket(
  request: PacketRequest,
  responder: Responder,
  state: ServerState,
): Promise<void> {
  const { referee } = state;
  const fault = state.faults.take(request.packet);
  request.entry.fault = fault;
  try {
    await referee.arrived(request);
    await answerWith(effectOf(fault?.do), request, responder, state);
  } catch (error) {
    if (!request.exchange.connection.signal.aborted) throw error;
    referee.answered(request, undefined, 'unsent');
  } finally {
    referee.finished(request);
  }
}

async function answerWith(
  effect: FaultEffect,
  request: PacketRequest,
  responder: Responder,
  state: ServerState,
): Promise<void> {
  const { referee } = state;
  const { connection } = request.exchange;
  if (effect.delivery === 'reset-at-once') {
    connection.reset();
    throwIfAborted(connection.signal);
  }
  if (effect.forgetsSession === true) await forgetSession(request, state);

  const own = effect.commits === false ? undefined : await ownAnswer(effect, request, state);
  if (effect.delayMs !== undefined) {
    await delay(effect.delayMs, undefined, { signal: connection.signal });
  }
  const answer = effect.answer ?? own;
  switch (effect.delivery) {
    case 'reset-halfway':
    case 'reset':
      await responder.drain();
      referee.answered(request, own, 'unsent');
      if (own !== undefined && effect.delivery === 'reset-halfway') {
        await responder.sendHalfAHead(own);
      }
      connection.reset();
      return;
    case 'hang':
      referee.answered(request, own, 'unsent');
      return responder.hang();
  }
  if (answer === undefined) return;
  if (effect.delivery === 'endless') {
    await responder.drain();
    referee.answered(request, own, 'unsent');
    return responder.sendEndless(answer, effect.answer?.body);
  }
  // Of a request that took effect, the client learns nothing from an answer that replaces the true one.
  const isTrue = own === undefined || answer === own;
  await responder.send(answer, effect.answer?.body, () =>
    referee.answered(request, own ?? answer, isTrue ? 'sent' : 'unsent'),
  );
  if (isTrue && !responder.isSent) referee.answered(request, answer, 'lost');
}

async function ownAnswer(
  { bytesPerSecond, delivery, headers = {} }: FaultEffect,
  request: PacketRequest,
  state: ServerState,
): Promise<Answer> {
  const cutInHalf = delivery === 'reset-halfway' && (request.exchange.contentLength ?? 0) > 0;
  const { status, ...answer } = await answerPacket(request, state, { bytesPerSecond, cutInHalf });
  return { status, headers: changeHeaders(answer.headers, headers) };
}

async function forgetSession({ sessionId }: PacketRequest, { sessions }: ServerState) {
  const session = sessions.use(sessionId);
  await session?.exclusively(() => sessions.end(session));
}
