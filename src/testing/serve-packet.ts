import { setTimeout as delay } from 'node:timers/promises';
import { throwIfAborted } from '../common/abort.js';
import { type Answer, changeHeaders } from './answer.js';
import { effectOf, type FaultEffect } from './fault-effects.js';
import type { Http1Connection } from './http1-connection.js';
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
    referee.answered(request, undefined, 'unsent');
    await answerWith(effectOf(fault?.do), request, responder, state);
  } catch (error) {
    if (!request.exchange.connection.signal.aborted) throw error;
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
  const own = effect.commits === false ? undefined : await ownAnswer(effect, request, state);
  if (own !== undefined) referee.answered(request, own, 'unsent');
  if (effect.forgetsSession === true) await forgetSession(request, state);
  if (effect.delayMs !== undefined) {
    await delay(effect.delayMs, undefined, { signal: connection.signal });
  }
  const answer = effect.answer ?? own;
  if (effect.interimAnswers !== undefined) {
    await responder.sendInterim(effect.interimAnswers);
    throwIfAborted(connection.signal);
  }
  switch (effect.delivery) {
    case 'reset-halfway':
    case 'reset':
      await responder.drain();
      if (own !== undefined && effect.delivery === 'reset-halfway') {
        await responder.sendHalfAHead(own);
      }
      connection.reset();
      return;
    case 'hang':
      return responder.hang();
  }
  if (answer === undefined) return;
  if (effect.delivery === 'endless') {
    await responder.drain();
    return responder.sendEndless(answer, effect.answer?.body);
  }
  // From an answer that replaces the true one, the client does not learn what took effect.
  const isTrue = own === undefined || answer === own;
  await responder.send(answer, {
    body: effect.answer?.body,
    copies: effect.isSentTwice === true ? 2 : 1,
    beforeEnd: () => isTrue && referee.answered(request, answer, 'sent'),
  });
  endLater(effect, connection);
  if (isTrue && !responder.isSent) referee.answered(request, answer, 'lost');
}

async function ownAnswer(
  effect: FaultEffect,
  request: PacketRequest,
  state: ServerState,
): Promise<Answer> {
  const { headers = {}, sessionIdAs } = effect;
  const { status, ...answer } = await answerPacket(request, state, effect);
  const id = request.sessionId;
  const named =
    sessionIdAs === undefined || id === undefined
      ? {}
      : { 'BITS-Session-Id': sessionIdAs === 'lower-case' ? id.toLowerCase() : id.slice(1, -1) };
  return { status, headers: changeHeaders(answer.headers, { ...headers, ...named }) };
}

/** Not waited for: the connection may carry other requests by then. */
function endLater({ closeAfterMs, resetAfterMs }: FaultEffect, connection: Http1Connection): void {
  const ms = closeAfterMs ?? resetAfterMs;
  if (ms === undefined) return;
  const end = () => (closeAfterMs === undefined ? connection.reset() : connection.close());
  if (ms === 0) end();
  else delay(ms, undefined, { signal: connection.signal, ref: false }).then(end, () => {});
}

async function forgetSession({ sessionId }: PacketRequest, { sessions }: ServerState) {
  const session = sessions.use(sessionId);
  await session?.exclusively(() => sessions.end(session));
}
