import { AssertionError } from 'node:assert';
import { BitsArgumentError } from '../errors.js';
import type { PacketType } from '../protocol/packets.js';

/** Which requests a fault strikes: a packet type, a GET of a reply, or each of these. */
export type FaultTarget = PacketType | 'reply' | 'any';

/** An answer in place of the server's own. */
export interface StatusFault {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as `BITS-Error-Code`. */
  readonly hresult?: number;
  /** Sent as `BITS-Error-Context`: 0x5 the server, 0x7 its application. @default 0x5 with hresult */
  readonly context?: number;
  /** @default no body */
  readonly body?: string;
  /** The request takes effect all the same. @default false */
  readonly afterCommit?: boolean;
  /** No `Content-Length`, and the connection stays open: the answer never ends. @default false */
  readonly neverEnds?: boolean;
}

/**
 * What goes wrong.
 *
 * - `reset-before`: a TCP reset when the head has arrived; nothing takes effect.
 * - `reset-mid`: a TCP reset halfway: of a Fragment's body, of which the first half is kept; of a
 *   reply's body; of the answer's head for other packets, which do take effect.
 * - `reset-after-commit`: the request takes effect, and a TCP reset comes in place of the answer; of
 *   a reply, the head is sent.
 * - `hang`, `hang-after-commit`: no answer ever comes, without or with effect.
 * - `session-gone`: the server forgets the session and says so (0x8020001F).
 * - `garbage-page`: 200 with an HTML page and no `BITS-Packet-Type`, as a captive portal sends.
 * - `{ status }`: that answer, see {@link StatusFault}.
 * - `{ offset }`: the request takes effect, the answer names this offset; null: names none.
 * - `{ headers }`: the request takes effect, headers of the answer are changed; null removes one.
 * - `{ delayMs }`: the request takes effect, its answer comes late.
 * - `{ bytesPerSecond }`: the body of a Fragment is read, that of a reply written, at this speed.
 * - `{ redirect }`: 307 to that URL, nothing takes effect.
 */
export type FaultAction =
  | 'reset-before'
  | 'reset-mid'
  | 'reset-after-commit'
  | 'hang'
  | 'hang-after-commit'
  | 'session-gone'
  | 'garbage-page'
  | StatusFault
  | { readonly offset: number | string | null }
  | { readonly headers: Readonly<Record<string, string | null>> }
  | { readonly delayMs: number }
  | { readonly bytesPerSecond: number }
  | { readonly redirect: string };

/** A fault as data: `{ on: 'fragment', nth: 3, do: 'reset-after-commit' }`. */
export interface Fault {
  readonly on: FaultTarget;
  /** Counts the matching requests from the moment when the fault was added. @default 1 */
  readonly nth?: number;
  /** How many matching requests in a row it strikes. @default 1 */
  readonly times?: number;
  readonly do: FaultAction;
}

interface PlannedFault {
  readonly fault: Fault;
  seen: number;
  left: number;
}

/** The faults that a server has yet to commit. */
export class FaultPlan {
  #planned: PlannedFault[] = [];

  /** @throws BITS_ERR_ARGUMENT when `nth` or `times` is no positive integer. */
  add(fault: Fault): void {
    const { nth = 1, times = 1 } = fault;
    if (!isCount(nth) || !isCount(times)) {
      throw new BitsArgumentError('nth and times of a fault must be integers from 1');
    }
    this.#planned.push({ fault, seen: 0, left: times });
  }

  /** Counts a request; of several faults that are due, the first one added strikes. */
  take(kind: PacketType | 'reply'): Fault | undefined {
    let due: PlannedFault | undefined;
    for (const planned of this.#planned) {
      if (planned.fault.on !== 'any' && planned.fault.on !== kind) continue;
      planned.seen += 1;
      if (planned.seen >= (planned.fault.nth ?? 1)) due ??= planned;
    }
    if (due === undefined) return undefined;
    due.left -= 1;
    if (due.left === 0) this.#planned = this.#planned.filter((planned) => planned !== due);
    return due.fault;
  }

  unconsumed(): Fault[] {
    return this.#planned.map(({ fault }) => fault);
  }

  /** @throws AssertionError that lists the faults which never, or not often enough, struck. */
  assertConsumed(): void {
    const left = this.unconsumed();
    if (left.length === 0) return;
    throw new AssertionError({
      message: `Faults that did not strike: ${left.map((fault) => JSON.stringify(fault)).join(', ')}`,
      actual: left,
      expected: [],
      operator: 'assertFaultsConsumed',
    });
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}
