import { AssertionError } from 'node:assert';
import { isObject, mustBe } from '../common/check-options.js';
import { BitsArgumentError } from '../errors.js';
import { PACKET_TYPE_NAMES } from '../protocol/constants.js';
import type { PacketType } from '../protocol/packets.js';
import type { HeaderChanges } from './answer.js';

/** Which requests a fault applies to: a packet type, GETs of a reply, or all of these. */
export type FaultTarget = PacketType | 'reply' | 'any';

/** An answer that replaces the server's own. */
export interface StatusFault {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as `BITS-Error-Code`. */
  readonly hresult?: number;
  /** Sent as `BITS-Error-Context`: 0x5 the server, 0x7 its application. @default 0x5 with hresult */
  readonly context?: number;
  /** @default no body */
  readonly body?: string;
  /** True: the request takes effect all the same. @default false */
  readonly afterCommit?: boolean;
  /** True: no `Content-Length`, and the connection stays open. @default false */
  readonly neverEnds?: boolean;
  /** True: the server forgets the session of the packet. @default false */
  readonly forgetsSession?: boolean;
}

const NAMED_FAULTS = [
  'reset-before',
  'reset-mid',
  'reset-after-commit',
  'hang',
  'hang-after-commit',
  'session-gone',
  'garbage-page',
  'answer-twice',
] as const;

const TARGETS = [...Object.keys(PACKET_TYPE_NAMES), 'reply', 'any'] as readonly FaultTarget[];

/** A fault without a value, see {@link FaultAction}. */
export type NamedFault = (typeof NAMED_FAULTS)[number];

/**
 * What goes wrong. A request "takes effect" when the server does what it asks for.
 *
 * - `reset-before`: a TCP reset after the request's head; the request takes no effect.
 * - `reset-mid`: a TCP reset halfway. Of a Fragment, the first half of the body is kept; of a reply,
 *   half of its body is sent; other packets take effect, and half of the answer's head is sent.
 * - `reset-after-commit`: the request takes effect, and a TCP reset replaces the answer; of a reply,
 *   the answer's head is sent.
 * - `hang`, `hang-after-commit`: no answer ever; without or with effect.
 * - `session-gone`: the server forgets the session and says so (0x8020001F).
 * - `answer-twice`: takes effect; the answer is sent twice.
 * - `garbage-page`: 200 with an HTML page and no `BITS-Packet-Type`, as from a captive portal.
 * - `{ status }`: another answer, see {@link StatusFault}.
 * - `{ offset }`: takes effect; the answer names this offset, or none with null.
 * - `{ headers }`: takes effect; these headers of the answer are changed, or removed with null.
 * - `{ delayMs }`: takes effect; the answer is sent later.
 * - `{ bytesPerSecond }`: the body of a Fragment is read, or that of a reply is sent, at this speed.
 * - `{ redirect }`: 307 to that URL; no effect.
 * - `{ keepBytes }`: of a Fragment, only so many bytes are kept and acknowledged.
 * - `{ loseBytes }`: takes effect; then the server loses the last bytes of the upload, and its ack says
 *   so. Only with the sink `disk`.
 * - `{ sessionIdAs }`: takes effect; the ack names the session in another form.
 * - `{ interimAnswers }`: so many 103 (Early Hints) before the answer; with Infinity, no answer.
 * - `{ closeAfterMs }`, `{ resetAfterMs }`: so long after the answer the connection is closed or
 *   reset, which no header announces.
 */
export type FaultAction =
  | NamedFault
  | StatusFault
  | { readonly offset: number | string | null }
  | { readonly headers: HeaderChanges }
  | { readonly delayMs: number }
  | { readonly bytesPerSecond: number }
  | { readonly redirect: string }
  | { readonly keepBytes: number }
  | { readonly loseBytes: number }
  | { readonly sessionIdAs: 'lower-case' | 'without-braces' }
  | { readonly interimAnswers: number }
  | { readonly closeAfterMs: number }
  | { readonly resetAfterMs: number };

/** A fault as data: `{ on: 'fragment', nth: 3, do: 'reset-after-commit' }`. */
export interface Fault {
  readonly on: FaultTarget;
  /** The first request it applies to, counted from when the fault was added. @default 1 */
  readonly nth?: number;
  /** To how many requests in a row it applies; Infinity for all. @default 1 */
  readonly times?: number;
  readonly do: FaultAction;
}

interface PlannedFault {
  readonly fault: Fault;
  seen: number;
  left: number;
  wasApplied: boolean;
}

/** The faults that a server has not yet applied. */
export class FaultPlan {
  #planned: PlannedFault[] = [];

  /** @throws BITS_ERR_ARGUMENT as `add`. */
  constructor(faults: readonly Fault[]) {
    for (const fault of faults) this.add(fault);
  }

  /**
   * @throws BITS_ERR_ARGUMENT for what is no fault, for an action that is none, which would count as
   *   applied, and when `nth` or `times` is not a positive integer.
   */
  add(fault: Fault): void {
    const { on, do: action, nth = 1, times = 1 } = isObject(fault) ? fault : ({} as Fault);
    const example = `an object such as { on: 'fragment', do: 'hang' }, on one of ${TARGETS.join(', ')}`;
    mustBe(TARGETS.includes(on), 'A fault', example);
    if (!isObject(action) && !NAMED_FAULTS.includes(action)) {
      throw new BitsArgumentError(
        `A fault can do ${NAMED_FAULTS.join(', ')}, and not ${JSON.stringify(action)}`,
      );
    }
    const areCounts = isCount(nth) && (isCount(times) || times === Infinity);
    mustBe(areCounts, 'nth and times of a fault', 'positive integers, or times Infinity');
    this.#planned.push({ fault, seen: 0, left: times, wasApplied: false });
  }

  /** Counts a request and gives the fault that applies to it: of several, the one added first. */
  take(kind: PacketType | 'reply'): Fault | undefined {
    let due: PlannedFault | undefined;
    for (const planned of this.#planned) {
      if (planned.fault.on !== 'any' && planned.fault.on !== kind) continue;
      planned.seen += 1;
      if (planned.seen >= (planned.fault.nth ?? 1)) due ??= planned;
    }
    if (due === undefined) return undefined;
    due.left -= 1;
    due.wasApplied = true;
    if (due.left === 0) this.#planned = this.#planned.filter((planned) => planned !== due);
    return due.fault;
  }

  unconsumed(): Fault[] {
    const missing = this.#planned.filter(
      ({ left, wasApplied }) => left !== Infinity || !wasApplied,
    );
    return missing.map(({ fault }) => fault);
  }

  /** @throws AssertionError that lists the faults which were not applied as often as planned. */
  assertConsumed(): void {
    const left = this.unconsumed();
    if (left.length === 0) return;
    throw new AssertionError({
      message: `Faults that were not applied: ${left.map((fault) => JSON.stringify(fault)).join(', ')}`,
      actual: left,
      expected: [],
      operator: 'assertFaultsConsumed',
    });
  }
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 1;
}
