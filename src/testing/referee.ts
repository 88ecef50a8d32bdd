import { setTimeout as delay } from 'node:timers/promises';
import { CONTEXT_SERVER_APPLICATION } from '../protocol/answers.js';
import { ACK_PACKET_TYPE, MIN_FRAGMENT_BYTES } from '../protocol/constants.js';
import { parseOffset } from '../protocol/content-range.js';
import { parseHostId } from '../protocol/host-id.js';
import { BG_E_SESSION_NOT_FOUND, formatHresult } from '../protocol/hresult.js';
import type { PacketType } from '../protocol/packets.js';
import type { Answer } from './answer.js';
import { headViolations } from './head-rules.js';
import type { Http1Connection } from './http1-connection.js';
import type { PacketRequest } from './packet-request.js';
import type { SessionStore } from './sessions.js';
import type { ViolationCode, ViolationLog } from './violations.js';

/** What the referee remembers of how a client treats one session. */
class Conduct {
  readonly pathKey: string | undefined;
  /** Where the next fragment may start: one offset for each answer that the client may have read. */
  starts: ReadonlySet<number> = new Set([0]);
  /** The highest end of all fragments so far. */
  sentTo = 0;
  lastAnswer: AnswerSeen | undefined;
  /** The last fragment was a probe: it asked for the offset with bytes that the server has. */
  probing = false;
  /** A Ping came after the last answer: the client resumes, perhaps from an older record. */
  recovering = false;
  total: number | undefined;
  hostId: string | undefined;
  hostIdUntilMs = 0;
  hostIdPinged = false;
  readonly unfinished = new Set<PacketRequest>();
  newest: PacketRequest | undefined;
  end: { readonly by: PacketType | 'not-found'; readonly answer: AnswerSeen } | undefined;

  constructor(request: PacketRequest) {
    this.pathKey = request.path?.key;
  }
}

/** What became of an answer: `lost` may have arrived in part, `unsent` cannot have arrived. */
export type Delivery = 'sent' | 'lost' | 'unsent';

interface AnswerSeen {
  readonly connection: Http1Connection;
  readonly delivery: Delivery;
  /** As the client may have read it. */
  readonly nextOffset: number | undefined;
}

// A client that gives up a connection may open its next one before we see the end of the first.
const LATE_END_MS = 250;

const MAX_REMEMBERED = 10_000;

/**
 * Records each violation of [MC-BUP] by a client, and nothing that a client may do to recover.
 *
 * An answer is known to have arrived only when the next request of the session uses the same
 * connection; until then the client may act on that answer or on those before it.
 */
export class Referee {
  readonly #sessions: SessionStore;
  readonly #violations: ViolationLog;
  readonly #now: () => number;
  readonly #conducts = new Map<string, Conduct>();

  constructor(sessions: SessionStore, violations: ViolationLog, now: () => number) {
    this.#sessions = sessions;
    this.#violations = violations;
    this.#now = now;
  }

  /** Judges a request on its arrival; resolves when it may be handled. */
  async arrived(request: PacketRequest): Promise<void> {
    for (const [code, message] of headViolations(request)) this.#report(code, message, request);
    if (request.packet === 'ping') {
      this.#notePing(request);
      return;
    }
    if (request.packet === 'create-session' || request.sessionId === undefined) return;
    const conduct = this.#conducts.get(request.sessionId);
    if (conduct === undefined) return;
    await this.#judgeConcurrency(request, conduct);
    // While this one waited for the end of an older one, the client gave it up as well.
    if (conduct.newest !== undefined && conduct.newest.entry.number > request.entry.number) return;
    conduct.unfinished.add(request);
    conduct.newest = request;
    this.#judgePlace(request, conduct);
    if (conduct.end !== undefined) this.#judgeEnded(request, conduct.end, conduct.recovering);
    else if (request.packet === 'fragment') this.#judgeFragment(request, conduct);
    else if (request.packet === 'close-session') this.#judgeClose(request);
    // Of an ended session the client may not know before one of its requests is answered.
    if (conduct.end === undefined) conduct.recovering = false;
  }

  /** Learns what the server did and said; without an answer, it did nothing. The last call counts. */
  answered(request: PacketRequest, answer: Answer | undefined, delivery: Delivery): void {
    const { packet, exchange } = request;
    const headers = lowerCase(answer?.headers ?? {});
    const ok = answer !== undefined && answer.status >= 200 && answer.status < 300;
    // Without "Ack" it is a page from elsewhere, which tells a client nothing (§2.2.1.2).
    const told = !ok || headers['bits-packet-type'] === ACK_PACKET_TYPE;
    // Only these two answers tell the next offset (§3.1.5.1.4).
    const tellsOffset = ok ? told : answer?.status === 416;
    const offset = tellsOffset ? headers['bits-received-content-range'] : undefined;
    const seen: AnswerSeen = {
      connection: exchange.connection,
      delivery: told ? delivery : 'unsent',
      nextOffset: offset === undefined || delivery === 'unsent' ? undefined : parseOffset(offset),
    };
    if (packet === 'create-session') {
      const id = headers['bits-session-id'];
      if (ok && id !== undefined) this.#begin(id, request, headers);
      return;
    }
    if (packet === 'ping' || request.sessionId === undefined) return;

    // With this context it is a code of the application, and says nothing of the session.
    const isOfApplication = Number(headers['bits-error-context']) === CONTEXT_SERVER_APPLICATION;
    const notFound = headers['bits-error-code'] === formatHresult(BG_E_SESSION_NOT_FOUND);
    const gone = !ok && notFound && !isOfApplication;
    let conduct = this.#conducts.get(request.sessionId);
    if (conduct === undefined) {
      if (!gone) return;
      conduct = new Conduct(request);
      this.#remember(request.sessionId, conduct);
    }
    // The answer to an older request that was given up says nothing of what the client knows.
    if (conduct.newest === request && packet === 'fragment') conduct.lastAnswer = seen;
    const ends = packet === 'close-session' || packet === 'cancel-session';
    if (ok && ends) conduct.end = { by: packet, answer: seen };
    else if (gone) conduct.end = { by: conduct.end?.by ?? 'not-found', answer: seen };
  }

  /** The request is over, or its connection is. */
  finished(request: PacketRequest): void {
    this.#conducts.get(request.sessionId ?? '')?.unfinished.delete(request);
  }

  #begin(id: string, request: PacketRequest, headers: Record<string, string | undefined>): void {
    const conduct = new Conduct(request);
    const hostId = headers['bits-host-id'];
    if (hostId !== undefined) {
      const seconds = Number(headers['bits-host-id-fallback-timeout'] ?? Number.POSITIVE_INFINITY);
      conduct.hostId = hostId;
      conduct.hostIdUntilMs = this.#now() + seconds * 1000;
    }
    this.#remember(id, conduct);
  }

  #remember(id: string, conduct: Conduct): void {
    this.#conducts.set(id, conduct);
    if (this.#conducts.size <= MAX_REMEMBERED) return;
    const [oldest] = this.#conducts.keys();
    if (oldest !== undefined) this.#conducts.delete(oldest);
  }

  #notePing(request: PacketRequest): void {
    for (const conduct of this.#conducts.values()) {
      if (conduct.pathKey !== request.path?.key) continue;
      conduct.recovering = true;
      if (isAddressedTo(request, conduct.hostId)) conduct.hostIdPinged = true;
    }
  }

  async #judgeConcurrency(request: PacketRequest, conduct: Conduct): Promise<void> {
    const { connection } = request.exchange;
    const others = () =>
      [...conduct.unfinished].filter(
        (other) => other.exchange.connection !== connection && !other.exchange.connection.peerEnded,
      );
    const suspects = others();
    if (suspects.length === 0) return;
    await delay(LATE_END_MS, undefined, { signal: connection.signal }).catch(() => {});
    for (const other of suspects) {
      if (other.exchange.connection.peerEnded) continue;
      if (!other.exchange.connection.isPaused) {
        const message = 'The session has another unfinished request on another connection';
        this.#report('concurrent-requests', message, request);
      }
      // The newest request wins: the older one may never end.
      if (conduct.unfinished.has(other)) other.exchange.connection.reset();
    }
  }

  #judgePlace(request: PacketRequest, conduct: Conduct): void {
    if (request.path?.key !== conduct.pathKey) {
      this.#report('url-changed', 'The URL differs from that of Create-Session', request);
    }
    if (conduct.hostId === undefined || this.#now() >= conduct.hostIdUntilMs) return;
    if (!isAddressedTo(request, conduct.hostId)) {
      this.#report('host-id-ignored', 'Host is not the BITS-Host-Id of the session', request);
    } else if (!conduct.hostIdPinged && request.packet !== 'cancel-session') {
      conduct.hostIdPinged = true;
      this.#report('host-id-not-pinged', 'No Ping was sent to the BITS-Host-Id first', request);
    }
  }

  #judgeEnded(request: PacketRequest, end: NonNullable<Conduct['end']>, recovering: boolean): void {
    // A request whose answer was lost may be sent again or cancelled; a client that resumes may ask
    // for the answer to the last fragment once more.
    const mayRepeat =
      recovering ||
      end.by === 'not-found' ||
      request.packet === end.by ||
      request.packet === 'cancel-session';
    if (mayRepeat && !arrivedForSure(end.answer, request)) return;
    const how = end.by === 'not-found' ? 'unknown to the server' : `ended by ${end.by}`;
    this.#report('session-ended', `The client knew that the session was ${how}`, request);
  }

  #judgeFragment(request: PacketRequest, conduct: Conduct): void {
    const { range } = request;
    if (range === undefined) return;
    const violation = (code: ViolationCode, message: string) =>
      this.#report(code, message, request);
    if (conduct.total !== undefined && conduct.total !== range.total) {
      violation('total-changed', `The total changed from ${conduct.total} to ${range.total}`);
    }
    conduct.total ??= range.total;

    const last = conduct.lastAnswer;
    const said = last?.nextOffset;
    if (last !== undefined && said !== undefined && said <= range.total) {
      // A client may doubt an offset beyond what it sent.
      const known = arrivedForSure(last, request) && said <= conduct.sentTo ? [] : conduct.starts;
      conduct.starts = new Set([...known, said]);
    }
    const { sentTo } = conduct;
    conduct.sentTo = Math.max(sentTo, range.end);
    const highest = Math.max(...conduct.starts);
    const wanted = conduct.starts.has(range.start);
    // An answer without an offset, such as 503, does not say what became of the fragment.
    const isKnown = said !== undefined && last !== undefined && arrivedForSure(last, request);
    const inDoubt = !isKnown || conduct.probing || conduct.recovering;
    const isSmall = range.end - range.start <= MIN_FRAGMENT_BYTES;
    conduct.lastAnswer = undefined;
    // A probe brings nothing new: it repeats what the server has, or the beginning of what was lost.
    const isOld = wanted ? range.end < sentTo : range.end <= highest;
    conduct.probing = inDoubt && isSmall && isOld;
    if (conduct.probing) return;
    if (!wanted && !(conduct.recovering && range.start <= highest)) {
      const offsets = [...conduct.starts].join(' or ');
      if (conduct.starts.size === 1 && said === conduct.total) {
        violation(
          'after-completion',
          `A fragment at offset ${range.start} came after the last byte was acknowledged`,
        );
      } else {
        const message = `A fragment starts at offset ${range.start}, but the next offset is ${offsets}`;
        violation('out-of-order', message);
      }
    }
    conduct.starts = new Set([range.start]);
  }

  #judgeClose(request: PacketRequest): void {
    const session = this.#sessions.use(request.sessionId);
    if (session === undefined) return;
    if (!session.complete) {
      const message = `Close-Session came when the server had ${session.committed} of ${session.total} bytes`;
      this.#report('close-before-end', message, request);
    } else if (session.storedReply?.wasRead === false) {
      const message = 'Close-Session deletes a reply that was not read to its end';
      this.#report('close-before-reply', message, request);
    }
  }

  #report(code: ViolationCode, message: string, { entry }: PacketRequest): void {
    this.#violations.report(code, message, entry);
  }
}

function arrivedForSure(answer: AnswerSeen, next: PacketRequest): boolean {
  return answer.delivery === 'sent' && answer.connection === next.exchange.connection;
}

function isAddressedTo({ headers, exchange }: PacketRequest, hostId: string | undefined): boolean {
  if (hostId === undefined) return false;
  const scheme = exchange.connection.tls === undefined ? 'http' : 'https';
  return authority(scheme, headers.host ?? '') === authority(scheme, parseHostId(hostId) ?? hostId);
}

function authority(scheme: string, host: string): string {
  try {
    return new URL(`${scheme}://${host}/`).host;
  } catch {
    return host;
  }
}

function lowerCase(headers: Record<string, string>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(headers).map(([name, v]) => [name.toLowerCase(), v]));
}
