import { BG_E_SESSION_NOT_FOUND } from '../protocol/hresult.js';
import { type Answer, type HeaderChanges, refuse } from './answer.js';
import type { FaultAction, StatusFault } from './faults.js';

/** What a fault changes between the arrival of a request and the end of its answer. */
export interface FaultEffect {
  /** Whether the server does what the request asks for. @default true */
  readonly commits?: boolean;
  /** The server forgets the session of the request. */
  readonly forgetsSession?: boolean;
  /** Replaces the server's own answer. */
  readonly answer?: Answer & { readonly body?: string | undefined };
  /** Changes the server's own answer. */
  readonly headers?: HeaderChanges;
  readonly delayMs?: number;
  /** Of a Fragment's body, or of a reply. */
  readonly bytesPerSecond?: number;
  /** Of a Fragment, no more is stored than this. */
  readonly keepBytes?: number;
  /** After a Fragment, the last bytes of the upload are forgotten. */
  readonly loseBytes?: number;
  /** How the ack writes the session's id. */
  readonly sessionIdAs?: 'lower-case' | 'without-braces';
  readonly interimAnswers?: number;
  readonly isSentTwice?: boolean;
  readonly closeAfterMs?: number;
  readonly resetAfterMs?: number;
  /**
   * What becomes of the answer. @default it is sent
   *
   * - `reset-at-once`, `reset-halfway`, `reset`: a TCP reset before the request is read, in the
   *   middle of body or answer, or instead of the answer.
   * - `hang`: nothing is sent.
   * - `endless`: it is sent without a length, and the connection stays open.
   */
  readonly delivery?: 'reset-at-once' | 'reset-halfway' | 'reset' | 'hang' | 'endless';
}

const GARBAGE_PAGE =
  '<!doctype html><title>Welcome</title><p>Please accept the terms to use this network.</p>';

/** Translates a fault's action into what it changes. */
export function effectOf(action: FaultAction | undefined): FaultEffect {
  switch (action) {
    case undefined:
      return {};
    case 'reset-before':
      return { commits: false, delivery: 'reset-at-once' };
    case 'reset-mid':
      return { delivery: 'reset-halfway' };
    case 'reset-after-commit':
      return { delivery: 'reset' };
    case 'hang':
      return { commits: false, delivery: 'hang' };
    case 'hang-after-commit':
      return { delivery: 'hang' };
    case 'session-gone':
      return {
        commits: false,
        forgetsSession: true,
        answer: refuse(500, BG_E_SESSION_NOT_FOUND),
      };
    case 'answer-twice':
      return { isSentTwice: true };
    case 'garbage-page':
      return effectOfStatus({
        status: 200,
        headers: { 'Content-Type': 'text/html' },
        body: GARBAGE_PAGE,
      });
  }
  if ('redirect' in action) {
    return effectOfStatus({ status: 307, headers: { Location: action.redirect } });
  }
  if ('status' in action) return effectOfStatus(action);
  if ('offset' in action) {
    const { offset } = action;
    return { headers: { 'BITS-Received-Content-Range': offset === null ? null : `${offset}` } };
  }
  return action;
}

function effectOfStatus(fault: StatusFault): FaultEffect {
  const { status, hresult, context, headers, body } = fault;
  const error = hresult === undefined ? {} : refuse(status, hresult, context).headers;
  return {
    commits: fault.afterCommit ?? false,
    answer: { status, headers: { ...error, ...headers }, body },
    ...(fault.neverEnds === true && { delivery: 'endless' }),
    ...(fault.forgetsSession === true && { forgetsSession: true }),
  };
}
