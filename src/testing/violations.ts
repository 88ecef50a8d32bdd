import { AssertionError } from 'node:assert';
import { type LoggedRequest, pushWithin } from './access-log.js';

/** Each way to violate the protocol, with the section of [MC-BUP] that forbids it. */
export const VIOLATION_RULES = {
  framing: 'RFC 9112',
  'head-too-large': '§2.2.1.1 <2>',
  'http-version': '§2.2.1',
  'content-length': '§2.2.1.1 <23>',
  chunked: '§2.2.1.1 <23>',
  expect: '§2.2.1.1',
  pipelined: '§2.2.1',
  'concurrent-requests': '§2.2.1',
  'header-too-long': '§2.2.1.1 <2>',
  'packet-type': '§2.2.1.1',
  'protocol-id': '§2.2.2',
  'body-on-control-packet': '§2.2.1.1',
  'session-id': '§2.2.1.1',
  'session-ended': '§3.1.5.1',
  'url-changed': '§2.2.1',
  'content-range': '§2.2.6.1',
  'content-name': '§2.2.6.1 <3>',
  'total-changed': '§3.1.5.1.4',
  'out-of-order': '§3.1.5.1.4',
  'after-completion': '§3.2.5.1.2',
  'close-before-end': '§3.2.5.1.5',
  'close-before-reply': '§3.2.5.1.5',
  'host-id-ignored': '§1.3.4.2',
  'host-id-not-pinged': '§3.1.5.1',
} as const;

/** Which rule of the protocol a client broke. */
export type ViolationCode = keyof typeof VIOLATION_RULES;

/** One violation of the protocol by a client. */
export interface Violation {
  /** Stable across releases. */
  readonly code: ViolationCode;
  /** The section of [MC-BUP] with its product note in angle brackets, or the RFC. */
  readonly rule: (typeof VIOLATION_RULES)[ViolationCode];
  readonly message: string;
  readonly request: LoggedRequest;
}

/** The violations that one server has seen. */
export class ViolationLog {
  readonly entries: Violation[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  report(code: ViolationCode, message: string, request: LoggedRequest): void {
    const violation = { code, rule: VIOLATION_RULES[code], message, request };
    pushWithin(this.#limit, this.entries, violation);
  }

  /** @throws AssertionError that lists the violations. */
  assertNone(): void {
    if (this.entries.length === 0) return;
    const lines = this.entries.map(
      ({ rule, message, request }) =>
        `${rule} in request ${request.number} (${request.packet}): ${message}`,
    );
    throw new AssertionError({
      message: `Violations of [MC-BUP] by the client:\n${lines.join('\n')}`,
      actual: this.entries.map(({ code }) => code),
      expected: [],
      operator: 'assertNoViolations',
    });
  }
}
