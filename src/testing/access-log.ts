import type { IncomingHttpHeaders } from 'node:http';
import { Deferred } from '../common/deferred.js';
import { BitsStateError } from '../errors.js';
import type { ContentRange, PacketType } from '../protocol/packets.js';
import type { Fault } from './faults.js';

/** What a request was for: a BITS packet, a GET of a reply or a file, or anything else. */
export type RequestKind = PacketType | 'reply' | 'file' | 'unknown';

/**
 * What has become of a request.
 *
 * - `pending`: it has no answer yet.
 * - `answered`: its whole answer was handed to the operating system.
 * - `cut`: the connection closed before that, by either side.
 * - `hanging`: a fault withholds the answer.
 */
export type RequestOutcome = 'pending' | 'answered' | 'cut' | 'hanging';

/** One request as the server saw it; fields such as `status` are filled in as it proceeds. */
export interface LoggedRequest {
  /** 1 for the first request of the server. */
  readonly number: number;
  readonly packet: RequestKind;
  readonly method: string;
  /** The request target as sent, query included. */
  readonly target: string;
  readonly httpVersion: string;
  /** Names in lower case. */
  readonly headers: Readonly<IncomingHttpHeaders>;
  /** Names and values in turn, in the order in which they were sent. */
  readonly rawHeaders: readonly string[];
  /** 1 for the first connection of the server. */
  readonly connection: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly tls: { readonly protocol: string; readonly alpn: string | undefined } | undefined;
  readonly sessionId: string | undefined;
  /** Of a Fragment whose `Content-Range` can be read; `end` is exclusive. */
  readonly range: ContentRange | undefined;
  /** Milliseconds of the server's clock. */
  readonly arrivedAtMs: number;
  /** Body bytes received. */
  readonly bodyBytes: number;
  /** The fault that struck it. */
  readonly fault: Fault | undefined;
  readonly outcome: RequestOutcome;
  /** Undefined until there is an answer. */
  readonly status: number | undefined;
  /** The answer's headers, without those that Node adds. */
  readonly answerHeaders: Readonly<Record<string, string>>;
  readonly answeredAtMs: number | undefined;
}

/** A {@link LoggedRequest} while the server still fills it in. */
export type LogEntry = { -readonly [K in keyof LoggedRequest]: LoggedRequest[K] };

interface Waiter {
  readonly packet: RequestKind | 'any';
  missing: number;
  readonly found: Deferred<LoggedRequest>;
}

/** The requests of a server in the order of their arrival. */
export class AccessLog {
  readonly entries: LogEntry[] = [];
  readonly #settled: LogEntry[] = [];
  readonly #limit: number;
  readonly #onRequest: ((request: LoggedRequest) => void) | undefined;
  #waiters: Waiter[] = [];
  #count = 0;

  constructor(limit: number, onRequest: ((request: LoggedRequest) => void) | undefined) {
    this.#limit = limit;
    this.#onRequest = onRequest;
  }

  open(entry: Omit<LogEntry, 'number'>): LogEntry {
    this.#count += 1;
    const numbered: LogEntry = { number: this.#count, ...entry };
    pushWithin(this.#limit, this.entries, numbered);
    return numbered;
  }

  /** Tells those who wait; an entry settles once. */
  settle(entry: LogEntry, outcome: Exclude<RequestOutcome, 'pending'>): void {
    if (entry.outcome !== 'pending') return;
    entry.outcome = outcome;
    pushWithin(this.#limit, this.#settled, entry);
    this.#onRequest?.(entry);
    this.#waiters = this.#waiters.filter((waiter) => {
      if (!matches(waiter, entry)) return true;
      waiter.missing -= 1;
      if (waiter.missing > 0) return true;
      waiter.found.resolve(entry);
      return false;
    });
  }

  waitFor(packet: RequestKind | 'any', nth: number): Promise<LoggedRequest> {
    const waiter: Waiter = { packet, missing: nth, found: new Deferred() };
    const { promise } = waiter.found;
    // A caller may have stopped waiting when the server closes.
    promise.catch(() => {});
    const earlier = this.#settled.filter((entry) => matches(waiter, entry));
    const found = earlier[nth - 1];
    if (found !== undefined) {
      waiter.found.resolve(found);
    } else {
      waiter.missing -= earlier.length;
      this.#waiters.push(waiter);
    }
    return promise;
  }

  close(): void {
    for (const waiter of this.#waiters) {
      waiter.found.reject(new BitsStateError('The server closed before the request arrived'));
    }
    this.#waiters = [];
  }
}

function matches(waiter: Waiter, entry: LogEntry): boolean {
  return waiter.packet === 'any' || waiter.packet === entry.packet;
}

/** Appends to a list that forgets its oldest entries. */
export function pushWithin<T>(limit: number, list: T[], item: T): void {
  list.push(item);
  if (list.length > limit) list.shift();
}
