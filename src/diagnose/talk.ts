import { headerValue } from '../common/header-fields.js';
import type { BitsError, BitsServerError } from '../errors.js';
import { isTrustedHost } from '../protocol/host-id.js';
import type { HostId } from '../protocol/packets.js';
import {
  authAdvice,
  CLIENT_CERTIFICATE_ADVICE,
  directoryAdvice,
  NOT_BITS_ADVICE,
  OVERRIDE_ADVICE,
} from './advice.js';
import { Conversation, type Exchanged } from './conversation.js';
import type { DiagnosisPlan } from './options.js';
import { bad, type Finding, good, skipped } from './step.js';
import type { Attempt } from './witness.js';

/** Statuses by which front ends refuse a verb or a path. */
const BLOCKED = [400, 403, 404, 405, 501];

/** How the server answers the packets of an upload. */
export class Talk {
  readonly #plan: DiagnosisPlan;
  readonly #url: URL;
  readonly #conversation: Conversation;
  #pinged: Promise<Exchanged<'ping'>> | undefined;
  #created: Promise<Exchanged<'create-session'>> | undefined;
  #isCancelled = false;

  constructor(plan: DiagnosisPlan) {
    const { upload, stepTimeoutMs } = plan;
    this.#plan = plan;
    this.#url = upload.remoteUrl;
    this.#conversation = new Conversation(upload, stepTimeoutMs);
  }

  /** Why a proxy that forwards requests without a tunnel refuses a Ping. */
  async proxyVerdict(): Promise<BitsError | undefined> {
    const { failure } = await this.#pingedOnce();
    return failure && isProxyError(failure) ? failure : undefined;
  }

  /** @param wantsClientCertificate called when the server sends no answer at all */
  async auth(wantsClientCertificate: () => Promise<boolean>): Promise<Finding> {
    const { attempts, failure } = await this.#pingedOnce();
    const isSilent = attempts.every(({ status }) => status === undefined);
    if (isSilent && failure && isCut(failure) && (await wantsClientCertificate())) {
      const { code } = failure;
      const message = 'the server requires a client certificate';
      return bad({ code, message }, CLIENT_CERTIFICATE_ADVICE);
    }
    const durationMs = sum(attempts.slice(0, -1));
    return { ...this.#judgeAuth(attempts, failure), durationMs };
  }

  #judgeAuth(attempts: readonly Attempt[], error: BitsError | undefined): Finding {
    const { offers = [] } = attempts.find(({ status }) => status === 401) ?? {};
    const scheme = attempts.findLast((attempt) => attempt.scheme !== undefined)?.scheme;
    const offered = offers.length > 0 ? `the server offers ${offers.join(', ')}` : undefined;
    const last = attempts.at(-1);
    // Without an answer the handshake of a scheme was cut.
    const isCutShort = last?.status === undefined && offered !== undefined;
    if (error !== undefined && (error.code === 'BITS_ERR_AUTH' || isCutShort)) {
      const used = scheme && `${scheme} was used`;
      const detail = [offered, used, error.message].filter((part) => part !== undefined).join('; ');
      return { ...bad(error, authAdvice(offers, this.#given())), detail };
    }
    if (attempts.every(({ status }) => status === undefined)) {
      return skipped('unknown: no answer came');
    }
    if (scheme !== undefined) {
      return good(
        offered === undefined
          ? `${scheme} was sent without being asked for, and was not refused`
          : `${offered}; ${scheme} was used and accepted`,
      );
    }
    const unused = this.#given() === 'none' ? '' : '; the credentials given were not needed';
    return good(`the server requires no authentication${unused}`);
  }

  #given(): 'none' | 'header' | 'auth' {
    const { auth, headers } = this.#plan.upload;
    if (auth !== undefined) return 'auth';
    return headerValue(headers, 'authorization') === undefined ? 'none' : 'header';
  }

  async ping(): Promise<Finding> {
    const { attempts, refusal, failure, durationMs: allMs } = await this.#pingedOnce();
    const durationMs = allMs - sum(attempts.slice(0, -1));
    const { server, status, host } = attempts.at(-1) ?? {};
    if (failure === undefined) {
      const by = server === undefined ? '' : ` (${server})`;
      const redirected = host === this.#url.host ? '' : `, after a redirect to ${host}`;
      return { ...good(`a BITS server answers${by}${redirected}`), durationMs };
    }
    if (refusal !== undefined && (await this.#acceptsSessions())) {
      const { message } = refused(failure);
      return { ...good(`${message}; uploads work nevertheless`), durationMs };
    }
    const finding = refusedStep(failure, await this.#tryOtherWays(failure));
    const by = server === undefined || status === undefined ? '' : `answered by ${server}; `;
    return { ...finding, detail: `${by}${finding.detail}`, durationMs };
  }

  /** Some servers refuse a Ping and nothing else: any answer to it proves that they can be reached. */
  async #acceptsSessions(): Promise<boolean> {
    if (!this.#plan.probe) return false;
    return (await this.#createdOnce()).ack !== undefined;
  }

  /** Distinguishes a blocked verb from a missing directory. */
  async #tryOtherWays(failure: BitsError): Promise<string[]> {
    if (failure.code === 'BITS_ERR_NOT_BITS') return [NOT_BITS_ADVICE];
    const { status = 0 } = failure as Partial<BitsServerError>;
    if (!BLOCKED.includes(status)) return [];
    const advice: string[] = [];
    if (await this.#conversation.isOverrideAccepted()) advice.push(OVERRIDE_ADVICE);
    const directory = status === 404 ? await this.#conversation.directoryStatus() : undefined;
    if (directory !== undefined) advice.push(directoryAdvice(directory));
    return advice;
  }

  async create(): Promise<Finding> {
    const { ack, failure, durationMs } = await this.#createdOnce();
    if (failure !== undefined) return refusedStep(failure);
    return { ...this.#judgeSession(ack.hostId), durationMs };
  }

  #judgeSession(hostId: HostId | undefined): Finding {
    const { pathname } = this.#plan.probeUrl;
    if (hostId === undefined) {
      return good(`the server created a session for ${pathname}: uploads can be written there`);
    }
    if (this.#isTrusted(hostId)) {
      return good(
        `the server created a session for ${pathname} and moves it to ${hostId} (BITS-Host-Id)`,
      );
    }
    const message = `the server created a session for ${pathname} and moves it to ${hostId} (BITS-Host-Id), which must not get the credentials; the session stays there until its time-out`;
    return bad(
      { code: 'BITS_ERR_UNTRUSTED_HOST', message },
      `if ${hostId} is yours, add it to trustedHosts; otherwise check BITSHostId of the directory`,
    );
  }

  #isTrusted(hostId: string): boolean {
    const { hasCredentials, trustedHosts } = this.#plan.upload;
    return !hasCredentials || isTrustedHost(hostId, this.#url, trustedHosts);
  }

  async cancel(): Promise<Finding> {
    const { ack: session } = await this.#createdOnce();
    if (session === undefined) return skipped('there is no session');
    this.#isCancelled = true;
    const { sessionId, hostId } = session;
    if (hostId !== undefined && !this.#isTrusted(hostId)) {
      return skipped(`${hostId} must not get the credentials`);
    }
    const packet = { type: 'cancel-session', sessionId } as const;
    const { probeUrl } = this.#plan;
    const { failure, refusal } = await this.#conversation.send(packet, probeUrl, hostId);
    if (failure === undefined || refusal?.meaning === 'session-not-found') {
      return good('the server removed the session');
    }
    const where = hostId ?? 'the server';
    const advice = `${where} keeps the session until its time-out; check that ${where} can be reached from here, and its log`;
    return bad(failure, advice);
  }

  async close(): Promise<void> {
    try {
      // The iteration may have ended between the creation of the session and its end.
      if (this.#created !== undefined && !this.#isCancelled) await this.cancel();
    } finally {
      await this.#conversation.close();
    }
  }

  #pingedOnce(): Promise<Exchanged<'ping'>> {
    this.#pinged ??= this.#conversation.send({ type: 'ping' }, this.#url);
    return this.#pinged;
  }

  #createdOnce(): Promise<Exchanged<'create-session'>> {
    this.#created ??= this.#conversation.send({ type: 'create-session' }, this.#plan.probeUrl);
    return this.#created;
  }
}

/** The message of a refusal says what happened, and after a colon what to check. */
function refused(error: BitsError): { message: string; advice?: string } {
  const { message } = error;
  const at = (error as Partial<BitsServerError>).status === undefined ? -1 : message.indexOf(': ');
  return at < 0 ? { message } : { message: message.slice(0, at), advice: message.slice(at + 2) };
}

/** @param more advice from other requests */
function refusedStep(error: BitsError, more: readonly string[] = []): Finding {
  const { message, advice: known } = refused(error);
  const advice = [...more, ...(known === undefined ? [] : [known])].join('; ');
  return bad({ code: error.code, message }, advice === '' ? undefined : advice);
}

function isCut({ code }: BitsError): boolean {
  return code === 'BITS_ERR_TLS' || code === 'BITS_ERR_TRANSPORT';
}

function isProxyError(error: BitsError): boolean {
  return (
    error.code === 'BITS_ERR_PROXY' ||
    (error.code === 'BITS_ERR_AUTH' && (error as Partial<BitsServerError>).status === 407)
  );
}

function sum(attempts: readonly Attempt[]): number {
  return attempts.reduce((total, { durationMs }) => total + durationMs, 0);
}
