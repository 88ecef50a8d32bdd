import type { IncomingHttpHeaders } from 'node:http';
import { BitsStateError } from '../errors.js';
import type { ContentRange, PacketType } from '../protocol/packets.js';
import type { Fault } from './faults.js';

/** What a request was for; `unknown` is anything that the server could not make out. */
export type RequestKind = PacketType | 'reply' | 'file' | 'unknown';

/**
 * How a request ended so far.
 *
 * - `pending`: no answer yet.
 * - `answered`: the whole answer went to the operating system.
 * - `cut`: the connection closed before that, by whichever side.
 * - `hanging`: a fault keeps the answer back.
 */
export type RequestOutcome = 'pending' | 'answered' | 'cut' | 'hanging';

/** One request as the server saw it; the fields after `packet` fill in as it proceeds. */
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
  /** Names and values in turn, as sent and in that order. */
  readonly rawHeaders: readonly string[];
  /** 1 for the first connection of the server. */
  readonly connection: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly tls: { readonly protocol: string; readonly alpn: string | undefined } | undefined;
  readonly sessionId: string | undefined;
  /** Of a Fragment, when its `Content-Range` can be read. */
  readonly range: ContentRange | undefined;
  /** Milliseconds of the server's clock. */
  readonly arrivedAtMs: number;
  /** Body bytes received. */
  readonly bodyBytes: number;
  readonly fault: Fault | undefined;
  readonly outcome: RequestOutcome;
  /** Undefined until there is an answer. */
  readonly status: number | undefined;
  /** Headers of the answer that the server itself set. */
  readonly answerHeaders: Readonly<Record<string, string>>;
  readonly answeredAtMs: number | undefined;
}

/** A {@link LoggedRequest} while the server still fills it in. */
export type LogEntry = { -readonly [K in keyof LoggedRequest]: LoggedRequest[K] };

interface Waiter {
  readonly packet: RequestKind | 'any';
  missing: number;
  readonly resolve: (request: LoggedRequest) => void;
  readonly reject: (error: Error) => void;
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
    this.entries.push(numbered);
    if (this.entries.length > this.#limit) this.entries.shift();
    return numbered;
  }

  /** Tells those who wait; an entry settles once. */
  settle(entry: LogEntry, outcome: Exclude<RequestOutcome, 'pending'>): void {
    if (entry.outcome !== 'pending') return;
    entry.outcome = outcome;
    this.#settled.push(entry);
    if (this.#settled.length > this.#limit) this.#settled.shift();
    this.#onRequest?.(entry);
    this.#waiters = this.#waiters.filter((waiter) => {
      if (!matches(waiter, entry)) return true;
      waiter.missing -= 1;
      if (waiter.missing > 0) return true;
      waiter.resolve(entry);
      return false;
    });
  }

  waitFor(packet: RequestKind | 'any', nth: number): Promise<LoggedRequest> {
    const request = new Promise<LoggedRequest>((resolve, reject) => {
      const waiter: Waiter = { packet, missing: nth, resolve, reject };
      const earlier = this.#settled.filter((entry) => matches(waiter, entry));
      const found = earlier[nth - 1];
      if (found !== undefined) {
        resolve(found);
        return;
      }
      waiter.missing -= earlier.length;
      this.#waiters.push(waiter);
    });
    // Whoever raced it against something else must not die of the rejection at the end.
    request.catch(() => {});
    return request;
  }

  close(): void {
    for (const waiter of this.#waiters) {
      waiter.reject(new BitsStateError('The server closed before the request came'));
    }
    this.#waiters = [];
  }
}

function matches(waiter: Waiter, entry: LogEntry): boolean {
  return waiter.packet === 'any' || waiter.packet === entry.packet;
}
