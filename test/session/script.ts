import {
  BitsError,
  BitsProtocolError,
  BitsServerError,
  BitsTransportError,
} from '../../src/errors.js';
import { CONTEXT_SERVER_APPLICATION } from '../../src/protocol/answers.js';
import { MIN_FRAGMENT_BYTES } from '../../src/protocol/constants.js';
import type { Ack } from '../../src/protocol/packets.js';
import type { Refusal, RefusalMeaning } from '../../src/protocol/refusal.js';
import { step } from '../../src/session/machine.js';
import type { Command, Session, SessionEvent, SessionPlan } from '../../src/session/session.js';

/** The smallest fragment, as the unit of sizes in scripts. */
export const MIN = MIN_FRAGMENT_BYTES;
export const ID = '{SESSION-1}';
export const URL_OF_REPLY = 'BITS-Sessions\\Replies\\{1}\\responsefile.bin';

export const PLAN: SessionPlan = {
  totalBytes: 250,
  contentName: 'dump.bin',
  reply: 'none',
  onUncertainFragment: 'resend',
  maxRestarts: 2,
  maxResyncs: 2,
  maxCancelAttempts: 3,
};

/**
 * A command in words: `fragment 0-100`, `close-session @host-id`, `ping anew` on a new connection,
 * `failed BITS_ERR_SERVER`.
 */
export function said(command: Command): string {
  switch (command.type) {
    case 'send': {
      const { packet, target, newConnection } = command;
      const at = `${target === 'host-id' ? ' @host-id' : ''}${newConnection ? ' anew' : ''}`;
      if (packet.type !== 'fragment') return `${packet.type}${at}`;
      return `fragment ${packet.range.start}-${packet.range.end}${at}`;
    }
    case 'download':
      return `download ${command.replyUrl}`;
    case 'wait':
      return command.waitsFor === undefined ? 'wait' : `wait ${command.waitsFor}`;
    case 'pause':
      return command.type;
    case 'finish': {
      const { outcome } = command;
      if (outcome.kind === 'completed') return `completed ${outcome.closed}`;
      if (outcome.kind === 'cancelled') return outcome.freed ? 'cancelled freed' : 'cancelled';
      return `failed ${outcome.error.code}${outcome.resumable ? ' resumable' : ''}`;
    }
  }
}

export type Script = readonly (readonly [event: SessionEvent, command: string])[];

/** Runs the script's events and tells what was commanded, with the session after the last. */
export function play(session: Session, events: readonly SessionEvent[]) {
  const commands: Command[] = [];
  let now = session;
  for (const event of events) {
    const [next, command] = step(now, event);
    now = next;
    commands.push(command);
  }
  return { session: now, commands, said: commands.map(said) };
}

const acked = (ack: Ack, elapsedMs = 50): SessionEvent => ({ type: 'acked', ack, elapsedMs });

export const start: SessionEvent = { type: 'start' };
export const retryDue: SessionEvent = { type: 'retryDue' };
export const suspend: SessionEvent = { type: 'suspendRequested' };
export const resume: SessionEvent = { type: 'resumeRequested' };
export const cancel: SessionEvent = { type: 'cancelRequested' };
export const replyStored: SessionEvent = { type: 'replyStored' };
export const replyGone: SessionEvent = {
  type: 'replyGone',
  error: new BitsError('BITS_ERR_REPLY', 'there is no reply'),
};
export const fallbackExpired: SessionEvent = { type: 'fallbackExpired' };
export const sourceChanged: SessionEvent = {
  type: 'sourceChanged',
  error: new BitsError('BITS_ERR_SOURCE_CHANGED', 'the file changed'),
};
export const gaveUp: SessionEvent = {
  type: 'gaveUp',
  error: new BitsError('BITS_ERR_NO_PROGRESS', 'nothing moved'),
};

type HostIdFields = { hostId?: string; hostIdFallbackTimeoutMs?: number };
export const created = (fields: HostIdFields = {}, sessionId = ID): SessionEvent =>
  acked({ type: 'create-session', sessionId, ...fields });
export const pinged = acked({ type: 'ping' });
export const has = (nextOffset: number, replyUrl?: string, elapsedMs = 1000): SessionEvent =>
  acked(
    { type: 'fragment', nextOffset, ...(replyUrl === undefined ? {} : { replyUrl }) },
    elapsedMs,
  );
export const closed = acked({ type: 'close-session' });
export const cancelled = acked({ type: 'cancel-session' });

export function refusal(
  meaning: RefusalMeaning,
  error: BitsError,
  more: Partial<Refusal> = {},
): SessionEvent {
  return { type: 'failed', refusal: { meaning, error, ...more } };
}

const answered = (
  status: number,
  hresult?: number,
  code?: 'BITS_ERR_SESSION_NOT_FOUND',
  context?: number,
) =>
  new BitsServerError(
    `the server answered ${status}`,
    {
      status,
      ...(hresult === undefined ? {} : { hresult }),
      ...(context === undefined ? {} : { context }),
    },
    code === undefined ? {} : { code },
  );

/** Refused with a status, and perhaps an HRESULT. */
export const status = (code: number, meaning: RefusalMeaning, hresult?: number): SessionEvent =>
  refusal(meaning, answered(code, hresult));
/** No answer came. */
export const lost = refusal('transient', new BitsTransportError('the connection broke'), {});
/** There was no connection. */
export const unsent = refusal('transient', new BitsTransportError('connection refused'), {
  unsent: true,
});
/** A connection that was used before had ended. */
export const stale = refusal('transient', new BitsTransportError('the connection was closed'), {
  staleConnection: true,
});
/** An ack came that belongs to another packet. */
export const misfit = refusal('misfit', new BitsProtocolError('the ack has an offset'));
export const busy = status(503, 'transient');
/** As servers answer that do not know a session and give no HRESULT for it. */
export const unknown = (code: 400 | 500): SessionEvent =>
  refusal(code === 400 ? 'fatal' : 'transient', answered(code), { isFromBits: true });
/** As the server's application refuses what the server has taken. */
export const ofApplication = (
  code: number,
  meaning: RefusalMeaning,
  hresult?: number,
): SessionEvent =>
  refusal(meaning, answered(code, hresult, undefined, CONTEXT_SERVER_APPLICATION), {
    isFromBits: true,
  });
export const denied = status(403, 'fatal', 0x80070005);
export const goneWith = (code: number): SessionEvent =>
  refusal('session-not-found', answered(code, 0x8020001f, 'BITS_ERR_SESSION_NOT_FOUND'));
export const gone = goneWith(500);
export const outOfStep = (nextOffset?: number, replyUrl?: string): SessionEvent =>
  refusal('out-of-step', answered(416), {
    ...(nextOffset === undefined ? {} : { nextOffset }),
    ...(replyUrl === undefined ? {} : { replyUrl }),
  });
export const tooLarge = status(413, 'fragment-too-large');
export const maybeTooLarge = status(404, 'maybe-too-large');
export const notBits = refusal(
  'not-bits',
  new BitsProtocolError('no Ack', { code: 'BITS_ERR_NOT_BITS' }),
);

export function errorOf(command: Command | undefined): BitsError {
  if (command?.type !== 'finish' || command.outcome.kind !== 'failed') {
    throw new Error(`not a failure: ${command === undefined ? 'nothing' : said(command)}`);
  }
  return command.outcome.error;
}
