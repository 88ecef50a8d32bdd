import { busyClock } from '../common/clock.js';
import { BitsServerError } from '../errors.js';
import type { Refusal } from '../protocol/refusal.js';
import { step } from '../session/machine.js';
import { restoreSession, type Session, type SessionPlan } from '../session/session.js';
import type { OpenSource } from '../source/source.js';
import type { UploadWarning } from './events.js';
import type { AbandonedUpload, RecordKeeper } from './record-keeper.js';
import { discardPartOf } from './reply-delivery.js';
import { sendPacket } from './send-packet.js';
import type { Wire } from './wire.js';

const FREE_SESSION_TIMEOUT_MS = 10_000;

/** After any other answer to a Cancel-Session another one may be worth while. */
const SESSION_IS_GONE: ReadonlySet<Refusal['meaning']> = new Set(['session-not-found', 'fatal']);

/** Frees the server's session of an earlier upload that cannot be resumed, and then drops its record. */
export async function clearEarlierUpload(
  keeper: RecordKeeper,
  { record, reason }: AbandonedUpload,
  plan: SessionPlan,
  wire: Wire,
  source: OpenSource,
  signal: AbortSignal,
  warn: (warning: UploadWarning) => void,
): Promise<void> {
  const earlier = restoreSession(plan, record.session);
  // A process that dies right after the Cancel must not leave a Close that may have worked.
  await keeper.doubtClose(record);
  const isFreed = await freeSession(earlier, wire, source, signal);
  if (isFreed) await keeper.drop(record);
  else await keeper.setAside(record);
  await discardPartOf(record);
  const left = isFreed
    ? ''
    : ' Its session could not be freed on the server yet, so its record stays.';
  warn({
    code: 'earlier-upload-dropped',
    message: `An earlier upload of ${record.source.path} to this URL was given up, because ${reason}.${left}`,
  });
}

/**
 * Sends Cancel-Session once, because the upload does not depend on it: the server times the session
 * out in the end.
 * @returns false when another try may be worth while
 */
async function freeSession(
  session: Session,
  wire: Wire,
  source: OpenSource,
  signal: AbortSignal,
): Promise<boolean> {
  const [leaving, command] = step(session, { type: 'cancelRequested' });
  if (command.type !== 'send') return true;
  // Not AbortSignal.timeout: together with `any`, Node 20 may collect it before its time.
  const limit = new AbortController();
  const stopTimer = busyClock.schedule(() => limit.abort(), FREE_SESSION_TIMEOUT_MS);
  try {
    const event = await sendPacket(leaving, command, wire, source, {
      signal: AbortSignal.any([signal, limit.signal]),
    });
    if (event.type !== 'failed') return true;
    const { meaning, error } = event.refusal;
    return error instanceof BitsServerError && SESSION_IS_GONE.has(meaning);
  } catch {
    return false;
  } finally {
    stopTimer();
  }
}
