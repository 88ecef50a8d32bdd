import type { BitsError } from '../errors.js';
import { isTrustedHost } from '../protocol/host-id.js';
import type { Ack } from '../protocol/packets.js';
import {
  authAdvice,
  CLIENT_CERTIFICATE_ADVICE,
  createAdvice,
  type PingTrial,
  pingAdvice,
} from './advice.js';
import { Conversation, type Exchanged } from './conversation.js';
import type { DiagnosisPlan } from './options.js';
import { bad, type Finding, good, skipped } from './step.js';
import type { Attempt } from './witness.js';

/** What the server says to the packets of an upload. */
export class Talk {
  readonly #plan: DiagnosisPlan;
  readonly #url: URL;
  readonly #conversation: Conversation;
  #pinged: Promise<Exchanged> | undefined;
  #session: Extract<Ack, { type: 'create-session' }> | undefined;

  constructor(plan: DiagnosisPlan) {
    const { upload, stepTimeoutMs } = plan;
    this.#plan = plan;
    this.#url = upload.remoteUrl;
    this.#conversation = new Conversation(upload, stepTimeoutMs);
  }

  /** What a proxy that is sent whole requests has against a Ping. */
  async proxyVerdict(): Promise<BitsError | undefined> {
    const { error } = await this.#pingedOnce();
    return error && isProxyError(error) ? error : undefined;
  }

  /** @param wantsClientCertificate asked when the server says nothing at all. */
  async auth(wantsClientCertificate: () => Promise<boolean>): Promise<Finding> {
    const { attempts, error, refusal } = await this.#pingedOnce();
    const durationMs = sum(attempts.slice(0, -1));
    const isSilent = attempts.every(({ status }) => status === undefined);
    if (isSilent && error && isCut(error) && (await wantsClientCertificate())) {
      const advice = CLIENT_CERTIFICATE_ADVICE;
      return {
        ok: false,
        code: error.code,
        detail: 'the server wants a client certificate',
        advice,
      };
    }
    return { ...this.#judgeAuth(attempts, error ?? refusal?.error), durationMs };
  }

  #judgeAuth(attempts: readonly Attempt[], error: BitsError | undefined): Finding {
    const { offers = [] } = attempts.find(({ status }) => status === 401) ?? {};
    const scheme = attempts.findLast((attempt) => attempt.scheme !== undefined)?.scheme;
    const asked = offers.length > 0 ? `the server offers ${offers.join(', ')}` : '';
    if (error?.code === 'BITS_ERR_AUTH') {
      const detail = [asked, scheme && `${scheme} was used`, error.message].filter(Boolean);
      const advice = authAdvice(offers, this.#given());
      return { ...bad(error, advice), detail: detail.join('; ') };
    }
    if (attempts.every(({ status }) => status === undefined)) {
      return skipped('not known: no answer came');
    }
    // Then the handshake was under way.
    if (attempts.at(-1)?.status === undefined && error && offers.length > 0) {
      return {
        ...bad(error, authAdvice(offers, this.#given())),
        detail: `${asked}; ${error.message}`,
      };
    }
    if (scheme !== undefined && offers.length > 0) {
      return good(`${asked}; ${scheme} was used, and accepted`);
    }
    if (scheme !== undefined) return good(`${scheme} was sent unasked, and not refused`);
    const unused = this.#given() === 'none' ? '' : '; the credentials given were not needed';
    return good(`the server asks for none${unused}`);
  }

  /** What the caller gave to prove who one is. */
  #given(): 'none' | 'header' | 'auth' {
    const { auth, headers } = this.#plan.upload;
    if (auth !== undefined) return 'auth';
    const isGiven = Object.keys(headers).some((name) => name.toLowerCase() === 'authorization');
    return isGiven ? 'header' : 'none';
  }

  async ping(): Promise<Finding> {
    const { attempts, ack, refusal, error, ...told } = await this.#pingedOnce();
    const durationMs = told.durationMs - sum(attempts.slice(0, -1));
    const failure = error ?? refusal?.error;
    const server = attempts.at(-1)?.server;
    const by = server === undefined ? '' : ` (${server})`;
    if (ack !== undefined || failure === undefined) {
      const moved = told.host === this.#url.host ? '' : `, after a redirect to ${told.host}`;
      return { ...good(`a BITS server answers${by}${moved}`), durationMs };
    }
    const advice = pingAdvice(failure, this.#url, await this.#tryOtherWays(failure));
    const detail =
      attempts.at(-1)?.status === undefined ? '' : `${by && `answered by ${server}; `}`;
    return { ...bad(failure, advice), detail: `${detail}${failure.message}`, durationMs };
  }

  /** Tells a blocked verb from a missing directory. */
  async #tryOtherWays(failure: BitsError): Promise<PingTrial | undefined> {
    const { status = 0 } = failure as { status?: number };
    if (![400, 403, 404, 405, 501].includes(status)) return undefined;
    return {
      overrideTaken: await this.#conversation.isOverrideTaken(),
      directoryStatus: status === 404 ? await this.#conversation.directoryStatus() : undefined,
    };
  }

  async create(): Promise<Finding> {
    const { ack, refusal, error } = await this.#conversation.send({ type: 'create-session' });
    const failure = error ?? refusal?.error;
    if (ack?.type !== 'create-session') {
      return failure ? bad(failure, createAdvice(failure)) : skipped('not known: no answer came');
    }
    this.#session = ack;
    const { hostId } = ack;
    if (hostId === undefined)
      return good('the server began a session: uploads can be written there');
    const { hasCredentials, trustedHosts } = this.#plan.upload;
    if (hasCredentials && !isTrustedHost(hostId, this.#url, trustedHosts)) {
      return {
        ok: false,
        code: 'BITS_ERR_UNTRUSTED_HOST',
        detail: `the server began a session and moves it to ${hostId} (BITS-Host-Id), which may not have the credentials; the session stays there until its time-out`,
        advice: `if ${hostId} is yours, trust it: --trusted-host, or the option trustedHosts; else look at BITSHostId of the directory`,
      };
    }
    return good(`the server began a session, and moves it to ${hostId} (BITS-Host-Id)`);
  }

  async cancel(): Promise<Finding> {
    if (this.#session === undefined) return skipped('there is no session');
    const { sessionId, hostId } = this.#session;
    const { ack, refusal, error } = await this.#conversation.send(
      { type: 'cancel-session', sessionId },
      hostId,
    );
    if (ack !== undefined || refusal?.meaning === 'session-not-found') {
      return good('the session is gone again');
    }
    const failure = error ?? refusal?.error;
    const where = hostId === undefined ? 'the server' : hostId;
    const advice = `${where} keeps the session until its time-out; look whether ${where} can be reached from here, and at its log`;
    return failure ? bad(failure, advice) : skipped('not known: no answer came');
  }

  close(): Promise<void> {
    return this.#conversation.close();
  }

  #pingedOnce(): Promise<Exchanged> {
    this.#pinged ??= this.#conversation.send({ type: 'ping' });
    return this.#pinged;
  }
}

function isCut({ code }: BitsError): boolean {
  return code === 'BITS_ERR_TLS' || code === 'BITS_ERR_TRANSPORT';
}

function isProxyError(error: BitsError): boolean {
  return (
    error.code === 'BITS_ERR_PROXY' ||
    (error.code === 'BITS_ERR_AUTH' && (error as { status?: unknown }).status === 407)
  );
}

function sum(attempts: readonly Attempt[]): number {
  return attempts.reduce((total, { durationMs }) => total + durationMs, 0);
}
