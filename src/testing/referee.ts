import { setTimeout as delay } from 'node:timers/promises';
import {
  ACK_PACKET_TYPE,
  BITS_UPLOAD_PROTOCOL,
  MAX_CONTENT_NAME_LENGTH,
  PACKET_TYPE_NAMES,
} from '../protocol/constants.js';
import { parseOffset } from '../protocol/content-range.js';
import { parseHostId } from '../protocol/host-id.js';
import { BG_E_SESSION_NOT_FOUND, formatHresult } from '../protocol/hresult.js';
import type { PacketType } from '../protocol/packets.js';
import { longHeaders } from './handlers.js';
import type { Connection } from './http1.js';
import { type Answer, headerOf, type PacketRequest } from './packet-request.js';
import type { SessionStore } from './sessions.js';
import type { ViolationCode } from './violations.js';

/** What the referee remembers of how a client treats one session. */
interface Conduct {
  readonly pathKey: string | undefined;
  /** Starts for which the client has good reason: the last answers that it may or may not know. */
  starts: ReadonlySet<number>;
  /** End of the furthest byte that the client sent. */
  sentTo: number;
  lastAnswer: AnswerSeen | undefined;
  /** A Ping came after the last answer: the client resumes, perhaps from an older record. */
  recovering: boolean;
  total: number | undefined;
  hostId: string | undefined;
  hostIdUntilMs: number;
  hostIdPinged: boolean;
  readonly underWay: Set<PacketRequest>;
  newest: PacketRequest | undefined;
  end: { readonly by: PacketType | 'not-found'; readonly answer: AnswerSeen } | undefined;
}

/** What became of an answer: `lost` may have arrived in part, `unsent` cannot have arrived. */
export type Delivery = 'sent' | 'lost' | 'unsent';

interface AnswerSeen {
  readonly connection: Connection;
  readonly delivery: Delivery;
  /** As the client may have read it. */
  readonly nextOffset: number | undefined;
}

export interface RefereeOptions {
  readonly sessions: SessionStore;
  readonly now: () => number;
  readonly report: (code: ViolationCode, message: string, request: PacketRequest) => void;
}

// Within it, the end of a connection that the client gave up reaches us after the client's next one.
const FAREWELL_MS = 250;

const MAX_REMEMBERED = 10_000;
const FORBIDDEN_IN_NAMES = /[\\/:*?"<>|]/;
const PRINTABLE = /^[\x20-\x7e]*$/;

/**
 * Records each violation of [MC-BUP] by a client, and nothing that a client may do to recover.
 *
 * An answer is known to have arrived only when the next request of the session uses the same
 * connection; until then, both what the client knew before and what the answer said may follow.
 */
export class Referee {
  readonly #options: RefereeOptions;
  readonly #conducts = new Map<string, Conduct>();

  constructor(options: RefereeOptions) {
    this.#options = options;
  }

  /** Judges a request on its arrival; resolves when it may be handled. */
  async arrived(request: PacketRequest): Promise<void> {
    this.#judgeHead(request);
    if (request.packet === 'ping') {
      this.#notePing(request);
      return;
    }
    if (request.packet === 'create-session' || request.sessionId === undefined) return;
    const conduct = this.#conducts.get(request.sessionId);
    if (conduct === undefined) return;
    await this.#judgeConcurrency(request, conduct);
    // While this one waited for the farewell of an older one, the client gave it up as well.
    if (conduct.newest !== undefined && conduct.newest.entry.number > request.entry.number) return;
    conduct.underWay.add(request);
    conduct.newest = request;
    this.#judgePlace(request, conduct);
    if (conduct.end !== undefined) this.#judgeEnded(request, conduct.end, conduct.recovering);
    else if (request.packet === 'fragment') this.#judgeFragment(request, conduct);
    else if (request.packet === 'close-session') this.#judgeClose(request);
    // Of an ended session the client may not know before one of its requests is answered.
    if (conduct.end === undefined) conduct.recovering = false;
  }

  /** Takes note of what the server did and said; without an answer, it did nothing. */
  answered(request: PacketRequest, answer: Answer | undefined, delivery: Delivery): void {
    const { packet, exchange } = request;
    const headers = lowerCase(answer?.headers ?? {});
    const ok = answer !== undefined && answer.status >= 200 && answer.status < 300;
    // Without "Ack" it is a page of somebody else, which tells a client nothing (§2.2.1.2).
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

    const gone = !ok && headers['bits-error-code'] === formatHresult(BG_E_SESSION_NOT_FOUND);
    let conduct = this.#conducts.get(request.sessionId);
    if (conduct === undefined) {
      if (!gone) return;
      conduct = newConduct(request.path?.key);
      this.#remember(request.sessionId, conduct);
    }
    // The answer to an older request that was given up says nothing of what the client knows.
    if (conduct.newest === request) conduct.lastAnswer = seen;
    const ends = packet === 'close-session' || packet === 'cancel-session';
    if (ok && ends) conduct.end = { by: packet, answer: seen };
    else if (gone && conduct.end === undefined) conduct.end = { by: 'not-found', answer: seen };
    else if (gone && conduct.end !== undefined) conduct.end = { ...conduct.end, answer: seen };
  }

  /** The request is over, or its connection is. */
  finished(request: PacketRequest): void {
    this.#conducts.get(request.sessionId ?? '')?.underWay.delete(request);
  }

  #begin(id: string, request: PacketRequest, headers: Record<string, string | undefined>): void {
    const conduct = newConduct(request.path?.key);
    const hostId = headers['bits-host-id'];
    if (hostId !== undefined) {
      const seconds = Number(headers['bits-host-id-fallback-timeout'] ?? Number.POSITIVE_INFINITY);
      conduct.hostId = hostId;
      conduct.hostIdUntilMs = this.#options.now() + seconds * 1000;
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

  #judgeHead(request: PacketRequest): void {
    const { packet, exchange, headers, sessionId } = request;
    const violation = (code: ViolationCode, message: string) =>
      this.#options.report(code, message, request);
    const name = PACKET_TYPE_NAMES[packet];

    if (exchange.req.httpVersionMinor === 0) violation('http-version', 'HTTP/1.0 was spoken');
    if (exchange.contentLength === undefined) {
      violation('content-length', `${name} has no Content-Length`);
    }
    for (const header of longHeaders(request)) {
      violation('header-too-long', `${header} is over 4 KiB`);
    }
    if (packet !== 'fragment' && (exchange.contentLength ?? 0) > 0) {
      violation('body-on-control-packet', `${name} has a body of ${exchange.contentLength} bytes`);
    }
    if (packet === 'create-session' || packet === 'ping') {
      if (sessionId !== undefined) violation('session-id', `${name} names a session`);
    } else if (sessionId === undefined || sessionId === '') {
      violation('session-id', `${name} names no session`);
    }
    if (packet === 'create-session') {
      const offered = headerOf(headers, 'bits-supported-protocols');
      if (offered !== BITS_UPLOAD_PROTOCOL) {
        violation('protocol-id', `BITS-Supported-Protocols is not exactly ${BITS_UPLOAD_PROTOCOL}`);
      }
    }
    if (packet === 'fragment') this.#judgeFragmentHead(request, violation);
  }

  #judgeFragmentHead(
    { headers, range, exchange }: PacketRequest,
    violation: (code: ViolationCode, message: string) => void,
  ): void {
    if (range === undefined) {
      violation('content-range', 'Content-Range is missing, malformed or without a total');
    } else if (
      exchange.contentLength !== undefined &&
      range.end - range.start !== exchange.contentLength
    ) {
      violation('content-range', 'Content-Range and Content-Length do not agree');
    }
    const contentName = headerOf(headers, 'content-name');
    if (
      contentName === undefined ||
      contentName === '' ||
      contentName.length > MAX_CONTENT_NAME_LENGTH ||
      !PRINTABLE.test(contentName) ||
      FORBIDDEN_IN_NAMES.test(contentName)
    ) {
      violation('content-name', 'Content-Name is missing, too long or holds illegal characters');
    }
  }

  async #judgeConcurrency(request: PacketRequest, conduct: Conduct): Promise<void> {
    const { connection } = request.exchange;
    const others = () =>
      [...conduct.underWay].filter(
        (other) => other.exchange.connection !== connection && !other.exchange.connection.peerEnded,
      );
    const suspects = others();
    if (suspects.length === 0) return;
    await delay(FAREWELL_MS, undefined, { signal: connection.signal }).catch(() => {});
    for (const other of suspects) {
      if (other.exchange.connection.peerEnded) continue;
      this.#options.report(
        'concurrent-requests',
        'The session has another request under way on another connection',
        request,
      );
      // The newest request wins: the older one may never end.
      if (conduct.underWay.has(other)) other.exchange.connection.reset();
    }
  }

  #judgePlace(request: PacketRequest, conduct: Conduct): void {
    if (request.path?.key !== conduct.pathKey) {
      this.#options.report('url-changed', 'The URL is not that of Create-Session', request);
    }
    if (conduct.hostId === undefined || this.#options.now() >= conduct.hostIdUntilMs) return;
    if (!isAddressedTo(request, conduct.hostId)) {
      this.#options.report('host-id-ignored', 'Host is not the BITS-Host-Id given', request);
    } else if (!conduct.hostIdPinged && request.packet !== 'cancel-session') {
      conduct.hostIdPinged = true;
      this.#options.report('host-id-not-pinged', 'No Ping went to the BITS-Host-Id', request);
    }
  }

  #judgeEnded(request: PacketRequest, end: NonNullable<Conduct['end']>, recovering: boolean): void {
    // A request whose answer got lost may come again, and may be cancelled; a client that resumes may
    // ask for the last fragment's answer anew.
    const mayRepeat =
      recovering ||
      end.by === 'not-found' ||
      request.packet === end.by ||
      request.packet === 'cancel-session';
    if (mayRepeat && !arrivedForSure(end.answer, request)) return;
    const how = end.by === 'not-found' ? 'unknown to the server' : `ended by ${end.by}`;
    this.#options.report('session-ended', `The session was ${how} before`, request);
  }

  #judgeFragment(request: PacketRequest, conduct: Conduct): void {
    const { range } = request;
    if (range === undefined) return;
    const violation = (code: ViolationCode, message: string) =>
      this.#options.report(code, message, request);
    if (conduct.total !== undefined && conduct.total !== range.total) {
      violation('total-changed', `The total changed from ${conduct.total} to ${range.total}`);
    }
    conduct.total ??= range.total;

    const last = conduct.lastAnswer;
    const said = last?.nextOffset;
    if (last !== undefined && said !== undefined && said <= range.total) {
      // An offset beyond what was sent is for the client to doubt.
      const known = arrivedForSure(last, request) && said <= conduct.sentTo ? [] : conduct.starts;
      conduct.starts = new Set([...known, said]);
    }
    conduct.sentTo = Math.max(conduct.sentTo, range.end);
    const highest = Math.max(...conduct.starts);
    const wanted = conduct.starts.has(range.start);
    if (!wanted && !(conduct.recovering && range.start <= highest)) {
      const offsets = [...conduct.starts].join(' or ');
      if (conduct.starts.size === 1 && said === conduct.total) {
        violation(
          'after-completion',
          `Offset ${range.start} was sent after the last byte was acked`,
        );
      } else {
        violation('out-of-order', `Offset ${range.start} was sent where ${offsets} was wanted`);
      }
    }
    conduct.starts = new Set([range.start]);
    conduct.lastAnswer = undefined;
  }

  #judgeClose(request: PacketRequest): void {
    const session = this.#options.sessions.use(request.sessionId);
    if (session === undefined) return;
    if (!session.complete) {
      const have = `${session.committed} of ${session.total} bytes`;
      this.#options.report('close-before-end', `The server has ${have}`, request);
    } else if (session.storedReply?.wasRead === false) {
      const message = 'Close-Session deletes a reply that was not read to its end';
      this.#options.report('close-before-reply', message, request);
    }
  }
}

function newConduct(pathKey: string | undefined): Conduct {
  return {
    pathKey,
    starts: new Set([0]),
    sentTo: 0,
    lastAnswer: undefined,
    recovering: false,
    total: undefined,
    hostId: undefined,
    hostIdUntilMs: 0,
    hostIdPinged: false,
    underWay: new Set(),
    newest: undefined,
    end: undefined,
  };
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
