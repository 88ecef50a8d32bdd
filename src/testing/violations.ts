import type { LoggedRequest } from './access-log.js';

/** Each way in which a client can break [MC-BUP], with the section that says so. */
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

export type ViolationCode = keyof typeof VIOLATION_RULES;

/** Something that a client must not do, and did. */
export interface Violation {
  /** Stable, kebab-case. */
  readonly code: ViolationCode;
  /** The section of [MC-BUP], its product note in angle brackets, or the RFC. */
  readonly rule: (typeof VIOLATION_RULES)[ViolationCode];
  readonly message: string;
  readonly request: LoggedRequest;
}
