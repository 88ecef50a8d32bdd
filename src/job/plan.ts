import type { SessionPlan } from '../session/session.js';
import type { ResolvedOptions } from './options.js';

/** Answers in a row that ask for bytes again and bring no progress. */
const MAX_RESYNCS = 8;
const MAX_CANCEL_ATTEMPTS = 3;

/** What the options say about the session of a source with so many bytes. */
export function planOf(
  options: ResolvedOptions,
  totalBytes: number,
  contentName: string,
): SessionPlan {
  return {
    totalBytes,
    contentName,
    reply: options.reply === undefined ? 'none' : options.reply.optional ? 'optional' : 'required',
    onUncertainFragment: options.onUncertainFragment,
    maxRestarts: options.maxRestarts,
    maxResyncs: MAX_RESYNCS,
    maxCancelAttempts: MAX_CANCEL_ATTEMPTS,
  };
}
